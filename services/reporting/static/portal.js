// What the pages gain by a script; without it they say the same. Tooltips for drawings, and parts that renew themselves.
(() => {
  "use strict";

  // --- tooltips: `data-tip` on what is drawn; the browser's own <title> is taken away so that there are not two -------
  let tip = null;
  const place = (event, mark) => {
    const box = mark.getBoundingClientRect();
    const x = event.clientX ?? box.left + box.width / 2, y = event.clientY ?? box.top;
    const wide = tip.offsetWidth, high = tip.offsetHeight;
    tip.style.left = `${Math.max(6, Math.min(x + 12, innerWidth - wide - 6))}px`;
    tip.style.top = `${y - high - 12 < 6 ? y + 18 : y - high - 12}px`;
  };
  const show = (event) => {
    const mark = event.target.closest?.("[data-tip]");
    if (!mark) return hide();
    mark.querySelector(":scope > title")?.remove();
    if (!tip) {
      tip = document.createElement("div");
      tip.className = "tip";
      tip.setAttribute("aria-hidden", "true");
      document.body.append(tip);
    }
    tip.hidden = false;
    tip.textContent = mark.dataset.tip;
    place(event, mark);
  };
  const hide = () => { if (tip) tip.hidden = true; };
  for (const name of ["pointerover", "pointermove", "focusin"]) addEventListener(name, show);
  for (const name of ["pointerleave", "focusout", "scroll", "blur"]) addEventListener(name, hide, true);
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // --- choices that take effect at once: what a pointer chooses in a filter is sent; typed text waits for the button ---
  for (const form of document.querySelectorAll("form[data-at-once]")) {
    let types = false;
    form.addEventListener("keydown", () => { types = true; });
    form.addEventListener("pointerdown", () => { types = false; });
    form.addEventListener("change", () => { if (!types) form.requestSubmit(); });
  }

  // --- live parts: what `data-live` names is fetched again every so many seconds, while the page is visible -----------
  for (const part of document.querySelectorAll("[data-live]")) {
    const seconds = Number(part.dataset.every) || 5;
    const renew = async () => {
      if (!document.hidden) {
        try {
          const answer = await fetch(part.dataset.live, { credentials: "same-origin", headers: { Accept: "text/html", "Danbao-Live": "1" } });
          if (answer.redirected || !answer.ok) throw new Error(String(answer.status));
          const found = new DOMParser().parseFromString(await answer.text(), "text/html");
          const fresh = found.getElementById(part.id);
          if (fresh && !part.contains(document.activeElement)) part.replaceChildren(...fresh.childNodes);
          part.removeAttribute("data-away");
        } catch {
          part.setAttribute("data-away", "");
        }
      }
      setTimeout(renew, seconds * 1000);
    };
    setTimeout(renew, seconds * 1000);
  }
})();
