// Refreshes the status page in place, keeping what is expanded, focused and scrolled to, and filters its accounts.
"use strict";
(() => {
  const REFRESH_MS = 15_000;
  const TIMEOUT_MS = 10_000;
  const byId = (id) => document.getElementById(id);
  const [content, headline, search, input] = ["content", "headline", "search", "filter"].map(byId);
  // Not `location.href`: fetch rejects a URL that contains a password.
  const url = location.origin + location.pathname + location.search;
  let title = document.title;
  let refreshed = new Date();
  let attempted = Date.now();
  const unfolded = new Set(); // the ids of what the filter has expanded

  // Setting the same text again would make screen readers read it again.
  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function filter() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...content.querySelectorAll(".accounts tbody tr")];
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      const positions = byId(row.id.replace("a", "d"));
      if (positions) positions.hidden = row.hidden;
    }
    const shown = rows.filter((row) => !row.hidden);
    const names = new Set(shown.map((row) => row.querySelector("bdi").textContent));
    for (const failure of content.querySelectorAll(".failures li")) {
      const affected = [...failure.querySelectorAll(".account")].map((name) => name.textContent);
      failure.hidden = !affected.some((name) => names.has(name));
    }
    for (const fold of content.querySelectorAll(".fold")) {
      if (words.length && !fold.open) unfolded.add(fold.id);
      fold.open = words.length ? true : fold.open && !unfolded.has(fold.id);
    }
    if (!words.length) unfolded.clear();
    setText(byId("matches"), words.length ? `${shown.length} of ${rows.length} accounts match` : "");
    search.hidden = rows.length < 10 && !input.value;
  }

  // What the reader looks at, which must not move: what has the focus if that is in sight, else the last account, table
  // or heading that begins at or above the top of the window.
  function findAnchor() {
    const focused = content.contains(document.activeElement) && document.activeElement.closest("[id]");
    if (focused && isInSight(focused)) return focused;
    const above = [...content.querySelectorAll("[id]")].filter(
      (element) => element.getClientRects().length && element.getBoundingClientRect().top <= 1
    );
    return above.at(-1);
  }

  function isInSight(element) {
    const { top, bottom } = element.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  }

  function findFocus() {
    const focused = document.activeElement;
    if (!content.contains(focused)) return null;
    if (focused.matches("summary")) return `#${focused.parentElement.id} > summary`;
    return focused.matches("a") ? `a[href="${focused.getAttribute("href")}"]` : null;
  }

  function replaceContent(fresh) {
    const expanded = new Map([...content.querySelectorAll("details")].map((details) => [details.id, details.open]));
    const anchor = scrollY > 0 ? findAnchor() : undefined;
    const top = anchor?.getBoundingClientRect().top;
    const focus = findFocus();
    const next = fresh.getElementById("content");
    for (const details of next.querySelectorAll("details")) {
      if (expanded.has(details.id)) details.open = expanded.get(details.id);
    }
    content.replaceChildren(...next.childNodes);
    const nextHeadline = fresh.getElementById("headline");
    headline.className = nextHeadline.className;
    if (headline.textContent !== nextHeadline.textContent) headline.replaceChildren(...nextHeadline.childNodes);
    title = fresh.title;
    filter();
    if (focus) content.querySelector(focus)?.focus({ preventScroll: true });
    const moved = anchor && byId(anchor.id);
    if (moved?.getClientRects().length) scrollBy(0, moved.getBoundingClientRect().top - top);
  }

  function report(problem) {
    const time = refreshed.toLocaleTimeString();
    byId("outdated").hidden = !problem;
    setText(byId("outdated"), problem ? `Not up to date since ${time}: ${problem}` : "");
    document.title = problem ? `Not up to date · ${title}` : title;
    setText(byId("refreshed"), `This page refreshes every 15 seconds, last at ${time}.`);
  }

  async function load() {
    try {
      const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
      return [response, await response.text()];
    } catch (error) {
      const isTimeout = error.name === "TimeoutError";
      throw new Error(isTimeout ? `no response within ${TIMEOUT_MS / 1000} s` : "the exporter cannot be reached");
    }
  }

  // To replace what is selected would end the selection.
  function isSelected() {
    const selection = getSelection();
    return !selection.isCollapsed && selection.containsNode(content, true);
  }

  async function refresh() {
    attempted = Date.now();
    try {
      const [response, text] = await load();
      if (!response.ok) throw new Error(`the exporter responded with status ${response.status}`);
      const fresh = new DOMParser().parseFromString(text, "text/html");
      if (!fresh.getElementById("content")) throw new Error("the response is not this page");
      if (isSelected()) throw new Error("text is selected");
      if (fresh.documentElement.dataset.version !== document.documentElement.dataset.version) location.reload();
      replaceContent(fresh);
      refreshed = new Date();
      report("");
    } catch (error) {
      report(error.message);
    }
  }

  input.addEventListener("input", filter);
  filter();
  report("");
  // Not an interval of 15 seconds: it would begin again after a suspend.
  setInterval(() => {
    if (Date.now() - attempted >= REFRESH_MS) refresh();
  }, 1_000);
})();
