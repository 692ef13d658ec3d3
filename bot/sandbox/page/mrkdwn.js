// Slack's mrkdwn to DOM nodes.

import { h } from "./dom.js";
import { withEmoji } from "./emoji.js";
import { exact, personOf, slackDate } from "./format.js";
import { store } from "./store.js";

export function decode(text) {
  return text.replace(/&(lt|gt|amp);/g, (_, name) => ({ lt: "<", gt: ">", amp: "&" })[name]);
}

export function safeLink(address) {
  try {
    const url = new URL(address, location.href);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

export function linkNode(address, ...label) {
  const href = safeLink(address);
  if (!href) return h("span", {}, ...label);
  const own = href.startsWith(`${location.origin}/archives/`);
  return h("a", own ? { href, dataset: { permalink: href } } : { href, target: "_blank", rel: "noopener noreferrer" }, ...label);
}

export function plain(text) {
  return h("span", { class: "txt" }, withEmoji(text));
}

export function textObject(object) {
  if (!object) return null;
  return object.type === "mrkdwn" ? mrkdwn(object.text) : plain(object.text);
}

// Code first, because nothing inside it means anything; then lines, because quotes are lines; then what stands in a line.
export function mrkdwn(text) {
  const root = h("div", { class: "txt" });
  for (const [index, part] of text.split(/```/).entries()) {
    const closed = index % 2 === 1 && index < text.split(/```/).length - 1;
    if (closed) root.append(h("pre", { class: "code" }, angled(part.replace(/^\n/, "").replace(/\n$/, ""), true)));
    else if (part) root.append(...lines((index % 2 ? "```" : "") + trimAfterCode(part, index)));
  }
  return root;
}

const trimAfterCode = (part, index) => (index > 0 ? part.replace(/^\n/, "") : part);

function lines(text) {
  const out = [];
  let quote = null;
  const all = text.split("\n");
  for (const [index, line] of all.entries()) {
    const quoted = line.match(/^(?:&gt;|>)\s?(.*)$/);
    if (quoted) {
      if (quote) quote.append("\n");
      else { quote = h("blockquote"); out.push(quote); }
      quote.append(...inline(quoted[1]));
    } else {
      const after = quote;
      quote = null;
      out.push(...inline(line));
      if (index < all.length - 1 && !(after && line === "")) out.push("\n");
    }
  }
  return out;
}

// A bar of block characters and its percentage.
const METER = /^[█▓▒░]{5,} ?\d* ?%?$/;

export function inline(text) {
  const out = [];
  let at = 0;
  for (const found of text.matchAll(/`([^`\n]+)`/g)) {
    out.push(...styled(text.slice(at, found.index)), h("code", { class: METER.test(found[1]) ? "meter" : null }, angled(found[1], true)));
    at = found.index + found[0].length;
  }
  out.push(...styled(text.slice(at)));
  return out;
}

const STYLES = { "*": "b", _: "i", "~": "s" };
const STYLED = /(^|[\s(["'“‘,.:;!?—–/>|*_~-])([*_~])(?=\S)([^\n]*?\S)\2(?=$|[\s)\]"'”’,.:;!?—–/<|*_~-])/u;

function styled(text) {
  // Angled pieces (<…>) are kept whole: a link may hold the signs that style.
  const out = [];
  const kept = [];
  const hidden = text.replace(/<[^<>]+>/g, (piece) => `\u0001${kept.push(piece) - 1}\u0002`);
  const restore = (piece) => piece.replace(/\u0001(\d+)\u0002/g, (_, index) => kept[index]);
  let rest = hidden;
  for (let found = rest.match(STYLED); found; found = rest.match(STYLED)) {
    const start = found.index + found[1].length;
    out.push(...angled(restore(rest.slice(0, start))));
    out.push(h(STYLES[found[2]], {}, styled(restore(found[3]))));
    rest = rest.slice(start + found[0].length - found[1].length);
  }
  out.push(...angled(restore(rest)));
  return out;
}

function angled(text, code = false) {
  const out = [];
  let at = 0;
  const words = (piece) => (code ? [decode(piece)] : withEmoji(decode(piece)));
  for (const found of text.matchAll(/<([^<>\n]+)>/g)) {
    out.push(...words(text.slice(at, found.index)), angledNode(found[1]));
    at = found.index + found[0].length;
  }
  out.push(...words(text.slice(at)));
  return out.filter((piece) => piece !== "");
}

function angledNode(inside) {
  const bar = inside.indexOf("|");
  const target = bar < 0 ? inside : inside.slice(0, bar);
  const label = bar < 0 ? "" : inside.slice(bar + 1);
  if (target.startsWith("@")) return personNode(target.slice(1));
  if (target.startsWith("#")) return channelNode(target.slice(1), label);
  if (target.startsWith("!date^")) return dateNode(target, label);
  if (target.startsWith("!subteam^")) return groupNode(target.slice(9), label);
  if (target.startsWith("!")) return h("span", { class: "mention you" }, `@${target.slice(1)}`);
  return linkNode(decode(target), withEmoji(decode(label || target.replace(/^mailto:/, ""))));
}

export function personNode(id) {
  return h("span", { class: `mention ${id === store.user ? "you" : ""}` }, `@${personOf(id).real_name}`);
}

export function channelNode(id, label = "") {
  const channel = store.channels.find((each) => each.id === id);
  if (!channel) return h("span", { class: "mention" }, `#${decode(label) || id}`);
  return h("a", { class: "mention", href: `#${store.user}/${id}` }, `#${channel.name}`);
}

export function groupNode(id, label = "") {
  const group = store.groups.get(id);
  const mine = group?.members.includes(store.user);
  return h("span", { class: `mention ${mine ? "you" : ""}` }, group ? `@${group.handle}` : decode(label) || id);
}

function dateNode(target, fallback) {
  const [, seconds, pattern, link] = target.split("^");
  const shown = /^\d+$/.test(seconds) && pattern ? slackDate(Number(seconds), decode(pattern)) : decode(fallback);
  const node = h("span", { class: "date", title: /^\d+$/.test(seconds) ? exact(seconds) : "" }, shown);
  return link ? linkNode(decode(link), node) : node;
}
