// Emoji by shortcode. The ones that carry meaning on an operator's cards are drawn here, so that they look alike on every machine.

import { h, svgOf } from "./dom.js";

const GLYPHS = {
  wave: "👋", tada: "🎉", eyes: "👀", thumbsup: "👍", "+1": "👍", thumbsdown: "👎", "-1": "👎", rocket: "🚀", fire: "🔥", bug: "🐛",
  computer: "💻", file_cabinet: "🗄️", floppy_disk: "💾", package: "📦", bar_chart: "📊", chart_with_upwards_trend: "📈", memo: "📝",
  clipboard: "📋", calendar: "📅", date: "📅", mag: "🔍", wrench: "🔧", hammer_and_wrench: "🛠️", gear: "⚙️", bulb: "💡", zap: "⚡",
  speech_balloon: "💬", point_right: "👉", point_up: "☝️", raised_hands: "🙌", pray: "🙏", clap: "👏", muscle: "💪", sos: "🆘",
  construction: "🚧", recycle: "♻️", wastebasket: "🗑️", broom: "🧹", stopwatch: "⏱️", mega: "📣", no_bell: "🔕", zzz: "💤", bookmark: "🔖",
  pushpin: "📌", round_pushpin: "📍", paperclip: "📎", link: "🔗", page_facing_up: "📄", envelope: "✉️", globe_with_meridians: "🌐",
  heart: "❤️", smile: "😄", slightly_smiling_face: "🙂", thinking_face: "🤔", sleeping: "😴", ghost: "👻", robot_face: "🤖", turtle: "🐢",
  snail: "🐌", elephant: "🐘", sunny: "☀️", new_moon: "🌑", sparkles: "✨", star: "⭐", medal: "🏅", warning: "⚠️",
  white_check_mark: "✅", heavy_check_mark: "✔️", x: "❌", no_entry: "⛔", no_entry_sign: "🚫", octagonal_sign: "🛑", rotating_light: "🚨",
  hourglass: "⌛", hourglass_flowing_sand: "⏳", large_green_circle: "🟢", large_yellow_circle: "🟡", large_orange_circle: "🟠",
  red_circle: "🔴", large_red_circle: "🔴", large_blue_circle: "🔵", large_purple_circle: "🟣", white_circle: "⚪", black_circle: "⚫",
  information_source: "ℹ️", question: "❓", exclamation: "❗", heavy_exclamation_mark: "❗", lock: "🔒", unlock: "🔓", key: "🔑", shield: "🛡️",
  bell: "🔔", checkered_flag: "🏁", triangular_flag_on_post: "🚩", arrow_forward: "▶️", fast_forward: "⏩", rewind: "⏪",
  double_vertical_bar: "⏸️", pause_button: "⏸️", black_square_for_stop: "⏹️", stop_button: "⏹️", arrows_counterclockwise: "🔄", repeat: "🔁",
  leftwards_arrow_with_hook: "↩️", arrow_right: "➡️", clock1: "🕐", clock3: "🕒", alarm_clock: "⏰", ballot_box_with_check: "☑️",
  white_large_square: "⬜", black_large_square: "⬛", large_green_square: "🟩", small_blue_diamond: "🔹", timer_clock: "⏲️", busts_in_silhouette: "👥",
  bust_in_silhouette: "👤", inbox_tray: "📥", outbox_tray: "📤", card_file_box: "🗃️", open_file_folder: "📂", scroll: "📜", dart: "🎯",
};

const disc = (fill) => ["circle", { cx: 12, cy: 12, r: 10, fill }];
const square = (fill) => ["rect", { x: 2, y: 2, width: 20, height: 20, rx: 5, fill }];
const line = (d, stroke = "#fff", width = 2.6) => ["path", { d, stroke, "stroke-width": width, fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round" }];
const shape = (d, fill) => ["path", { d, fill }];
const ball = (light, dark) => [["circle", { cx: 12, cy: 12, r: 9, fill: light, stroke: dark, "stroke-width": 1.5 }], ["ellipse", { cx: 9.3, cy: 8.4, rx: 3, ry: 2, fill: "#fff", opacity: 0.35 }]];
const sand = [shape("M6 2.5h12v2H6zM6 19.5h12v2H6z", "#8a6a3a"), line("M7.5 4.5v2.6c0 2.3 3.6 3.2 3.6 4.9s-3.6 2.6-3.6 4.9v2.6M16.5 4.5v2.6c0 2.3-3.6 3.2-3.6 4.9s3.6 2.6 3.6 4.9v2.6", "#7b8f99", 1.6), shape("M9 19.5c0-2.2 1.6-2.8 3-4.2 1.4 1.4 3 2 3 4.2zM9.6 8.2h4.8L12 11z", "#f0b23c")];
const padlock = (shackle) => [line(shackle, "#8b979b", 2.4), ["rect", { x: 4.5, y: 10.5, width: 15, height: 11, rx: 2.5, fill: "#f0b23c" }], ["circle", { cx: 12, cy: 15.5, r: 1.7, fill: "#7a5410" }], line("M12 16v2.4", "#7a5410", 1.8)];

const thumb = [["rect", { x: 2.5, y: 10.5, width: 4.6, height: 10.8, rx: 1.2, fill: "#2f7fd0" }], shape("M8.4 10.6 12.6 2.5c1.9-.1 3 1.3 2.7 3.1l-.6 3.6h4.7c1.5 0 2.4 1.3 2.1 2.7l-1.6 7c-.3 1.4-1.3 2.3-2.7 2.3H8.4z", "#f0b23c")];

const DRAWN = {
  thumbsup: thumb, "+1": thumb,
  white_check_mark: [square("#23a35f"), line("M7 12.4l3.4 3.4L17 8.8")],
  heavy_check_mark: [line("M4.5 12.8l4.8 4.8L19.5 6.8", "#23a35f", 3.4)],
  ballot_box_with_check: [square("#2f7fd0"), line("M7 12.4l3.4 3.4L17 8.8")],
  x: [line("M5.5 5.5l13 13M18.5 5.5l-13 13", "#d8394c", 3.8)],
  warning: [shape("M12 2.2c.7 0 1.3.4 1.6 1l8.3 15.6c.7 1.3-.2 2.9-1.7 2.9H3.8c-1.5 0-2.4-1.6-1.7-2.9L10.4 3.2c.3-.6.9-1 1.6-1z", "#f2b02e"), line("M12 8.8v5", "#4a3505", 2.4), ["circle", { cx: 12, cy: 17.6, r: 1.5, fill: "#4a3505" }]],
  no_entry: [disc("#d8394c"), ["rect", { x: 5.5, y: 10.2, width: 13, height: 3.6, rx: 1.2, fill: "#fff" }]],
  no_entry_sign: [["circle", { cx: 12, cy: 12, r: 8.6, fill: "none", stroke: "#d8394c", "stroke-width": 2.8 }], line("M6 6l12 12", "#d8394c", 2.8)],
  octagonal_sign: [shape("M8 2.5h8L21.5 8v8L16 21.5H8L2.5 16V8z", "#d8394c"), line("M7.5 12h9", "#fff", 3)],
  rotating_light: [["rect", { x: 3.5, y: 17.5, width: 17, height: 4, rx: 1.4, fill: "#7b8790" }], shape("M6 17.5v-4.8a6 6 0 0 1 12 0v4.8z", "#e5484d"), line("M12 2v2M4.2 5.2l1.4 1.4M19.8 5.2l-1.4 1.4", "#f2b02e", 1.9), ["ellipse", { cx: 9.6, cy: 12, rx: 1.3, ry: 2.6, fill: "#fff", opacity: 0.45 }]],
  hourglass: sand, hourglass_flowing_sand: sand,
  large_green_circle: ball("#2fb56f", "#1f8b53"), large_yellow_circle: ball("#f2c230", "#c99a12"), large_orange_circle: ball("#f08a24", "#c46a12"),
  red_circle: ball("#e5484d", "#b92d35"), large_red_circle: ball("#e5484d", "#b92d35"), large_blue_circle: ball("#3b8eea", "#2468b8"),
  large_purple_circle: ball("#8a63d2", "#6844ad"), white_circle: ball("#eef1f2", "#b4bec3"), black_circle: ball("#3a4549", "#1e2629"),
  large_green_square: [square("#2fb56f")], white_large_square: [square("#dfe5e8")], black_large_square: [square("#3a4549")],
  information_source: [square("#2f7fd0"), line("M12 11v6", "#fff", 2.6), ["circle", { cx: 12, cy: 7.2, r: 1.6, fill: "#fff" }]],
  question: [line("M8.2 8.2a3.9 3.9 0 1 1 5.4 3.6c-1.1.5-1.6 1.2-1.6 2.6", "#d8394c", 3), ["circle", { cx: 12, cy: 19, r: 1.8, fill: "#d8394c" }]],
  exclamation: [line("M12 4v10", "#d8394c", 3.4), ["circle", { cx: 12, cy: 19, r: 1.9, fill: "#d8394c" }]],
  lock: padlock("M8 11V8a4 4 0 0 1 8 0v3"), unlock: padlock("M8 11V7a4 4 0 0 1 7.6-1.6"),
  key: [["circle", { cx: 8, cy: 8.5, r: 4.2, fill: "none", stroke: "#e0a52c", "stroke-width": 2.8 }], line("M11 11.5l8 8M16 16.5l2.4-2.4M18.4 19l1.8-1.8", "#e0a52c", 2.6)],
  shield: [shape("M12 2.3 20 5v6.4c0 4.9-3.2 8.3-8 10.3-4.8-2-8-5.4-8-10.3V5z", "#2f7fd0"), shape("M12 2.3v19.4c-4.8-2-8-5.4-8-10.3V5z", "#5ba3e8")],
  bell: [shape("M12 2.6c3.7 0 6 2.6 6 6.4 0 4 1.3 5.6 2.3 6.8.5.6.1 1.5-.7 1.5H4.4c-.8 0-1.2-.9-.7-1.5C4.7 14.6 6 13 6 9c0-3.8 2.3-6.4 6-6.4z", "#f0b23c"), shape("M9.4 18.6h5.2a2.6 2.6 0 0 1-5.2 0z", "#b9821a")],
  checkered_flag: [line("M5 22V3", "#7b8790", 2), shape("M6 3.5h15v11H6z", "#f4f6f7"), shape("M6 3.5h3.7v3.7H6zM13.4 3.5h3.8v3.7h-3.8zM9.7 7.2h3.7v3.6H9.7zM17.2 7.2H21v3.6h-3.8zM6 10.8h3.7v3.7H6zM13.4 10.8h3.8v3.7h-3.8z", "#20292c"), line("M6 3.5h15v11H6z", "#20292c", 0.8)],
  triangular_flag_on_post: [line("M6 22V3", "#7b8790", 2), shape("M7 3.5l13 5-13 5z", "#e5484d")],
  arrow_forward: [square("#2f7fd0"), shape("M9 6.8 17 12l-8 5.2z", "#fff")],
  fast_forward: [square("#2f7fd0"), shape("M5.5 7.2 12 12l-6.5 4.8zM12 7.2l6.5 4.8-6.5 4.8z", "#fff")],
  rewind: [square("#2f7fd0"), shape("M18.5 7.2 12 12l6.5 4.8zM12 7.2 5.5 12l6.5 4.8z", "#fff")],
  double_vertical_bar: [square("#2f7fd0"), line("M9.3 7.5v9M14.7 7.5v9", "#fff", 2.8)], pause_button: [square("#2f7fd0"), line("M9.3 7.5v9M14.7 7.5v9", "#fff", 2.8)],
  black_square_for_stop: [square("#2f7fd0"), shape("M7.5 7.5h9v9h-9z", "#fff")], stop_button: [square("#2f7fd0"), shape("M7.5 7.5h9v9h-9z", "#fff")],
  arrows_counterclockwise: [square("#2f7fd0"), line("M6.8 12.6a5.3 5.3 0 0 0 9.4 2.7M17.2 11.4a5.3 5.3 0 0 0-9.4-2.7M17 18v-3h-3M7 6v3h3", "#fff", 1.9)],
  recycle: [square("#23a35f"), line("M6.8 12.6a5.3 5.3 0 0 0 9.4 2.7M17.2 11.4a5.3 5.3 0 0 0-9.4-2.7M17 18v-3h-3M7 6v3h3", "#fff", 1.9)],
  leftwards_arrow_with_hook: [square("#2f7fd0"), line("M10 8l-3.5 3.5L10 15M7 11.5h7a3.2 3.2 0 0 1 0 6.2", "#fff", 2)],
  floppy_disk: [shape("M3 3h14.5L21 6.5V21H3z", "#46606c"), shape("M7 3h9v6H7z", "#d7e0e4"), shape("M6 13h12v8H6z", "#f4f6f7"), shape("M12.6 4.2h2v3.6h-2z", "#46606c")],
  package: [shape("M3 7.5 12 3l9 4.5v9L12 21l-9-4.5z", "#c6924f"), shape("M3 7.5 12 12v9l-9-4.5z", "#a8763a"), line("M7.5 5.2l9 4.6v3", "#f0d9b2", 1.7)],
  file_cabinet: [["rect", { x: 4, y: 2, width: 16, height: 20, rx: 2, fill: "#7b8f99" }], shape("M6 4.2h12v7H6zM6 12.8h12v7H6z", "#c9d4d9"), line("M10 7.5h4M10 16h4", "#51646d", 1.9)],
  card_file_box: [["rect", { x: 3, y: 7, width: 18, height: 14, rx: 2, fill: "#c6924f" }], shape("M5 4h14v6H5z", "#f4f6f7"), line("M9.5 15h5", "#7a5410", 2)],
  elephant: [shape("M3 12c0-4.5 3.6-7.5 8.2-7.5 4.9 0 8.8 3 8.8 7.7v5.3c0 1.9 1.6 1.5 1.6.2 0 2.7-4 3-4 .2v-2h-1.8V21h-3.6v-3.4H9.6V21H6v-4.3C4.1 15.6 3 14 3 12z", "#8fa3ad"), shape("M12.6 7.5c2.8-.4 4.4 1.6 4 4.2-.4 2.4-3 3.3-4.4 1.6-1.4-1.8-1.3-5.4.4-5.8z", "#748a95"), ["circle", { cx: 18, cy: 10.4, r: 0.9, fill: "#20292c" }]],
  stopwatch: [line("M12 2.2v3M9.6 2.2h4.8M18 5.8l1.4 1.4", "#7b8790", 2), ["circle", { cx: 12, cy: 13.5, r: 7.6, fill: "#f4f6f7", stroke: "#7b8790", "stroke-width": 2 }], line("M12 13.5V9.2M12 13.5l2.6 1.6", "#d8394c", 1.8)],
  alarm_clock: [line("M4 5.5 7 3M20 5.5 17 3M7 20l-1.6 1.8M17 20l1.6 1.8", "#d8394c", 2.2), ["circle", { cx: 12, cy: 12.6, r: 8, fill: "#f4f6f7", stroke: "#d8394c", "stroke-width": 2.2 }], line("M12 13V8.4M12 13l3 1.6", "#20292c", 1.8)],
  clock3: [["circle", { cx: 12, cy: 12, r: 9, fill: "#f4f6f7", stroke: "#7b8790", "stroke-width": 2 }], line("M12 7v5h4", "#20292c", 2)],
  mag: [line("M14.5 14.5 20.5 20.5", "#7b8790", 3.2), ["circle", { cx: 10, cy: 10, r: 6.4, fill: "#cfe4f5", stroke: "#7b8790", "stroke-width": 2.4 }]],
  bulb: [shape("M12 2.4a7 7 0 0 1 4 12.7c-.8.6-1 1.3-1 2.2H9c0-.9-.2-1.6-1-2.2A7 7 0 0 1 12 2.4z", "#f5c542"), shape("M9 18.4h6v1.4a1.8 1.8 0 0 1-1.8 1.8h-2.4A1.8 1.8 0 0 1 9 19.8z", "#8b979b")],
  zap: [shape("M13.5 2 4.5 13.5h6L9.5 22l10-12.5h-6.5z", "#f2b02e")],
  wastebasket: [shape("M5 7h14l-1.4 14H6.4z", "#8b979b"), shape("M3.5 4.5h17V7h-17z", "#6c777d"), line("M9.5 10v8M14.5 10v8M12 10v8", "#e3e8ea", 1.4)],
  tada: [shape("M3 21 8.5 7.5l8 8z", "#f0b23c"), line("M14 9c1-2 .4-4-.6-5.4M16 11c2-1 4-.6 5 .4M15 10c1.6-1.8 3.4-2.6 5.4-3", "#d8394c", 1.8), ["circle", { cx: 18.5, cy: 15.5, r: 1.2, fill: "#2f7fd0" }], ["circle", { cx: 9.5, cy: 3.5, r: 1.2, fill: "#23a35f" }]],
  dart: [disc("#d8394c"), ["circle", { cx: 12, cy: 12, r: 6.6, fill: "#fff" }], ["circle", { cx: 12, cy: 12, r: 3.4, fill: "#d8394c" }]],
  speech_balloon: [shape("M3 4h18v12h-9l-5 5v-5H3z", "#5ba3e8"), line("M7.5 8.5h9M7.5 12h6", "#fff", 1.8)],
  memo: [shape("M4 2.5h13v19H4z", "#f4f6f7"), line("M4 2.5h13v19H4z", "#aab5ba", 1.2), line("M7 7h7M7 11h7M7 15h4", "#8b979b", 1.5), line("M20.5 7.5 13 17l-1 3", "#f0b23c", 2.4)],
  clipboard: [["rect", { x: 4, y: 3.5, width: 16, height: 18.5, rx: 2, fill: "#b3824a" }], shape("M6.5 7h11v12.5h-11z", "#f4f6f7"), shape("M9 2h6v4H9z", "#8b979b"), line("M9 11h6M9 14.5h6", "#8b979b", 1.4)],
  eyes: [["ellipse", { cx: 7.2, cy: 12, rx: 4.4, ry: 6.4, fill: "#f4f6f7", stroke: "#aab5ba", "stroke-width": 1 }], ["ellipse", { cx: 16.8, cy: 12, rx: 4.4, ry: 6.4, fill: "#f4f6f7", stroke: "#aab5ba", "stroke-width": 1 }], ["circle", { cx: 8.6, cy: 12.8, r: 2.1, fill: "#20292c" }], ["circle", { cx: 18.2, cy: 12.8, r: 2.1, fill: "#20292c" }]],
  wrench: [shape("M15.5 2.6a6 6 0 0 0-6 8l-6.8 6.8a2.3 2.3 0 0 0 3.3 3.3l6.8-6.8a6 6 0 0 0 7.7-7.8l-3.6 3.6-3.4-.8-.8-3.4z", "#8397a1")],
  link: [line("M10 14l4-4M8.5 11.5 6 14a3.2 3.2 0 0 0 4.5 4.5l2.2-2.2M15.5 12.5 18 10a3.2 3.2 0 0 0-4.5-4.5l-2.2 2.2", "#7b8f99", 2.2)],
  busts_in_silhouette: [["circle", { cx: 9, cy: 8.5, r: 3.8, fill: "#5b7a96" }], shape("M2 20c0-4.5 3-7 7-7s7 2.5 7 7z", "#5b7a96"), ["circle", { cx: 16.5, cy: 8.5, r: 3.2, fill: "#86a3bb" }], shape("M15 13.2c4 0 7 2.2 7 6.8h-4.6c0-2.6-.8-5-2.4-6.8z", "#86a3bb")],
  bust_in_silhouette: [["circle", { cx: 12, cy: 8, r: 4.4, fill: "#5b7a96" }], shape("M4 21c0-5 3.4-8 8-8s8 3 8 8z", "#5b7a96")],
  wave: [shape("M7 13 4.6 8.6a1.5 1.5 0 0 1 2.6-1.5L9 10 6.8 5.4a1.5 1.5 0 0 1 2.7-1.3l2.4 4.8-1.2-4a1.5 1.5 0 0 1 2.9-.9l1.6 5.2.2-2.6a1.5 1.5 0 0 1 3 .1c.2 4 .3 7.6-1 10-1.6 3.2-5.2 4.2-8 2.4-1.7-1-1.5-3.4-2.4-6.1z", "#f2c14e")],
};
const DRAWN_BY_GLYPH = new Map(Object.keys(DRAWN).filter((name) => GLYPHS[name]).map((name) => [GLYPHS[name].replace("\uFE0F", ""), name]));

export function emojiNode(name) {
  if (DRAWN[name]) {
    const node = svgOf(DRAWN[name]);
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", name.replaceAll("_", " "));
    return node;
  }
  return GLYPHS[name] ? h("span", { role: "img", "aria-label": name.replaceAll("_", " ") }, GLYPHS[name]) : null;
}

// Text with the shortcodes and glyphs that are drawn here replaced; everything else stays text.
const PIECES = new RegExp(`:([a-z0-9_+-]+):|(${[...DRAWN_BY_GLYPH.keys()].map((glyph) => `${glyph}\\uFE0F?`).join("|")})`, "gu");

export function withEmoji(text) {
  const out = [];
  let at = 0;
  for (const found of text.matchAll(PIECES)) {
    const node = emojiNode(found[1] ?? DRAWN_BY_GLYPH.get(found[2].replace("\uFE0F", "")));
    if (!node) continue;
    out.push(text.slice(at, found.index), node);
    at = found.index + found[0].length;
  }
  out.push(text.slice(at));
  return out.filter((piece) => piece !== "");
}
