// The console's only script. Every page reads without it; it keeps what is shown alive, and adds keys.
"use strict";
(() => {
  const $ = (what, within = document) => within.querySelector(what);
  const $$ = (what, within = document) => [...within.querySelectorAll(what)];

  // -- times: they tick in place, and carry the local time besides UTC ------------------------------------
  let ahead = 0; // how far this machine's clock is ahead of the server's, in ms
  const about = (s) => {
    for (const [name, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
      if (s >= 2 * size || (s >= size && name !== "min")) return `${Math.round(s / size)} ${name}`;
    }
    return s < 60 ? `${Math.floor(s)} s` : `${Math.round(s / 60)} min`;
  };
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  const left = (s) => s < 0 ? `over by ${about(-s)}`
    : s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)} left`
    : s < 86400 ? `${Math.floor(s / 3600)} h ${two(s % 3600 / 60)} min left`
    : `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h left`;
  function tick(root = document) {
    const now = Date.now() - ahead;
    for (const node of $$("time[data-as]", root)) {
      const s = (now - Date.parse(node.dateTime)) / 1000;
      let words = null;
      if (node.dataset.as === "ago") words = Math.abs(s) < 1 ? "now" : s > 0 ? `${about(s)} ago` : `in ${about(-s)}`;
      if (node.dataset.as === "for") words = about(Math.max(0, s));
      if (node.dataset.as === "left") words = left(-s);
      if (words !== null && node.textContent !== words) node.textContent = words;
    }
    for (const node of $$("[data-clock]", root)) {
      const [from, warn, due] = ["from", "warn", "due"].map((name) => Date.parse(node.dataset[name]));
      const state = now >= due ? "missed" : now >= warn ? "warn" : "ok";
      if (!node.classList.contains(`is-${state}-clock`)) {
        node.classList.remove("is-ok-clock", "is-warn-clock", "is-missed-clock");
        node.classList.add(`is-${state}-clock`);
        const word = $("[data-clock-word]", node);
        if (word) word.textContent = word.dataset[state];
      }
      const bar = $("progress", node);
      if (bar) bar.value = Math.min(bar.max, Math.max(0, (now - from) / 1000));
    }
  }
  function local(root = document) {
    for (const node of $$("time[datetime]:not([data-local])", root)) {
      const moment = new Date(node.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      node.dataset.local = "";
      node.title = `${node.title || node.dateTime}\n${moment.toLocaleString(undefined, { timeZoneName: "short" })}`;
    }
  }

  // -- live parts: the page is asked for again, and what differs is put in place ---------------------------
  // A page that names no event has nothing live of its own; its frame (counts, what burns) still follows.
  const own = (document.body.dataset.liveOn || "").split(" ").filter(Boolean);
  const wants = document.body.dataset.liveOn === undefined ? [] : own.length ? own : ["journal", "evaluated"];
  const source = own.length ? location.href : `/frame?at=${encodeURIComponent(location.pathname)}`;
  const LEAST_MS = 1500;
  let last = Date.now(), planned = null, asking = false, again = false;
  const fingerprints = new Map($$("[data-live][id]").map((node) => [node.id, node.outerHTML]));
  // What somebody typed or chose and has not sent yet stays, whatever happens around it.
  const touched = (one) => one.type === "checkbox" || one.type === "radio" ? one.checked !== one.defaultChecked
    : one.options ? [...one.options].some((option) => option.selected !== option.defaultSelected)
      && !(one.selectedIndex === 0 && ![...one.options].some((option) => option.defaultSelected))
    : one.value !== one.defaultValue;
  function busy(node) {
    if ($$("input:not([type=hidden]), textarea, select", node).some(touched)) return true;
    if ($("[data-chart]:hover .cross:not([visibility])", node)) return true; // somebody reads a chart
    const active = document.activeElement;
    return node.contains(active) && active.matches("input:not([type=hidden]), textarea, select");
  }
  async function refresh() {
    planned = null;
    if (asking) { again = true; return; }
    asking = true;
    last = Date.now();
    try {
      const answer = await fetch(source, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected && new URL(answer.url).pathname === "/sign-in") { location.reload(); return; }
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = fresh.title;
      for (const node of $$("[data-live][id]")) {
        const next = fresh.getElementById(node.id);
        if (!next || fingerprints.get(node.id) === next.outerHTML || busy(node)) continue;
        fingerprints.set(node.id, next.outerHTML);
        const focused = node.contains(document.activeElement) ? document.activeElement : null;
        const opened = $$("details[id][open]", node).map((one) => one.id);
        const way = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href") && `a[href="${CSS.escape(focused.getAttribute("href"))}"]`);
        const grown = document.importNode(next, true);
        node.replaceWith(grown);
        for (const id of opened) { const one = document.getElementById(id); if (one) one.open = true; }
        if (way) { const one = $(way, grown); if (one) one.focus({ preventScroll: true }); }
        dress(grown);
      }
    } catch { /* the stream says when the server is there again */ } finally {
      asking = false;
      if (again) { again = false; plan(); }
    }
  }
  function plan() {
    if (planned !== null || document.hidden) { again = document.hidden || again; return; }
    planned = setTimeout(refresh, Math.max(50 + Math.random() * 250, LEAST_MS - (Date.now() - last)));
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) { again = false; plan(); } });

  function listen() {
    if (!wants.length || !window.EventSource) return;
    const stream = new EventSource("/events");
    const lost = $("#link");
    let broken = false;
    stream.addEventListener("open", () => { if (lost) lost.hidden = true; if (broken) plan(); broken = false; });
    stream.addEventListener("error", () => { broken = true; if (lost) lost.hidden = false; });
    for (const kind of ["journal", "evaluated"]) {
      stream.addEventListener(kind, (event) => {
        const said = JSON.parse(event.data);
        if (said.now_ms) ahead = Date.now() - said.now_ms;
        if (wants.includes(kind)) plan();
        if (said.pages) for (const page of said.pages) notify(page);
      });
    }
    addEventListener("pagehide", () => stream.close());
  }

  // -- browser notifications of pages, where the person asked for them ------------------------------------
  function notify(page) {
    if (localStorage.getItem("notify") !== "yes" || !window.Notification || Notification.permission !== "granted") return;
    const note = new Notification(page.summary, { body: page.state, tag: page.key, requireInteraction: page.state === "firing" });
    note.onclick = () => { window.focus(); location.href = page.href; };
  }
  function notifications() {
    const box = $("[data-notify]");
    if (!box || !window.Notification) return;
    box.hidden = false;
    const button = $("button", box), said = $("[data-said]", box);
    const show = () => {
      const on = localStorage.getItem("notify") === "yes" && Notification.permission === "granted";
      button.textContent = on ? "Stop notifying" : "Notify me in this browser";
      said.textContent = Notification.permission === "denied" ? "This browser refuses notifications of this site; its settings can allow them." : on ? "Pages show up while a page of Watchkeeper is open in this browser." : "";
    };
    button.addEventListener("click", async () => {
      if (localStorage.getItem("notify") === "yes") localStorage.removeItem("notify");
      else if (await Notification.requestPermission() === "granted") localStorage.setItem("notify", "yes");
      show();
    });
    show();
  }

  // -- keys -----------------------------------------------------------------------------------------------
  let gone = 0;
  function rows() { return $$("[data-row]").filter((row) => row.offsetParent !== null); }
  function move(by) {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.classList.contains("here"));
    const row = all[Math.min(all.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by))];
    for (const one of all) one.classList.remove("here");
    row.classList.add("here");
    const link = row.matches("a") ? row : $("a", row);
    if (link) link.focus();
    row.scrollIntoView({ block: "nearest" });
  }
  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, textarea, select")) { if (event.key === "Escape") event.target.blur(); return; }
    if (gone && Date.now() - gone < 1500) {
      gone = 0;
      const link = $$("[data-go]").find((one) => one.dataset.go === event.key);
      if (link) { event.preventDefault(); location.href = link.href; }
      return;
    }
    if (event.key === "g") gone = Date.now();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "?") $("#help")?.showModal();
    else if (event.key === "/") {
      const box = $("[data-search]");
      if (box) { event.preventDefault(); box.focus(); box.select(); }
    }
  }

  // -- small things ---------------------------------------------------------------------------------------
  function dress(root) { local(root); tick(root); readouts(root); }
  // A chart is a drawing; the script reads its figures out under the pointer.
  function readouts(root) {
    for (const figure of $$("figure[data-chart]:not([data-live-chart])", root)) {
      figure.dataset.liveChart = "";
      const svg = $("svg", figure), out = $("[data-readout]", figure), line = $(".cross", figure);
      const data = JSON.parse($("script[type='application/json']", figure)?.textContent || "null");
      if (!svg || !out || !line || !data) continue;
      const idle = out.textContent;
      const show = (x) => {
        const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
        const at = (x - box.left) / box.width * view.width;
        const index = Math.round((at - data.left) / (data.right - data.left) * (data.times.length - 1));
        if (index < 0 || index >= data.times.length) { hide(); return; }
        const where = data.left + index / Math.max(1, data.times.length - 1) * (data.right - data.left);
        line.setAttribute("x1", where); line.setAttribute("x2", where); line.removeAttribute("visibility");
        const when = new Date(data.times[index]);
        out.textContent = `${when.toISOString().slice(11, 19)} UTC  ` + data.lines.map((one) => `${one.name ? one.name + " " : ""}${one.values[index] ?? "no data"}`).slice(0, 8).join("  ·  ");
      };
      const hide = () => { line.setAttribute("visibility", "hidden"); out.textContent = idle; };
      svg.addEventListener("pointermove", (event) => show(event.clientX));
      svg.addEventListener("pointerleave", hide);
    }
  }
  document.addEventListener("click", (event) => {
    for (const open of $$(".more details[open]")) if (!open.contains(event.target)) open.open = false;
    const copy = event.target.closest("[data-copy]");
    if (copy) navigator.clipboard?.writeText(copy.dataset.copy).then(() => { copy.textContent = "Copied"; });
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });
  document.addEventListener("submit", (event) => {
    const asked = event.submitter?.dataset.confirm;
    if (asked && !confirm(asked)) event.preventDefault();
  });
  document.addEventListener("keydown", keys);
  $("[data-help]")?.removeAttribute("hidden");
  $("[data-help]")?.addEventListener("click", () => $("#help")?.showModal());
  const next = $("form[data-keep-place] input[name=next]"); // where in the page somebody was going before they had to sign in
  if (next && location.hash) next.value += location.hash;
  window.Watchkeeper = { $, $$, dress };
  dress(document);
  setInterval(tick, 1000);
  notifications();
  listen();
})();
