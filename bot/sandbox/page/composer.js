// Where people write: commands are completed, everything else is a message. Enter sends, Shift+Enter starts a line.

import { act } from "./api.js";
import { h, icon } from "./dom.js";
import { store } from "./store.js";
import { toast } from "./toasts.js";

const drafts = new Map(); // where → what was not sent yet
const sent = []; // what was sent from this tab, for the up arrow

export class Composer {
  constructor({ channel, thread = null, id, placeholder }) {
    Object.assign(this, { channel, thread, where: `${store.user} ${channel} ${thread ?? ""}`, at: -1, fitting: [] });
    this.text = h("textarea", {
      id, rows: "1", placeholder, "aria-label": placeholder, value: drafts.get(this.where) ?? "", autocapitalize: "off", spellcheck: "true", dataset: { key: id },
      role: thread ? null : "combobox", "aria-expanded": thread ? null : "false", "aria-autocomplete": thread ? null : "list", "aria-controls": thread ? null : `${id}-commands`,
      oninput: () => this.typed(), onkeydown: (event) => this.key(event), onblur: () => setTimeout(() => this.close(), 150), onfocus: () => this.typed(),
    });
    this.list = h("div", { class: "menu complete", role: "listbox", id: `${id}-commands`, "aria-label": "Commands", hidden: true });
    this.button = h("button", { class: "send", type: "button", "aria-label": "Send", onclick: () => this.send() }, icon("send"));
    this.hint = h("div", { class: "composer-hint" });
    this.node = h("div", { class: "composer-wrap" }, this.list, h("div", { class: "composer" }, this.text, this.button), this.hint);
    this.grow();
  }

  typed() {
    drafts.set(this.where, this.text.value);
    this.grow();
    this.complete();
  }

  grow() {
    this.text.style.height = "auto";
    if (this.text.scrollHeight) this.text.style.height = `${Math.min(this.text.scrollHeight, 180)}px`;
    this.button.classList.toggle("ready", Boolean(this.text.value.trim()));
    this.sayHint();
  }

  fill(text) {
    this.text.value = text;
    this.text.focus();
    this.text.setSelectionRange(text.length, text.length);
    this.typed();
    this.close();
  }

  sayHint() {
    const known = this.thread ? null : store.commands.find((each) => this.text.value === each.name || this.text.value.startsWith(`${each.name} `));
    if (known) this.hint.replaceChildren(h("code", {}, `${known.name} ${known.usage_hint}`), ` · ${known.description}`);
    else if (this.thread) this.hint.replaceChildren("Commands work in channels, not in threads");
    else this.hint.replaceChildren(h("kbd", {}, "/"), " for commands · ", h("kbd", {}, "Shift"), " + ", h("kbd", {}, "Enter"), " for a new line");
    this.hint.classList.toggle("usage", Boolean(known));
  }

  // -- completion -----------------------------------------------------------------------------------------------------

  complete() {
    const begun = this.text.value;
    this.fitting = !this.thread && /^\/\S*$/.test(begun) ? store.commands.filter((each) => each.name.startsWith(begun.toLowerCase()) && each.name !== begun) : [];
    if (!this.fitting.length || document.activeElement !== this.text) { this.close(); return; }
    this.list.replaceChildren(h("div", { class: "menu-title", role: "presentation" }, store.app.name), ...this.fitting.map((each, index) => h("button", {
      type: "button", role: "option", tabindex: "-1", id: `${this.list.id}-${index}`, onpointerdown: (event) => event.preventDefault(), onclick: () => this.take(each),
    }, h("b", {}, each.name), h("span", { class: "usage" }, each.usage_hint), h("span", { class: "says" }, each.description))));
    this.list.hidden = false;
    this.text.setAttribute("aria-expanded", "true");
    this.mark(0);
  }

  mark(index) {
    this.at = index;
    for (const [number, item] of [...this.list.querySelectorAll("button")].entries()) {
      item.classList.toggle("on", number === index);
      item.setAttribute("aria-selected", String(number === index));
    }
    this.text.setAttribute("aria-activedescendant", `${this.list.id}-${index}`);
  }

  close() {
    this.list.hidden = true;
    if (!this.thread) this.text.setAttribute("aria-expanded", "false");
    this.text.removeAttribute("aria-activedescendant");
  }

  take(command) {
    this.fill(`${command.name} `);
  }

  // -- keys -----------------------------------------------------------------------------------------------------------

  key(event) {
    if (event.isComposing) return;
    const open = !this.list.hidden;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (open && step) this.mark((this.at + step + this.fitting.length) % this.fitting.length);
    else if (open && (event.key === "Tab" || event.key === "Enter") && !event.shiftKey) this.take(this.fitting[this.at]);
    else if (open && event.key === "Escape") this.close();
    else if (event.key === "Enter" && !event.shiftKey) this.send();
    else if (event.key === "ArrowUp" && !this.text.value && sent.length) this.fill(sent.at(-1));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // -- sending --------------------------------------------------------------------------------------------------------

  async send() {
    const text = this.text.value.trim();
    if (!text || this.sending) return;
    this.sending = true;
    this.close();
    this.button.classList.add("busy");
    try {
      await (text.startsWith("/") ? this.run(text) : act("say", { user: store.user, channel: this.channel, text, thread_ts: this.thread }));
      sent.push(text);
      if (this.text.value.trim() === text) this.text.value = "";
      drafts.set(this.where, this.text.value);
      this.grow();
    } catch (error) {
      toast(error.message, "bad"); // what was written stays, to be sent again
    } finally {
      this.sending = false;
      this.button.classList.remove("busy");
    }
  }

  async run(text) {
    if (this.thread) throw new Error(`${text.split(/\s/)[0]} cannot be used in a thread. Type it in a channel.`);
    const { outcome } = await act("command", { user: store.user, channel: this.channel, text });
    if (outcome.message) throw new Error(outcome.message);
  }
}
