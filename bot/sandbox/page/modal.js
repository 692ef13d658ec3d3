// The modal on top of this person's stack: drawn from the sandbox's view, keeping what was typed.

import { act } from "./api.js";
import { blocksNode } from "./blocks.js";
import { h, icon } from "./dom.js";
import { inputAttributes } from "./inputs.js";
import { plain } from "./mrkdwn.js";
import { busy } from "./press.js";
import { store } from "./store.js";
import { raise, toast } from "./toasts.js";

const typed = new Map(); // view id → { block id: { action id: value } }
const finePointer = matchMedia("(pointer: fine)");
let dialog = null;
let shown = { id: "", hash: "" };
let errors = {};
let opener = null;

export function drawModal() {
  const view = store.views.at(-1);
  if (!view) { leave(); return; }
  if (view.id === shown.id && view.hash === shown.hash) return;
  if (view.id !== shown.id || view.hash !== shown.hash) errors = {};
  for (const id of typed.keys()) if (!store.views.some((each) => each.id === id)) typed.delete(id);
  shown = { id: view.id, hash: view.hash };
  draw(view);
}

function leave() {
  if (!dialog) return;
  dialog.close();
  dialog.remove();
  dialog = null;
  shown = { id: "", hash: "" };
  typed.clear();
  if (opener?.isConnected) opener.focus();
}

function draw(view) {
  if (!dialog) {
    opener = document.activeElement;
    dialog = h("dialog", { class: "modal", "aria-labelledby": "modal-title" });
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(store.views.length > 1 ? false : true); });
    dialog.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(); });
    document.body.append(dialog);
  }
  const focused = dialog.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset.key;
  const caret = focused && "selectionStart" in focused ? focused.selectionStart : null;
  dialog.replaceChildren(sheet(view));
  if (!dialog.open) dialog.showModal();
  place(key, caret);
  raise();
}

function sheet(view) {
  const many = store.views.length > 1;
  const back = many && h("button", { class: "round", type: "button", "aria-label": "Back", onclick: () => close(false) }, icon("back"));
  const cross = h("button", { class: "round", type: "button", "aria-label": "Close", onclick: () => close(true) }, icon("close"));
  const loading = !view.submit && !view.close;
  const cancel = h("button", { class: "btn", type: "button", onclick: () => close(false) }, view.close ? plain(view.close.text) : "Close");
  const send = view.submit && h("button", { class: "btn primary", type: "submit" }, plain(view.submit.text));
  return h("form", { class: "sheet", novalidate: true, "aria-busy": loading ? "true" : null, onsubmit: (event) => { event.preventDefault(); submit(); } },
    h("div", { class: "sheet-head" }, back, h("h2", { id: "modal-title", tabindex: "-1" }, plain(view.title?.text ?? "")), cross),
    h("div", { class: "sheet-body" }, loading && h("span", { class: "turning", "aria-hidden": "true" }, icon("spinner")), blocksNode(view.blocks, surfaceOf(view))),
    h("div", { class: "sheet-trouble", role: "alert", hidden: true }),
    !loading && h("div", { class: "sheet-foot" }, cancel, send));
}

// Where the keyboard is: back where it was; else the first thing that is wrong, or the first to fill in.
function place(key, caret) {
  const same = key && dialog.querySelector(`[data-key="${CSS.escape(key)}"]`);
  const first = dialog.querySelector(".b-input.bad :is(input, textarea, select)") ?? dialog.querySelector(".sheet-body :is(input, textarea, select)");
  const target = (Object.keys(errors).length ? first : same) ?? (finePointer.matches ? first : null) ?? dialog.querySelector("#modal-title");
  target.focus();
  if (target === same && caret !== null && target.setSelectionRange) target.setSelectionRange(caret, caret);
}

function surfaceOf(view) {
  const entered = () => typed.get(view.id) ?? {};
  return {
    kind: "modal", where: { view: view.id }, errors,
    attributes: (block) => inputAttributes(block, errors),
    read: (block, element) => {
      const mine = entered()[block.block_id] ?? {};
      return element.action_id in mine ? mine[element.action_id] : heldBy(view, block, element);
    },
    write: (block, element, value) => {
      const all = entered();
      all[block.block_id] = { ...all[block.block_id], [element.action_id]: value };
      typed.set(view.id, all);
    },
    entered: () => stillThere(view, entered()),
  };
}

// What the sandbox holds for an element: Slack's entry has one key besides its type.
export function heldBy(view, block, element) {
  const entry = view.state?.values?.[block.block_id]?.[element.action_id] ?? {};
  return Object.entries(entry).find(([name]) => name !== "type")?.[1];
}

function stillThere(view, values) {
  const blocks = new Set(view.blocks.map((each) => each.block_id));
  return Object.fromEntries(Object.entries(values).filter(([block]) => blocks.has(block)));
}

async function submit() {
  const view = store.views.at(-1);
  const button = dialog?.querySelector('button[type="submit"]');
  if (!view?.submit || button?.getAttribute("aria-disabled") === "true") return;
  await busy(button, async () => {
    trouble("");
    const { outcome } = await act("submit", { user: store.user, view: view.id, values: stillThere(view, typed.get(view.id) ?? {}) });
    errors = outcome.errors ?? {};
    if (outcome.message) trouble(outcome.message);
    if (Object.keys(errors).length && shown.id === view.id) draw(store.views.at(-1));
  });
}

function trouble(words) {
  const node = dialog?.querySelector(".sheet-trouble");
  if (!node) return;
  node.textContent = words;
  node.hidden = !words;
}

async function close(all) {
  const view = store.views.at(-1);
  if (!view) return;
  try {
    const { outcome } = await act("close_view", { user: store.user, view: view.id, all });
    if (outcome.message) toast(outcome.message, "bad");
  } catch (error) {
    toast(error.message, "bad");
    if (error.code === "view_not_found") leave();
  }
}
