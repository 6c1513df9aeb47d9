// Keeps lists fresh: when something happens, the page is asked for again and the parts of it that
// are marked data-live take the place of the old ones. Without this file a reload does the same.
"use strict";
(() => {
  const parts = () => [...document.querySelectorAll("[data-live]")];
  const waiting = document.querySelector("[data-waiting]");
  if (!window.EventSource || (parts().length === 0 && !waiting)) return;
  document.querySelector("#live").hidden = false;

  // Not more often than this, however much crashes.
  const pause = 2000;
  let source, timer;

  const busy = (part) =>
    part.querySelector("details[open]") ||
    part.contains(document.activeElement?.closest("input, textarea, select")) ||
    (getSelection().toString() && part.contains(getSelection().anchorNode));

  const swap = (fresh) => {
    for (const old of parts()) {
      const now = fresh.querySelector(`[data-live="${CSS.escape(old.dataset.live)}"]`);
      if (!now || now.innerHTML === old.innerHTML || busy(old)) continue;
      const focused = old.contains(document.activeElement) && document.activeElement.getAttribute("href");
      old.replaceWith(document.adoptNode(now));
      if (focused) now.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    }
  };

  const refresh = async () => {
    timer = undefined;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // The service is away; the event source connects again and then asks anew.
    }
  };
  const soon = () => (timer ??= setTimeout(refresh, pause));

  const happened = (event) => {
    if (!waiting) return soon();
    if (event.type === "reset" || event.data.includes(waiting.dataset.waiting)) location.reload();
  };

  const listen = () => {
    if (source || document.hidden) return;
    source = new EventSource("/api/v1/events");
    for (const type of ["dump", "report", "memory", "removed", "reset"]) source.addEventListener(type, happened);
    // Refused, as when too many listen, a browser does not come again by itself.
    source.addEventListener("error", () => {
      if (source?.readyState !== EventSource.CLOSED) return;
      leave();
      setTimeout(() => { listen(); soon(); }, 30000);
    });
  };
  // A browser has six connections to a server, and people have more tabs.
  const leave = () => {
    source?.close();
    source = undefined;
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return leave();
    listen();
    if (waiting) location.reload();
    else soon();
  });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", listen);
  listen();
  // What ended before we listened sends no event.
  if (waiting) setTimeout(() => location.reload(), 10000);
})();
