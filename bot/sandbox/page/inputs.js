// An input block: label, element, hint, and what is wrong with it.

import { h, icon } from "./dom.js";
import { elementNode } from "./elements.js";
import { plain } from "./mrkdwn.js";

const GROUPS = new Set(["checkboxes", "radio_buttons", "multi_static_select", "multi_users_select", "multi_channels_select", "multi_conversations_select", "file_input"]);

export function inputBlock(block, surface) {
  const wrong = surface.errors?.[block.block_id];
  const id = inputId(block);
  const words = [plain(block.label.text), block.optional && h("span", { class: "optional" }, " (optional)")];
  const label = GROUPS.has(block.element.type) ? h("div", { class: "label" }, words) : h("label", { htmlFor: id }, words);
  return h("div", { class: `b-input ${wrong ? "bad" : ""}`, dataset: { block: block.block_id } },
    label, elementNode(block.element, block, surface),
    wrong && h("div", { class: "wrong", id: `${id}-wrong` }, icon("warn"), wrong),
    block.hint && h("div", { class: "hint", id: `${id}-hint` }, plain(block.hint.text)));
}

export const inputId = (block) => `input-${block.block_id}`;

// What ties an input to its label, hint and error.
export function inputAttributes(block, errors) {
  if (block.type !== "input") return {};
  const id = inputId(block);
  const wrong = errors[block.block_id];
  const described = [wrong && `${id}-wrong`, block.hint && `${id}-hint`].filter(Boolean).join(" ");
  return { ...(GROUPS.has(block.element.type) ? {} : { id }), "aria-describedby": described || null, "aria-invalid": wrong ? "true" : null, "aria-required": block.optional ? null : "true" };
}
