// Short notes that come and go, and questions that must be answered; both above any modal.

import { h, icon } from "./dom.js";
import { textObject } from "./mrkdwn.js";

const shelf = document.getElementById("toasts");
const SHOWN_MS = { good: 7000, bad: 10000 };

export function toast(text, kind = "good") {
  const close = h("button", { class: "toast-close", type: "button", "aria-label": "Dismiss", onclick: () => dismiss(node) }, icon("close"));
  const node = h("div", { class: `toast ${kind}`, role: kind === "bad" ? "alert" : null }, icon(kind === "bad" ? "warn" : "done"), h("span", {}, text), close);
  shelf.append(node);
  while (shelf.children.length > 3) shelf.firstChild.remove();
  raise();
  setTimeout(() => dismiss(node), SHOWN_MS[kind]);
}

function dismiss(node) {
  node.remove();
  if (!shelf.children.length && shelf.matches(":popover-open")) shelf.hidePopover();
}

// A modal opened later would cover the toasts: put them on top of the top layer again.
export function raise() {
  if (!shelf.showPopover || !shelf.children.length) return;
  shelf.popover = "manual";
  if (shelf.matches(":popover-open")) shelf.hidePopover();
  shelf.showPopover();
}

// Ask what a `confirm` object asks; resolves to whether it was confirmed.
export function ask(question) {
  return new Promise((resolve) => {
    const settle = (answer) => { dialog.close(); dialog.remove(); resolve(answer); };
    const style = question.style === "danger" ? "solid danger" : "primary";
    const yes = h("button", { class: `btn ${style}`, type: "button", onclick: () => settle(true) }, textObject(question.confirm));
    const no = h("button", { class: "btn", type: "button", onclick: () => settle(false) }, textObject(question.deny));
    const dialog = h("dialog", { class: "question", "aria-labelledby": "question-title" },
      h("div", { class: "sheet-head" }, h("h2", { id: "question-title" }, textObject(question.title))),
      h("div", { class: "sheet-body" }, textObject(question.text)),
      h("div", { class: "sheet-foot" }, no, yes));
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); settle(false); });
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
    raise();
  });
}
