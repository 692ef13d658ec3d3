// The side pane: a thread, or what to try.

import { Composer } from "./composer.js";
import { h, icon, redrawn } from "./dom.js";
import { asideCovers, closeAside, find } from "./navigation.js";
import { Log } from "./log.js";
import { placeNow, repliesTo, store } from "./store.js";
import { tryPanel } from "./try.js";

const aside = document.getElementById("aside");
let log = null;
let opener = null;
let shownKey = "";

export function drawAside() {
  const key = store.thread ? `thread ${store.user} ${store.thread.ts}` : store.aside === "try" ? "try" : "";
  const before = shownKey;
  shownKey = key;
  if (store.thread) drawThread(key === before);
  else { log = null; drawTry(); }
  if (key && key !== before) arrive(before);
  if (!key && before) { if (opener?.isConnected) opener.focus(); opener = null; }
}

// On a screen the pane covers, the keyboard goes with it.
function arrive(before) {
  if (!before) opener = document.activeElement;
  if (store.thread) aside.querySelector("textarea")?.focus({ preventScroll: true });
  else if (asideCovers()) aside.querySelector("button")?.focus();
}

function drawTry() {
  const panel = store.aside === "try" ? tryPanel() : null;
  const scrolled = aside.querySelector(".try")?.scrollTop ?? 0;
  redrawn(aside, () => aside.replaceChildren(...(panel ? [head("Try this", ""), panel] : [])));
  if (panel) panel.scrollTop = scrolled;
}

function drawThread(same) {
  const root = find(store.thread);
  if (!root) { store.thread = null; drawTry(); return; }
  if (same && log) { log.draw({ arrived: true }); return; }
  const place = placeNow();
  log = new Log({ label: "Thread", inThread: true, list: () => { const now = find(store.thread); return now ? [now, ...repliesTo(now)] : []; } });
  const composer = new Composer({ channel: root.channel, thread: root.ts, id: "thread-text", placeholder: "Reply …" });
  aside.replaceChildren(head("Thread", place?.is_im ? store.app.name : `#${place?.name ?? ""}`), log.node, log.pill, composer.node);
  log.begin();
}

export const followThread = () => { if (store.thread && log) log.draw({ arrived: true }); };

function head(title, where) {
  const close = h("button", { class: "round", type: "button", "aria-label": `Close ${title.toLowerCase()}`, dataset: { key: "close aside" }, onclick: closeAside }, icon("close"));
  return h("div", { class: "bar aside-bar" }, h("h2", {}, title, where && h("span", { class: "quiet small" }, where)), close);
}
