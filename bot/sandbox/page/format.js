// Times in the person's own zone, initials, sizes.

import { h } from "./dom.js";
import { me, store } from "./store.js";

const made = new Map();

function formatter(options, tz) {
  const key = JSON.stringify(options) + tz;
  if (!made.has(key)) made.set(key, new Intl.DateTimeFormat("en-GB", { ...options, timeZone: tz }));
  return made.get(key);
}

export const dateOf = (ts) => new Date(Number(ts) * 1000);
export const say = (date, options) => formatter(options, me().tz).format(date);
export const clock = (ts) => say(dateOf(ts), { hour: "2-digit", minute: "2-digit" });
export const dayKey = (ts) => say(dateOf(ts), { year: "numeric", month: "2-digit", day: "2-digit" });
export const exact = (ts) => `${say(dateOf(ts), { dateStyle: "medium", timeStyle: "medium" })} (${me().tz})`;

export function dayName(ts) {
  return relativeDay(dateOf(ts)) ?? say(dateOf(ts), { weekday: "long", day: "numeric", month: "long" });
}

function relativeDay(date) {
  const day = { year: "numeric", month: "2-digit", day: "2-digit" };
  const shown = say(date, day);
  const now = Date.now();
  for (const [offset, name] of [[0, "Today"], [-1, "Yesterday"], [1, "Tomorrow"]]) {
    if (say(new Date(now + offset * 86400000), day) === shown) return name;
  }
  return null;
}

// The tokens of <!date^…>.
export function slackDate(seconds, pattern) {
  const date = new Date(seconds * 1000);
  const parts = {
    date_num: () => say(date, { year: "numeric", month: "2-digit", day: "2-digit" }).split("/").reverse().join("-"),
    date: () => say(date, { day: "numeric", month: "long", year: "numeric" }),
    date_short: () => say(date, { day: "numeric", month: "short", year: "numeric" }),
    date_long: () => say(date, { weekday: "long", day: "numeric", month: "long", year: "numeric" }),
    time: () => say(date, { hour: "2-digit", minute: "2-digit" }),
    time_secs: () => say(date, { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
    ago: () => ago(date),
  };
  for (const kind of ["date", "date_short", "date_long"]) parts[`${kind}_pretty`] = () => (relativeDay(date) ?? parts[kind]());
  return pattern.replace(/\{(\w+)\}/g, (whole, name) => parts[name]?.() ?? whole);
}

function ago(date) {
  const seconds = Math.round((date - Date.now()) / 1000);
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, each]) => Math.abs(seconds) >= each) ?? units.at(-1);
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

// "2026-11-22", "14:30" in the person's zone → UNIX seconds, and back.
export function toSeconds(day, time) {
  const wanted = Date.parse(`${day}T${time || "00:00"}:00Z`);
  if (Number.isNaN(wanted)) return null;
  let guess = wanted;
  for (let round = 0; round < 3; round += 1) guess += wanted - Date.parse(`${localParts(guess / 1000).join("T")}:00Z`);
  return Math.floor(guess / 1000);
}

export function localParts(seconds) {
  const date = new Date(seconds * 1000);
  const [d, m, y] = say(date, { year: "numeric", month: "2-digit", day: "2-digit" }).split("/");
  return [`${y}-${m}-${d}`, say(date, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })];
}

export function bytes(count) {
  const units = ["B", "KB", "MB", "GB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(count, 1)) / 10));
  return `${(count / 1024 ** step).toFixed(step ? 1 : 0)} ${units[step]}`;
}

export function personOf(id) {
  return store.people.get(id) ?? { id, name: id, real_name: id, title: "" };
}

export function avatar(person, size = "") {
  if (person.is_bot) return h("span", { class: `avatar app ${size}`, "aria-hidden": "true" }, h("img", { src: "/page/flag.svg", alt: "" }));
  const initials = person.real_name.split(/\s+/).slice(0, 2).map((word) => word[0] ?? "").join("").toUpperCase();
  let hue = 7;
  for (const letter of person.id) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  return h("span", { class: `avatar ${size} ${person.deleted ? "gone" : ""}`, "aria-hidden": "true", style: { "--hue": String(hue) } }, initials);
}
