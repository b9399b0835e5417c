// The page around the check: reads the fragment, shows what was proved, or which step failed. Its words are in `known`.
(() => {
  const known = JSON.parse(document.getElementById("known").textContent), words = known.words;
  const at = (id) => document.getElementById(id);
  const worded = (step) => {
    const [, name, row] = /^(.*?)(?: (\d+))?$/.exec(step);
    const said = words[`step_${name.replaceAll(" ", "_").replaceAll("'", "")}`];
    return said ? `${said}${row ? ` ${row}` : ""}` : step;
  };
  const shown = (microseconds) => {
    const time = new Date(Number(microseconds / 1000n) + 8 * 3600000);
    return Number.isNaN(time.getTime()) ? String(microseconds) : time.toISOString().slice(0, 19).replace("T", " ");
  };
  const yuan = (amount) => {
    const digits = String(amount < 0n ? -amount : amount).padStart(5, "0");
    return (amount < 0n ? "-" : "") + digits.slice(0, -4) + "." + digits.slice(-4).replace(/0{1,2}$/, "");
  };

  const facts = ({ rows, charge, isTakenBack, ends, checkpoint, made }) => {
    const first = rows[0], province = String(Math.floor(first.region / 10000)).padStart(2, "0");
    const end = ends.map((row) => [row.endedAt, row.kind === 2 ? words.completed : words.cancelled])
      .sort((a, b) => (a[0] < b[0] ? -1 : 1))[0];
    const premium = isTakenBack ? words.taken_back : charge.reason ? known.exclusions[charge.reason] ?? String(charge.reason)
      : `${yuan(charge.premium)} ${words.yuan}`;
    const witnesses = checkpoint.cosigned.map(({ name, time }) => `${name}, ${shown(time * 1000000n)}`);
    return [
      [words.began, shown(first.acceptedAt)],
      [words.ended, end ? `${shown(end[0])} ${end[1]}` : words.not_in_it],
      [words.premium, premium],
      [words.who_pays, [known.enterprises[first.uscc], first.uscc].filter(Boolean).join(" ")],
      [words.province, known.provinces[province] ?? province],
      [words.industry, known.industries[first.industry] ?? String(first.industry)],
      [words.order_id, first.orderId],
      [words.token, first.worker],
      [words.log, `${checkpoint.origin}, ${checkpoint.size}`],
      [words.witness, witnesses.join("; ") || words.none_asked],
      [words.made_by, made.unsigned ? words.made_some : words.made_all],
    ];
  };
  const list = (rows) => {
    at("facts").hidden = !rows.length;
    at("facts").replaceChildren(...rows.map(([name, value]) => {
      const box = document.createElement("div"), term = document.createElement("dt"), data = document.createElement("dd");
      term.textContent = name; data.textContent = value; data.className = "small"; box.append(term, data);
      return box;
    }));
  };
  const say = (tone, text) => { at("verdict").className = `say ${tone}`; at("verdict").textContent = text; };

  const check = async () => {
    list([]);
    const given = at("receipt").value.trim();
    if (!given) { say("", words.paste); return; }
    if (!globalThis.crypto?.subtle) { say("bad", words.no_crypto); return; }
    const keys = at("keys").value.split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
    const expected = { worker: at("worker").value.trim().toLowerCase(), order: at("order").value.trim() };
    try {
      const found = await OrderReceipts.verify(given, keys, expected);
      list(facts(found));
      say("good", expected.worker && expected.order ? words.proved : words.proved_compare);
    } catch (error) {
      say("bad", `${words.not_proved} ${worded(error.step ?? "check")}: ${error.message}`);
    }
    at("checked").textContent = "1";
  };

  // A file: a receipt as text, or a picture of its QR code where the browser reads those.
  const fromFile = async () => {
    const file = at("file").files[0];
    if (!file) return;
    try {
      if (!file.type.startsWith("image/")) at("receipt").value = (await file.text()).trim();
      else if (!globalThis.BarcodeDetector) { list([]); say("warn", words.no_scanner); return; }
      else {
        const codes = await new BarcodeDetector({ formats: ["qr_code"] }).detect(await createImageBitmap(file));
        if (!codes.length) { list([]); say("warn", words.no_code); return; }
        at("receipt").value = codes[0].rawValue;
      }
    } catch { list([]); say("warn", words.no_code); return; }
    await check();
  };
  const fromLink = () => {
    at("other").hash = location.hash;
    if (location.hash.length > 1) at("receipt").value = location.hash.slice(1);
    return check();
  };
  at("keys").value = known.keys.join("\n");
  at("form").addEventListener("submit", (event) => { event.preventDefault(); check(); });
  at("file").addEventListener("change", fromFile);
  addEventListener("hashchange", fromLink);
  fromLink();
})();
