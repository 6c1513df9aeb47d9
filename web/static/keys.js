// Keys for those who have them: / searches, j and k walk through rows, Enter opens, ? tells them,
// g and a letter go elsewhere. Opens what a link points into, and copies texts. Everything here
// can also be done without this file.
"use strict";
(() => {
  const away = { o: "/", g: "/groups", c: "/dumps", s: "/status" };
  const help = document.querySelector("#keys");
  const visible = (link) => link.checkVisibility();
  const step = (by) => {
    const all = [...document.querySelectorAll("a[data-row]")].filter(visible);
    const at = all.indexOf(document.activeElement);
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
    if (next) {
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    }
  };
  let before = "";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const going = before === "g";
    before = event.key;
    if (going && away[event.key]) {
      before = "";
      location.assign(away[event.key]);
    } else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "?") help.showModal();
    else if (event.key === "/") {
      event.preventDefault();
      document.querySelector("#search")?.focus();
    }
  });
  for (const button of document.querySelectorAll("button[data-keys]")) {
    button.hidden = false;
    button.addEventListener("click", () => help.showModal());
  }

  // A link into something folded unfolds it.
  const unfold = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    target.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", unfold);
  unfold();

  // Browsers let only pages from this machine or by TLS copy.
  for (const button of document.querySelectorAll("button[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const said = button.textContent;
      try {
        const answer = await fetch(button.dataset.copy);
        if (!answer.ok) throw new Error(answer.statusText);
        await navigator.clipboard.writeText(await answer.text());
        button.textContent = "Copied";
      } catch {
        button.textContent = "Could not copy";
      }
      setTimeout(() => (button.textContent = said), 2000);
    });
  }
})();
