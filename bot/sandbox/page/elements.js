// What people can press, choose or fill in, wherever it stands. A surface that collects (a modal) is told each value;
// outside of input blocks the app is told, too.

import { combo } from "./combo.js";
import { h, icon, openMenu } from "./dom.js";
import { localParts, toSeconds } from "./format.js";
import { plain, safeLink, textObject } from "./mrkdwn.js";
import { press } from "./press.js";
import { me, store } from "./store.js";

export function elementNode(element, block, surface) {
  if (!Object.hasOwn(DRAW, element.type)) return h("span", { class: "b-unknown" }, `“${element.type}” is not drawn here.`);
  return DRAW[element.type](new Field(element, block, surface));
}

// One element with its place: how it is found again, what it holds, and what happens when it changes.
export class Field {
  constructor(element, block, surface, attributes = {}) {
    Object.assign(this, { element, block, surface });
    const label = element.accessibility_label ?? element.placeholder?.text ?? block.label?.text;
    this.attributes = { dataset: { key: `${block.block_id}/${element.action_id}`, action: element.action_id }, "aria-label": label, ...attributes };
    if (block.type === "input") delete this.attributes["aria-label"];
    Object.assign(this.attributes, surface.attributes?.(block) ?? {});
  }

  get value() { return this.surface.read?.(this.block, this.element); }

  // `eager` is false for letters typed into a text, which the app hears of on Enter only.
  change(value, { eager = true, node = null } = {}) {
    this.surface.write?.(this.block, this.element, value);
    const told = this.block.type !== "input" || this.block.dispatch_action;
    if (eager && told) press(this.surface, this.block, this.element, { value, node });
  }
}

const DRAW = {
  button, workflow_button: button, icon_button: button, feedback_buttons: feedback, overflow,
  static_select: select, external_select: combo,
  users_select: (field) => select(field, people()), channels_select: (field) => select(field, channels()), conversations_select: (field) => select(field, channels()),
  multi_static_select: (field) => many(field), multi_external_select: combo,
  multi_users_select: (field) => many(field, people()), multi_channels_select: (field) => many(field, channels()), multi_conversations_select: (field) => many(field, channels()),
  checkboxes: (field) => many(field), radio_buttons: radios,
  datepicker: (field) => single(field, "date"), timepicker: (field) => single(field, "time"), datetimepicker: moment,
  plain_text_input: text, rich_text_input: richInput,
  number_input: (field) => single(field, "text", { inputmode: field.element.is_decimal_allowed ? "decimal" : "numeric" }),
  email_text_input: (field) => single(field, "email"), url_text_input: (field) => single(field, "url"),
  file_input: () => h("span", { class: "no-image" }, icon("file"), "Files cannot be added in the sandbox."),
};

// -- buttons ----------------------------------------------------------------------------------------------------------

function button({ element, block, surface, attributes }) {
  const href = element.url ? safeLink(element.url) : null;
  const label = element.type === "icon_button" ? (element.accessibility_label ?? element.text?.text ?? element.icon) : null;
  const node = h(href ? "a" : "button", {
    class: `btn ${element.style ?? ""}`, ...attributes, "aria-label": label ?? element.accessibility_label ?? null,
    ...(href ? { href, target: "_blank", rel: "noopener noreferrer" } : { type: "button" }),
    onclick: () => press(surface, block, element, { node }),
  }, label ? label : plain(element.text?.text ?? ""));
  return node;
}

function feedback({ element, block, surface, attributes }) {
  return h("span", { class: "b-actions" }, [element.positive_button, element.negative_button].filter(Boolean).map((each) => {
    const node = h("button", { class: "btn", type: "button", ...attributes, onclick: () => press(surface, block, element, { value: each.value, node }) }, plain(each.text?.text ?? ""));
    return node;
  }));
}

function overflow({ element, block, surface, attributes }) {
  const opener = h("button", { class: "btn", type: "button", ...attributes, "aria-label": "More actions", "aria-haspopup": "menu", "aria-expanded": "false", onclick: () => {
    if (box.querySelector(".menu")) return;
    const menu = h("div", { class: "menu", role: "menu" }, element.options.map((option) => h("button", { type: "button", role: "menuitem", onclick: () => { close(true); press(surface, block, element, { value: option.value, node: opener }); } }, textObject(option.text))));
    box.append(menu);
    const close = openMenu(menu, opener);
  } }, icon("dots"));
  const box = h("span", { class: "overflow" }, opener);
  return box;
}

// -- choosing ---------------------------------------------------------------------------------------------------------

const people = () => [...store.people.values()].filter((each) => !each.deleted).map((each) => ({ value: each.id, text: { text: each.real_name } }));
const channels = () => store.channels.filter((each) => !each.is_im).map((each) => ({ value: each.id, text: { text: `#${each.name}` } }));

function select(field, options = field.element.options ?? []) {
  const { element, attributes } = field;
  const chosen = field.value?.value ?? field.value ?? "";
  const item = (option) => h("option", { value: option.value, selected: option.value === chosen }, option.text.text);
  const groups = (element.option_groups ?? []).map((group) => h("optgroup", { label: group.label.text }, group.options.map(item)));
  const empty = h("option", { value: "", selected: !chosen }, element.placeholder?.text ?? "Choose …");
  const node = h("select", { class: "pick", ...attributes, onchange: () => field.change(node.value || null, { node }) }, empty, groups.length ? groups : options.map(item));
  return node;
}

function many(field, options = field.element.options ?? (field.element.option_groups ?? []).flatMap((group) => group.options)) {
  const chosen = new Set((field.value ?? []).map((each) => each.value ?? each));
  const item = (option, index) => {
    const box = h("input", { type: "checkbox", checked: chosen.has(option.value), ...field.attributes, "aria-label": null, dataset: { ...field.attributes.dataset, key: `${field.attributes.dataset.key}/${index}` }, onchange: () => {
      chosen[box.checked ? "add" : "delete"](option.value);
      field.change(options.map((each) => each.value).filter((each) => chosen.has(each)));
    } });
    return choice(box, option);
  };
  return h("div", { class: "choices", role: "group", "aria-label": field.block.label?.text ?? field.attributes["aria-label"] }, options.map(item));
}

function radios(field) {
  const chosen = field.value?.value ?? field.value;
  const name = field.attributes.dataset.key;
  const item = (option, index) => choice(h("input", { type: "radio", name, checked: option.value === chosen, ...field.attributes, "aria-label": null, dataset: { ...field.attributes.dataset, key: `${name}/${index}` }, onchange: () => field.change(option.value) }), option);
  return h("div", { class: "choices", role: "radiogroup", "aria-label": field.block.label?.text ?? field.attributes["aria-label"] }, (field.element.options ?? []).map(item));
}

function choice(box, option) {
  return h("label", {}, box, h("span", {}, textObject(option.text), option.description && h("small", {}, textObject(option.description))));
}

// -- writing ----------------------------------------------------------------------------------------------------------

function single(field, type, more = {}) {
  const picker = type === "date" || type === "time";
  const node = h("input", {
    class: "pick", type, value: field.value ?? "", placeholder: field.element.placeholder?.text, autocomplete: "off", ...more, ...field.attributes,
    oninput: () => field.change(node.value || null, { eager: false }), onchange: () => { if (picker) field.change(node.value || null, { node }); },
  });
  return node;
}

function text(field) {
  const { element, attributes } = field;
  const limits = { maxlength: element.max_length, placeholder: element.placeholder?.text };
  const onEnter = () => (element.dispatch_action_config?.trigger_actions_on ?? ["on_enter_pressed"]).includes("on_enter_pressed");
  const typed = () => field.change(node.value || null, { eager: false });
  const tag = element.multiline ? "textarea" : "input";
  const node = h(tag, {
    class: "pick", ...limits, ...attributes, ...(tag === "input" ? { type: "text", autocomplete: "off" } : {}), value: field.value ?? "", oninput: typed,
    onkeydown: (event) => {
      if (event.key === "Enter" && tag === "input" && field.block.dispatch_action && onEnter()) { event.preventDefault(); field.change(node.value || null, { node }); }
    },
  });
  return node;
}

function richInput(field) {
  const words = (rich) => (rich?.elements ?? []).flatMap((each) => each.elements ?? []).map((each) => each.text ?? "").join("");
  const wrapped = (value) => ({ type: "rich_text", elements: [{ type: "rich_text_section", elements: [{ type: "text", text: value }] }] });
  const node = h("textarea", { class: "pick", ...field.attributes, value: words(field.value), placeholder: field.element.placeholder?.text, oninput: () => field.change(node.value ? wrapped(node.value) : null, { eager: false }) });
  return node;
}

// A moment: day and minute in the person's own zone, told to the app as UNIX seconds.
function moment(field) {
  const [day, time] = field.value ? localParts(field.value) : ["", ""];
  const label = field.block.label?.text ?? "Moment";
  const { dataset, ...rest } = field.attributes;
  const changed = () => field.change(days.value ? toSeconds(days.value, times.value) : null);
  const days = h("input", { class: "pick", type: "date", value: day, ...rest, "aria-label": `${label}: day`, dataset: { ...dataset, key: `${dataset.key}/day` }, onchange: changed });
  const times = h("input", { class: "pick", type: "time", value: time, ...rest, id: null, "aria-label": `${label}: time`, dataset: { ...dataset, key: `${dataset.key}/time` }, onchange: changed });
  return h("div", { class: "when" }, days, times, h("span", { class: "zone" }, me().tz));
}
