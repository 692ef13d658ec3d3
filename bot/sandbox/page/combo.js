// A select whose options the app offers while one types.

import { h, icon } from "./dom.js";
import { offered } from "./press.js";

const PAUSE_MS = 180;
let counter = 0;

export function combo(field) {
  return field.element.type.startsWith("multi_") ? new Several(field).node : new Combo(field, field.value, (option) => field.change(option)).node;
}

class Combo {
  constructor(field, chosen, choose) {
    Object.assign(this, { field, chosen, choose, options: [], at: -1, asked: 0 });
    const listId = `options-${(counter += 1)}`;
    this.list = h("div", { class: "menu", role: "listbox", id: listId, hidden: true, "aria-label": "Options" });
    this.input = h("input", {
      class: "pick", type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", "aria-expanded": "false", "aria-autocomplete": "list", "aria-controls": listId,
      value: chosen?.text?.text ?? "", placeholder: field.element.placeholder?.text, ...field.attributes,
      oninput: () => { this.chosen = null; this.choose(null); this.ask(PAUSE_MS); }, onclick: () => this.ask(0), onkeydown: (event) => this.key(event), onblur: () => this.leave(),
    });
    this.node = h("div", { class: "combo" }, this.input, icon("down"), this.list);
  }

  ask(pause) {
    clearTimeout(this.timer);
    const query = this.chosen ? "" : this.input.value;
    if (query.length < (this.field.element.min_query_length ?? 3)) return this.close();
    const number = (this.asked += 1);
    this.timer = setTimeout(async () => {
      try {
        const options = await offered(this.field.surface, this.field.block, this.field.element, query);
        if (number === this.asked) this.show(options);
      } catch (error) {
        if (number === this.asked) this.say(error.message);
      }
    }, pause);
    return undefined;
  }

  show(options) {
    if (document.activeElement !== this.input) return;
    this.options = options;
    if (!options.length) { this.say("Nothing fits."); return; }
    this.list.replaceChildren(...options.map((option, index) => h("button", {
      type: "button", role: "option", tabindex: "-1", id: `${this.list.id}-${index}`, "aria-selected": "false",
      onpointerdown: (event) => event.preventDefault(), onclick: () => this.take(option),
    }, option.text.text)));
    this.open();
    this.mark(Math.max(0, options.findIndex((each) => each.value === this.chosen?.value)));
  }

  say(words) {
    this.options = [];
    this.list.replaceChildren(h("p", { role: "status" }, words));
    this.open();
  }

  open() {
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.list.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.asked += 1;
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  mark(index) {
    this.at = index;
    for (const [number, item] of [...this.list.children].entries()) {
      item.classList.toggle("on", number === index);
      item.setAttribute("aria-selected", String(number === index));
    }
    this.list.children[index]?.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", `${this.list.id}-${index}`);
  }

  take(option) {
    this.chosen = option;
    this.input.value = option.text.text;
    this.close();
    this.choose(option);
  }

  key(event) {
    const open = !this.list.hidden;
    const count = this.options.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!open) this.ask(0);
      else if (count) this.mark((this.at + (event.key === "ArrowDown" ? 1 : -1) + count) % count);
    } else if (event.key === "Enter" && open && count) this.take(this.options[this.at]);
    else if (event.key === "Escape" && open) this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Only an offered option counts; letters that fit exactly one are taken as that one.
  leave() {
    clearTimeout(this.timer);
    const typed = this.input.value.trim().toLowerCase();
    const exact = this.options.find((each) => each.text.text.toLowerCase() === typed);
    if (!this.chosen && exact) this.take(exact);
    else this.close();
    if (!this.chosen) this.input.value = "";
  }
}

class Several {
  constructor(field) {
    this.field = field;
    this.chosen = [...(field.value ?? [])];
    this.node = h("div", { class: "several" });
    this.draw();
  }

  draw() {
    const chips = this.chosen.map((option) => h("button", { class: "chip", type: "button", "aria-label": `Remove ${option.text.text}`, onclick: () => this.set(this.chosen.filter((each) => each.value !== option.value)) }, option.text.text, icon("close")));
    const adding = new Combo(this.field, null, (option) => { if (option && !this.chosen.some((each) => each.value === option.value)) this.set([...this.chosen, option]); });
    this.node.replaceChildren(...chips, adding.node);
  }

  set(chosen) {
    this.chosen = chosen;
    this.field.change(chosen);
    this.draw();
  }
}
