// One message as it stands now: who, when, what, files, reactions, replies.

import { blocksNode } from "./blocks.js";
import { h, icon } from "./dom.js";
import { emojiNode } from "./emoji.js";
import { avatar, bytes, clock, dateOf, exact, personOf } from "./format.js";
import { mrkdwn, safeLink } from "./mrkdwn.js";
import { openThread } from "./navigation.js";
import { dismiss, repliesTo } from "./store.js";

export function messageNode(message, { follows = false, inThread = false } = {}) {
  const author = personOf(message.user);
  const replies = inThread ? [] : repliesTo(message);
  const node = h("article", {
    class: `msg ${message.visible_to ? "whisper" : ""} ${follows ? "follow" : ""}`, tabindex: "-1",
    dataset: { ts: message.ts, key: `message ${message.ts}` }, "aria-label": `${author.real_name}, ${clock(message.ts)}`,
  },
  message.visible_to && onlyYou(message),
  follows ? h("span", { class: "gutter", "aria-hidden": "true" }, clock(message.ts)) : avatar(author),
  h("div", { class: "content" }, !follows && head(author, message), body(message), files(message), reactions(message), replies.length ? repliesButton(message, replies) : null),
  !inThread && !message.visible_to && tools(message));
  return node;
}

function onlyYou(message) {
  return h("div", { class: "only-you" }, icon("eye"), "Only visible to you", h("button", { type: "button", onclick: () => dismiss(message) }, "Dismiss"));
}

function head(author, message) {
  const kind = author.is_bot ? "app" : author.stranger ? "partner" : author.guest ? "guest" : "";
  return h("div", { class: "head" }, h("b", {}, author.real_name), kind && h("span", { class: `tag ${kind}` }, kind),
    h("time", { title: exact(message.ts), datetime: dateOf(message.ts).toISOString() }, clock(message.ts)));
}

function body(message) {
  const surface = { kind: "message", where: { channel: message.channel, ts: message.ts } };
  const shown = message.blocks?.length ? blocksNode(message.blocks, surface) : message.text ? mrkdwn(message.text) : null;
  const attached = (message.attachments ?? []).map((each) => h("div", { class: "attached" }, each.blocks ? blocksNode(each.blocks, surface) : mrkdwn(each.text ?? each.fallback ?? "")));
  return h("div", { class: "body" }, shown, attached, message.edited && h("span", { class: "edited" }, " (edited)"));
}

function files(message) {
  return (message.files ?? []).map((file) => {
    const href = safeLink(file.url_private ?? "");
    const own = href?.startsWith(location.origin) ? href : null;
    if (own && file.mimetype?.startsWith("image/")) {
      return h("figure", { class: "picture" }, h("a", { href: own, target: "_blank", rel: "noopener" }, h("img", { src: own, alt: file.title ?? file.name, loading: "lazy" })), h("figcaption", {}, file.title ?? file.name));
    }
    return h("a", { class: "file", href: own, download: file.name }, icon("file"), h("span", {}, file.title ?? file.name, h("small", {}, `${file.filetype?.toUpperCase() || "File"} · ${bytes(file.size ?? 0)}`)));
  });
}

function reactions(message) {
  const all = message.reactions ?? [];
  return all.length ? h("div", { class: "reactions" }, all.map((each) => h("span", { class: "reaction", title: each.users.map((id) => personOf(id).real_name).join(", ") }, emojiNode(each.name) ?? `:${each.name}:`, ` ${each.count}`))) : null;
}

function repliesButton(message, replies) {
  const last = replies.at(-1);
  const authors = [...new Set(replies.map((each) => each.user))].slice(0, 4);
  return h("button", { class: "replies", type: "button", dataset: { key: `thread ${message.ts}` }, onclick: () => openThread(message) },
    authors.map((id) => avatar(personOf(id), "s")), h("b", {}, `${replies.length} ${replies.length === 1 ? "reply" : "replies"}`), h("span", { class: "quiet small" }, `last at ${clock(last.edited?.ts ?? last.ts)}`));
}

function tools(message) {
  return h("div", { class: "tools" }, h("button", { type: "button", "aria-label": "Reply in thread", onclick: () => openThread(message) }, icon("reply"), "Reply"));
}
