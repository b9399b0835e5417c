// The page around the check: reads the fragment, shows what was proved, or which step failed.
(() => {
  const known = JSON.parse(document.getElementById("known").textContent);
  const at = (id) => document.getElementById(id);
  const steps = {
    receipt: "凭证格式 form of the receipt", "leaf of the order": "订单数据 the order's leaf", order: "订单一致 one and the right order",
    worker: "劳动者 the worker", enterprise: "平台企业 the enterprise", checkpoint: "校验根 checkpoint",
    "signature of the log": "日志签名 signature of the log", "cosignature of the witness": "见证签名 cosignature of the witness",
  };
  const told = (step) => steps[step] ?? step.replace("batch proof of row", "批次证明 batch proof of row")
    .replace("log proof of row", "日志证明 log proof of row").replace("entry of row", "日志条目 entry of row");
  const shown = (microseconds) => {
    const time = new Date(Number(microseconds / 1000n) + 8 * 3600000);
    return Number.isNaN(time.getTime()) ? String(microseconds) : time.toISOString().slice(0, 19).replace("T", " ");
  };
  const yuan = (amount) => {
    const digits = String(amount < 0n ? -amount : amount).padStart(5, "0");
    return (amount < 0n ? "-" : "") + digits.slice(0, -4) + "." + digits.slice(-4).replace(/0{1,2}$/, "");
  };
  const exclusions = ["", "省份尚未参加试点 province not in the pilot", "企业未参保登记 enterprise not enrolled",
    "已参加工伤保险 insured as an employee"];

  const facts = ({ rows, charge, isTakenBack, ends, checkpoint }) => {
    const first = rows[0], province = String(Math.floor(first.region / 10000)).padStart(2, "0");
    const end = ends.map((row) => [row.endedAt, row.kind === 2 ? "完成 completed" : "取消 cancelled"]).sort((a, b) => (a[0] < b[0] ? -1 : 1))[0];
    const premium = isTakenBack ? "已冲销 charged and taken back" : charge.reason ? exclusions[charge.reason] ?? `reason ${charge.reason}`
      : `${yuan(charge.premium)} 元 yuan`;
    const witnesses = checkpoint.cosigned.map(({ name, time }) => `${name}, ${shown(time * 1000000n)}`);
    return [
      ["保障开始（接单）", "Cover began (accepted)", shown(first.acceptedAt)],
      ["保障结束", "Cover ended", end ? `${shown(end[0])} ${end[1]}` : "本凭证未载 not in this receipt"],
      ["接单省份", "Province", known.provinces[province] ?? province],
      ["行业", "Industry", known.industries[first.industry] ?? String(first.industry)],
      ["缴费单位", "Who pays", [known.enterprises[first.uscc], first.uscc].filter(Boolean).join(" ")],
      ["职业伤害保障费", "Premium", premium],
      ["订单号", "Order", first.orderId],
      ["劳动者代号", "Worker's token", first.worker],
      ["存证日志", "Log", `${checkpoint.origin}, ${checkpoint.size}`],
      ["见证", "Witness", witnesses.join("; ") || "未核对 none asked for"],
    ];
  };
  const list = (rows) => {
    at("facts").replaceChildren(...rows.map(([chinese, english, value]) => {
      const box = document.createElement("div"), term = document.createElement("dt"), small = document.createElement("small");
      const data = document.createElement("dd");
      small.textContent = english; term.append(chinese, small); data.textContent = value; box.append(term, data);
      return box;
    }));
  };
  const say = (state, chinese, english) => {
    const verdict = at("verdict"), line = document.createElement("span");
    verdict.className = `verdict ${state}`; line.textContent = english; line.lang = "en";
    verdict.replaceChildren(chinese, document.createElement("br"), line);
  };
  const check = async () => {
    list([]);
    const given = at("receipt").value.trim();
    if (!given) { say("", "请粘贴参保凭证或其链接。", "Paste an order's receipt or its link."); return; }
    if (!globalThis.crypto?.subtle) { say("failed", "浏览器只在 https 页面或本机文件中提供校验功能。", "The browser offers hashing on https pages and local files only."); return; }
    const keys = at("keys").value.split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
    const expected = { worker: at("worker").value.trim().toLowerCase(), order: at("order").value.trim() };
    try {
      const found = await OrderReceipts.verify(given, keys, expected);
      list(facts(found));
      const asked = expected.worker && expected.order;
      say("proved", asked ? "已证实：该订单记入存证日志。" : "已证实记入存证日志；请核对订单号与劳动者代号是否为本人。",
        asked ? "Proved: this order stands in the log." : "Proved to stand in the log. Compare order and token with your own.");
    } catch (error) {
      say("failed", `未证实。不符的步骤：${told(error.step ?? "")}`, `NOT proved: ${error.step ?? "check"}: ${error.message}`);
    }
    at("checked").textContent = "1";
  };
  const fromLink = () => { if (location.hash.length > 1) at("receipt").value = location.hash.slice(1); return check(); };
  at("keys").value = known.keys.join("\n");
  at("form").addEventListener("submit", (event) => { event.preventDefault(); check(); });
  addEventListener("hashchange", fromLink);
  fromLink();
})();
