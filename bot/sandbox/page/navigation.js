// Where this person is: channel, thread, side pane, drawers. The address keeps who and where, so that a tab can be anybody's.

import { appChannel, become, channelOf, markRead, store, tell } from "./store.js";

const PHONE = matchMedia("(max-width: 760px)");
const TIGHT = matchMedia("(max-width: 1120px)");

export const onPhone = () => PHONE.matches;
export const asideCovers = () => TIGHT.matches;

const lastPlace = () => localStorage.getItem(`sandbox.place.${store.user}`);

// Make sure that the place is one this person sees, and that the thread still exists.
export function settle() {
  const wanted = [store.place, lastPlace(), store.channels.find((each) => each.has_app && !each.is_im)?.id, store.channels[0]?.id];
  store.place = wanted.find((id) => id && channelOf(id)) ?? "";
  if (store.thread && (store.thread.channel !== store.place || !find(store.thread))) store.thread = null;
  if (store.place !== appChannel()?.id) store.homeTab = false;
  writeAddress("replace");
}

export const find = ({ channel, ts }) => (store.messages.get(channel) ?? []).find((each) => each.ts === ts);

function writeAddress(how) {
  const wanted = `/#${store.user}/${store.place}`;
  if (`${location.pathname}${location.hash}` !== wanted) history[`${how}State`](null, "", wanted);
  localStorage.setItem(`sandbox.place.${store.user}`, store.place);
}

export function go(place, { thread = null, home = false, flash = "" } = {}) {
  if (!channelOf(place)) return;
  store.place = place;
  store.thread = thread;
  store.homeTab = home;
  store.flash = flash;
  if (asideCovers()) store.aside = "";
  markRead(place);
  writeAddress("push");
  drawer(false);
  tell("place");
}

export async function actAs(user, place = "") {
  store.thread = null;
  if (place) store.place = place;
  if (user !== store.user) await become(user);
  go(channelOf(place) ? place : store.place, { home: store.homeTab });
}

export function openThread(message) {
  store.thread = { channel: message.channel, ts: message.thread_ts ?? message.ts };
  tell("aside");
}

export function showTry(shown) {
  store.thread = null;
  store.aside = shown ? "try" : "";
  tell("aside");
}

export function closeAside() {
  const tryShown = store.thread && store.aside === "try" && !asideCovers();
  if (tryShown) store.thread = null;
  else { store.thread = null; store.aside = ""; }
  tell("aside");
}

// -- the drawer on a phone --------------------------------------------------------------------------------------------

const sidebar = document.getElementById("sidebar");
const scrim = document.getElementById("scrim");

export function drawer(open) {
  const was = sidebar.classList.contains("open");
  sidebar.classList.toggle("open", open);
  scrim.hidden = !open;
  document.getElementById("main").inert = open;
  if (open) sidebar.querySelector("button")?.focus();
  else if (was) document.querySelector("#main [data-menu]")?.focus();
}

scrim.addEventListener("click", () => drawer(false));

// -- addresses --------------------------------------------------------------------------------------------------------

// "/archives/C1/p1700000000123456" → the message it names.
export function permalink(path) {
  const [, channel, digits] = path.match(/^\/archives\/([^/]+)(?:\/p(\d{7,}))?/) ?? [];
  return channel ? { channel, ts: digits ? `${digits.slice(0, -6)}.${digits.slice(-6)}` : "" } : null;
}

export function follow({ channel, ts }) {
  const message = ts ? find({ channel, ts }) : null;
  const reply = message?.thread_ts && message.thread_ts !== ts;
  go(channel, { flash: ts, thread: reply ? { channel, ts: message.thread_ts } : null });
}

export function fromHash() {
  const [, user = "", place = ""] = location.hash.match(/^#(\w+)(?:\/(\w+))?$/) ?? [];
  return { user, place };
}
