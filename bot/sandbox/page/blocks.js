// Block Kit to DOM nodes. A surface says where the blocks stand: a message, a modal or the Home tab.

import { h, icon } from "./dom.js";
import { elementNode } from "./elements.js";
import { inputBlock } from "./inputs.js";
import { linkNode, mrkdwn, plain, safeLink, textObject } from "./mrkdwn.js";
import { markdown, richText, table } from "./richtext.js";

export function blocksNode(blocks, surface) {
  return h("div", { class: "blocks" }, blocks.map((block) => blockNode(block, surface)));
}

// One block that cannot be drawn (attachments are not checked as messages are) must not hide the others.
function blockNode(block, surface) {
  try {
    if (Object.hasOwn(DRAW, block.type)) return DRAW[block.type](block, surface);
  } catch { /* said below */ }
  return h("div", { class: "b-unknown" }, `A block of the type “${block?.type}” is not drawn here.`);
}

const DRAW = {
  header: (block) => h("h3", { class: "b-header" }, plain(block.text.text)),
  section,
  divider: () => h("hr", { class: "b-divider" }),
  context: (block) => h("div", { class: "b-context" }, block.elements.map((each) => (each.type === "image" ? picture(each) : textObject(each)))),
  actions: (block, surface) => h("div", { class: "b-actions" }, block.elements.map((each) => elementNode(each, block, surface))),
  context_actions: (block, surface) => h("div", { class: "b-actions" }, block.elements.map((each) => elementNode(each, block, surface))),
  input: inputBlock,
  image: (block) => h("figure", { class: "b-image" }, block.title && h("figcaption", {}, textObject(block.title)), picture(block)),
  markdown: (block) => markdown(block.text),
  rich_text: richText,
  table,
  video: (block) => h("div", { class: "nested" }, linkNode(block.title_url ?? block.video_url ?? "", block.title?.text ?? block.alt_text ?? "Video")),
  file: (block) => h("div", { class: "file" }, icon("file"), h("span", {}, block.external_id ?? "A file")),
  alert: (block) => h("div", { class: `b-alert ${block.level ?? "default"}`, role: block.level === "error" ? "alert" : "note" }, icon(ALERT_SIGNS[block.level] ?? "info"), textObject(block.text)),
  task_card: (block) => h("div", { class: "plan" }, task(block)),
  plan: (block) => h("div", { class: "plan" }, h("b", {}, block.title), (block.tasks ?? []).map(task)),
  card: (block, surface) => nested([...(block.title ? [block.title] : []), ...(block.subtitle ? [block.subtitle] : []), ...(block.body ? [block.body] : [])].map(textObject), block.actions, block, surface),
  carousel: (block, surface) => h("div", { class: "blocks" }, (block.elements ?? []).map((each) => blockNode(each, surface))),
  container: (block, surface) => h("div", { class: "nested" }, block.title && h("b", {}, textObject(block.title)), blocksNode(block.child_blocks ?? block.blocks ?? block.elements ?? [], surface)),
};

const ALERT_SIGNS = { warning: "warn", error: "fail", success: "done" };
const TASK_SIGNS = { complete: ["done", "done"], error: ["fail", "failed"], in_progress: ["spinner", "under way"], pending: ["ring", "not yet"] };

function section(block, surface) {
  const fields = block.fields && h("div", { class: "fields" }, block.fields.map(textObject));
  const side = block.accessory && h("div", { class: "side" }, block.accessory.type === "image" ? picture(block.accessory) : elementNode(block.accessory, block, surface));
  return h("div", { class: "b-section" }, h("div", { class: "words" }, block.text && textObject(block.text), fields), side);
}

function nested(children, actions, block, surface) {
  return h("div", { class: "nested blocks" }, children, actions?.length ? h("div", { class: "b-actions" }, actions.map((each) => elementNode(each, block, surface))) : null);
}

function task(block) {
  const [sign, said] = TASK_SIGNS[block.status] ?? TASK_SIGNS.pending;
  const details = [block.details, block.output].filter(Boolean).map((each) => h("small", {}, each.type === "rich_text" ? richText(each) : mrkdwn(String(each.text ?? each))));
  return h("div", { class: `task ${block.status ?? "pending"}` }, icon(sign, said), h("div", {}, block.title, details));
}

// Pictures come from the sandbox itself or not at all: the page loads nothing from elsewhere.
function picture(block) {
  const href = safeLink(block.image_url ?? block.slack_file?.url ?? "");
  if (href?.startsWith(`${location.origin}/`) && (block.image_url || block.slack_file?.url)) return h("img", { src: href, alt: block.alt_text ?? "" });
  return h("span", { class: "no-image" }, icon("image"), block.alt_text || "A picture from elsewhere");
}
