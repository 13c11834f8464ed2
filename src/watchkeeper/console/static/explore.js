// Completes names in the question: metrics, labels, functions. A combobox; without it the question is just typed.
"use strict";
(() => {
  const box = document.querySelector("textarea[data-complete]");
  const list = document.getElementById("completions");
  const said = document.getElementById("completions-said");
  if (!box || !list) return;
  const MOST = 12;
  const WORD = /[a-zA-Z_:][a-zA-Z0-9_:]*$/;
  const functions = JSON.parse(document.getElementById("functions").textContent).map((name) => [name, "function"]);
  let names = functions, asked = null, found = [], at = -1;

  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-controls", list.id], ["aria-expanded", "false"]]) box.setAttribute(name, value);

  async function read(path) {
    try {
      const answer = await fetch(path, { credentials: "same-origin" });
      return answer.ok ? (await answer.json()).data : [];
    } catch { return []; }
  }
  async function load() {
    const [metrics, labels] = await Promise.all([read("/api/v1/label/__name__/values?limit=20000"), read("/api/v1/labels?limit=5000")]);
    names = [...metrics.map((name) => [name, "metric"]), ...functions, ...labels.filter((name) => name !== "__name__").map((name) => [name, "label"])];
  }
  const ask = () => asked ??= load(); // once; whoever types before it has come waits for it
  // Labels stand in braces and after by, without, on, ignoring; everything else is a metric or a function.
  function inLabels(text) {
    const open = text.lastIndexOf("{"), close = text.lastIndexOf("}");
    return open > close || /\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*$/.test(text);
  }
  function fitting(word, labels) {
    const sought = word.toLowerCase();
    const fit = names.filter(([name, kind]) => (kind === "label") === labels && name !== word && name.toLowerCase().includes(sought));
    return fit.sort((a, b) => !a[0].toLowerCase().startsWith(sought) - !b[0].toLowerCase().startsWith(sought) || a[0].length - b[0].length).slice(0, MOST);
  }
  function show() {
    const before = box.value.slice(0, box.selectionStart);
    const word = WORD.exec(before)?.[0] || "";
    const quoted = (before.match(/"/g) || []).length % 2 === 1;
    found = word.length > 1 && !quoted && box.selectionStart === box.selectionEnd ? fitting(word, inLabels(before)) : [];
    at = -1;
    list.replaceChildren(...found.map(([name, kind], number) => {
      const row = document.createElement("li");
      row.id = `completion-${number}`;
      row.setAttribute("role", "option");
      const label = document.createElement("span"), what = document.createElement("span");
      label.textContent = name.slice(0, 200); what.textContent = kind; what.className = "quiet";
      row.append(label, what);
      row.addEventListener("pointerdown", (event) => { event.preventDefault(); take(number); });
      return row;
    }));
    list.hidden = !found.length;
    box.setAttribute("aria-expanded", String(!!found.length));
    box.removeAttribute("aria-activedescendant");
    said.textContent = found.length ? `${found.length} names fit; arrows choose, Enter takes` : "";
  }
  function hide() { found = []; at = -1; list.hidden = true; box.setAttribute("aria-expanded", "false"); box.removeAttribute("aria-activedescendant"); said.textContent = ""; }
  function move(by) {
    at = at < 0 ? (by > 0 ? 0 : found.length - 1) : (at + by + found.length) % found.length;
    for (const [number, row] of [...list.children].entries()) row.setAttribute("aria-selected", String(number === at));
    box.setAttribute("aria-activedescendant", `completion-${at}`);
    list.children[at].scrollIntoView({ block: "nearest" });
  }
  function take(number) {
    const [name, kind] = found[number];
    const end = box.selectionStart, start = end - (WORD.exec(box.value.slice(0, end))?.[0].length || 0);
    const call = kind === "function" && box.value[end] !== "(" ? "()" : "";
    box.setRangeText(name + call, start, end, "end");
    if (call) box.selectionStart = box.selectionEnd = box.selectionEnd - 1;
    hide();
    box.focus();
  }
  box.addEventListener("focus", ask, { once: true });
  box.addEventListener("input", async () => { await ask(); if (document.activeElement === box) show(); });
  box.addEventListener("blur", hide);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); box.form.requestSubmit(); return; }
    if (!found.length) return;
    if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "Enter" && at >= 0) take(at);
    else if (event.key === "Tab" && !event.shiftKey && at >= 0) take(at);
    else if (event.key === "Escape") hide();
    else return;
    event.preventDefault();
    event.stopPropagation(); // Escape closes the list; the page's own keys take the next one
  });
})();
