// A list of messages that follows what happens: unchanged messages keep their nodes, the focus stays where it was.

import { h, icon } from "./dom.js";
import { dayKey, dayName, personOf } from "./format.js";
import { messageNode } from "./messages.js";
import { isReply, repliesTo, store } from "./store.js";

const NEAR_PX = 90;
const FOLLOWS_S = 300;

export class Log {
  // `list()` gives the messages to show; `before()` what stands above them.
  constructor({ label, list, before, inThread = false }) {
    this.node = h("div", { class: "log", role: "log", "aria-label": label, "aria-live": "off", tabindex: "0" });
    this.pill = h("button", { class: "more-below", type: "button", hidden: true, onclick: () => this.toEnd() }, icon("down"), " New messages");
    this.list = list;
    this.before = before;
    this.inThread = inThread;
    this.shown = new Map();
    this.node.addEventListener("scroll", () => { if (this.atEnd()) this.pill.hidden = true; }, { passive: true });
    this.node.addEventListener("load", () => { if (this.stuck) this.toEnd(); }, true);
    // A keyboard that opens, or a pane that narrows the column, must not hide the end.
    new ResizeObserver(() => { if (this.stuck) this.toEnd(); }).observe(this.node);
    this.stuck = true;
  }

  atEnd() {
    this.stuck = this.node.scrollHeight - this.node.scrollTop - this.node.clientHeight < NEAR_PX;
    return this.stuck;
  }

  toEnd() {
    this.node.scrollTop = this.node.scrollHeight;
    this.pill.hidden = true;
    this.stuck = true;
  }

  draw({ arrived = false } = {}) {
    const stuck = this.stuck;
    const wanted = this.items();
    for (const [key, item] of this.shown) if (!wanted.has(key)) { item.node.remove(); this.shown.delete(key); }
    let at = this.node.firstChild;
    for (const [key, item] of wanted) {
      const old = this.shown.get(key);
      const node = old && old.stamp === item.stamp && old.message === item.message ? old.node : this.replace(old, item);
      this.shown.set(key, { ...item, node });
      if (old && at === old.node) at = node; // it took the old one's place already
      if (node === at) at = at.nextSibling;
      else this.node.insertBefore(node, at);
    }
    if (stuck) this.toEnd();
    else if (arrived) this.pill.hidden = false;
  }

  replace(old, item) {
    const node = item.make();
    if (!old) { if (this.drawn && item.message) node.classList.add("new"); return node; }
    const focused = old.node.contains(document.activeElement) ? document.activeElement : null;
    const opened = old.node.querySelector(".menu");
    if (opened && focused) return old.node; // an open menu is finished first; the next change draws the message
    old.node.replaceWith(node);
    if (focused) (sameIn(node, focused) ?? node).focus({ preventScroll: true });
    return node;
  }

  items() {
    const items = new Map();
    const intro = this.before?.();
    if (intro) items.set("intro", { stamp: intro.stamp, make: intro.make });
    let last = null;
    for (const message of this.list()) {
      const day = dayKey(message.ts);
      if (!this.inThread && (!last || dayKey(last.ts) !== day)) items.set(`day ${day}`, { stamp: dayName(message.ts), make: () => h("div", { class: "day", role: "separator", "aria-label": dayName(message.ts) }, dayName(message.ts)) });
      const follows = this.follows(last, message);
      const replies = this.inThread ? [] : repliesTo(message);
      items.set(message.ts, { message, stamp: `${follows} ${replies.length} ${replies.at(-1)?.edited?.ts ?? ""} ${store.user}`, make: () => messageNode(message, { follows, inThread: this.inThread }) });
      last = message;
    }
    return items;
  }

  follows(last, message) {
    const same = last && last.user === message.user && dayKey(last.ts) === dayKey(message.ts) && Number(message.ts) - Number(last.ts) < FOLLOWS_S;
    return Boolean(same && !message.visible_to && !last.visible_to && !personOf(message.user).is_bot && !repliesTo(last).length);
  }

  flash(ts) {
    const node = this.shown.get(ts)?.node;
    if (!node) return;
    this.stuck = false;
    node.scrollIntoView({ block: "center" });
    node.classList.add("flash");
    node.focus({ preventScroll: true });
  }

  begin() {
    this.draw();
    this.drawn = true;
    this.toEnd();
  }
}

// Block ids change with each edit, as Slack wants; an action's id stays.
function sameIn(node, focused) {
  const { key = "", action = "" } = focused.dataset;
  return node.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? (action ? node.querySelector(`[data-action="${CSS.escape(action)}"]`) : null);
}

export const rootsOf = (channel) => (store.messages.get(channel) ?? []).filter((each) => !isReply(each));
