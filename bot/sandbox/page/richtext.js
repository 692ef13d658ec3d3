// rich_text blocks, table cells, and the markdown block, to DOM nodes.

import { h } from "./dom.js";
import { emojiNode, withEmoji } from "./emoji.js";
import { exact, slackDate } from "./format.js";
import { channelNode, groupNode, linkNode, personNode } from "./mrkdwn.js";

export function richText(block) {
  return h("div", { class: "rich" }, (block.elements ?? []).map(part));
}

function part(element) {
  const inside = element.elements ?? [];
  if (element.type === "rich_text_list") {
    const tag = element.style === "ordered" ? "ol" : "ul";
    const indent = { "margin-left": `${(element.indent ?? 0) * 22}px` };
    return h(tag, { style: indent, start: element.offset ? element.offset + 1 : null }, inside.map((each) => h("li", {}, (each.elements ?? []).map(leaf))));
  }
  if (element.type === "rich_text_preformatted") return h("pre", { class: "code" }, inside.map(leaf));
  if (element.type === "rich_text_quote") return h("blockquote", {}, inside.map(leaf));
  return h("p", {}, inside.map(leaf));
}

function leaf(element) {
  const node = bare(element);
  const style = element.style ?? {};
  let shown = node;
  if (style.code) shown = h("code", {}, shown);
  if (style.strike) shown = h("s", {}, shown);
  if (style.italic) shown = h("i", {}, shown);
  if (style.bold) shown = h("b", {}, shown);
  return shown;
}

function bare(element) {
  switch (element.type) {
    case "text": return h("span", {}, element.style?.code ? element.text : withEmoji(element.text ?? ""));
    case "link": return linkNode(element.url ?? "", element.text || element.url);
    case "user": return personNode(element.user_id);
    case "channel": return channelNode(element.channel_id);
    case "usergroup": return groupNode(element.usergroup_id);
    case "broadcast": return h("span", { class: "mention you" }, `@${element.range}`);
    case "emoji": return emojiNode(element.name) ?? h("span", {}, `:${element.name}:`);
    case "date": return h("span", { class: "date", title: exact(element.timestamp) }, slackDate(element.timestamp, element.format ?? "{date_short} {time}"));
    case "color": return h("code", {}, element.value ?? "");
    default: return h("span", {}, element.text ?? "");
  }
}

export function table(block) {
  const settings = block.column_settings ?? [];
  const cell = (tag) => (each, column) => {
    const content = each.type === "rich_text" ? richText(each) : withEmoji(String(each.text ?? each.value ?? ""));
    const number = each.type === "raw_number" || /^[\d.,\s%+-]+$/.test(each.text ?? "");
    return h(tag, { class: settings[column]?.align ?? (number ? "right" : ""), scope: tag === "th" ? "col" : null }, content);
  };
  const [first = [], ...rest] = block.rows ?? [];
  const head = h("thead", {}, h("tr", {}, first.map(cell("th"))));
  return h("div", { class: "b-table", tabindex: "0", role: "region", "aria-label": "Table" }, h("table", {}, head, h("tbody", {}, rest.map((row) => h("tr", {}, row.map(cell("td")))))));
}

// The markdown block: headings, lists, quotes, fences, tables, and what stands in a line.
export function markdown(text) {
  const root = h("div", { class: "md" });
  const rows = text.split("\n");
  while (rows.length) root.append(markdownPiece(rows));
  return root;
}

function markdownPiece(rows) {
  const line = rows.shift();
  if (/^```/.test(line)) {
    const code = takeWhile(rows, (each) => !/^```/.test(each));
    rows.shift();
    return h("pre", { class: "code" }, code.join("\n"));
  }
  if (/^#{1,6}\s/.test(line)) return h("h3", {}, markdownLine(line.replace(/^#+\s/, "")));
  if (/^(-{3,}|\*{3,})$/.test(line)) return h("hr", { class: "b-divider" });
  const list = line.match(/^(\s*)([-*]|\d+\.)\s/);
  if (list) {
    const items = [line, ...takeWhile(rows, (each) => /^(\s*)([-*]|\d+\.)\s/.test(each))];
    return h(/\d/.test(list[2]) ? "ol" : "ul", {}, items.map((each) => h("li", {}, markdownLine(each.replace(/^\s*([-*]|\d+\.)\s(\[.\]\s)?/, "")))));
  }
  if (/^>/.test(line)) return h("blockquote", {}, [line, ...takeWhile(rows, (each) => /^>/.test(each))].map((each) => h("div", {}, markdownLine(each.replace(/^>\s?/, "")))));
  if (/^\|/.test(line) && /^\|[\s:|-]+\|?$/.test(rows[0] ?? "")) return markdownTable(line, rows);
  const more = takeWhile(rows, (each) => each && !/^(```|#{1,6}\s|>|\||\s*([-*]|\d+\.)\s)/.test(each));
  return h("p", {}, [line, ...more].flatMap((each, index) => [index ? "\n" : "", ...markdownLine(each)]));
}

function markdownTable(line, rows) {
  const split = (each) => each.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  rows.shift();
  const body = takeWhile(rows, (each) => /^\|/.test(each)).map(split);
  const row = (tag, cells) => h("tr", {}, cells.map((each) => h(tag, {}, markdownLine(each))));
  return h("div", { class: "b-table" }, h("table", {}, h("thead", {}, row("th", split(line))), h("tbody", {}, body.map((cells) => row("td", cells)))));
}

function takeWhile(rows, wanted) {
  const taken = [];
  while (rows.length && wanted(rows[0])) taken.push(rows.shift());
  return taken;
}

const IN_LINE = /`([^`]+)`|\*\*(.+?)\*\*|__(.+?)__|\*(.+?)\*|_(.+?)_|~~(.+?)~~|!?\[([^\]]*)\]\(([^)\s]+)\)/;

function markdownLine(text) {
  const found = text.match(IN_LINE);
  if (!found) return withEmoji(text);
  const [whole, code, bold, bold2, italic, italic2, strike, label, address] = found;
  let node;
  if (code) node = h("code", {}, code);
  else if (bold ?? bold2) node = h("b", {}, markdownLine(bold ?? bold2));
  else if (italic ?? italic2) node = h("i", {}, markdownLine(italic ?? italic2));
  else if (strike) node = h("s", {}, markdownLine(strike));
  else node = linkNode(address, label || address);
  return [...withEmoji(text.slice(0, found.index)), node, ...markdownLine(text.slice(found.index + whole.length))];
}
