// What this page knows: the workspace as one person sees it, and what that person is looking at.

import { read } from "./api.js";

export const store = {
  user: "", team: {}, app: {}, people: new Map(), groups: new Map(), channels: [], messages: new Map(),
  views: [], home: null, commands: [], try_this: null, sockets: 0, over_http: false,
  place: "", thread: null, homeTab: false, aside: "try", online: true,
};

const listeners = new Map();
let stream = null;

export function on(kind, listener) {
  if (!listeners.has(kind)) listeners.set(kind, []);
  listeners.get(kind).push(listener);
}

export function tell(kind, data) {
  for (const listener of listeners.get(kind) ?? []) listener(data);
}

export async function become(user) {
  const shown = await read("state", { user });
  take(shown);
  localStorage.setItem("sandbox.user", shown.user);
  follow(shown.sequence);
  tell("everything");
}

function take(shown) {
  Object.assign(store, {
    user: shown.user, team: shown.team, app: shown.app, channels: shown.channels, views: shown.views, home: shown.home,
    commands: shown.commands, try_this: shown.try_this, sockets: shown.sockets, over_http: shown.over_http,
    people: new Map(shown.people.map((each) => [each.id, each])),
    groups: new Map(shown.groups.map((each) => [each.id, each])),
    messages: new Map(Object.entries(shown.messages).map(([id, list]) => [id, list.filter((each) => !dismissed.has(each.ts))])),
  });
}

async function refresh() {
  take(await read("state", { user: store.user }));
  tell("everything");
}

function follow(sequence) {
  stream?.close();
  stream = new EventSource(`/control/events?user=${encodeURIComponent(store.user)}&after=${sequence}`);
  stream.onmessage = (event) => hear(JSON.parse(event.data));
  stream.onopen = () => { if (!store.online) { store.online = true; refresh().catch(() => {}); } };
  stream.onerror = () => { store.online = false; tell("link"); };
}

function hear({ kind, data }) {
  if (kind === "message") hearMessage(data);
  else if (kind === "gone") forget(data);
  else if (kind === "views") { store.views = data.views; tell("views"); }
  else if (kind === "home") { store.home = data.view; tell("home"); }
  else if (kind === "try_this") { store.try_this = data; tell("try"); }
  else if (kind === "sockets") { store.sockets = data.sockets; tell("link"); }
  else refresh().catch(() => {});
}

function hearMessage(message) {
  const list = store.messages.get(message.channel) ?? [];
  store.messages.set(message.channel, list);
  const at = list.findIndex((each) => each.ts === message.ts);
  if (at >= 0) list[at] = message;
  else { list.push(message); list.sort((a, b) => a.ts.localeCompare(b.ts)); }
  tell("message", { message, isNew: at < 0 });
}

export function forget({ channel, ts }) {
  const list = store.messages.get(channel) ?? [];
  store.messages.set(channel, list.filter((each) => each.ts !== ts));
  tell("gone", { channel, ts });
}

// An ephemeral that was dismissed stays away in this tab, also after a reload.
const dismissed = new Set(JSON.parse(sessionStorage.getItem("sandbox.dismissed") ?? "[]"));

export function dismiss({ channel, ts }) {
  dismissed.add(ts);
  sessionStorage.setItem("sandbox.dismissed", JSON.stringify([...dismissed]));
  forget({ channel, ts });
}

export const me = () => store.people.get(store.user) ?? { tz: "UTC", name: "", real_name: "" };
export const channelOf = (id) => store.channels.find((each) => each.id === id);
export const placeNow = () => channelOf(store.place);
export const appChannel = () => store.channels.find((each) => each.is_im);
export const repliesTo = (message) => (store.messages.get(message.channel) ?? []).filter((each) => each.thread_ts === message.ts && each.ts !== message.ts);
export const isReply = (message) => Boolean(message.thread_ts) && message.thread_ts !== message.ts;

// -- unread: what came after this person last looked ------------------------------------------------------------------

const readKey = (channel) => `sandbox.read.${store.user}.${channel}`;

export function markRead(channel) {
  const last = (store.messages.get(channel) ?? []).at(-1);
  if (last) localStorage.setItem(readKey(channel), last.ts);
}

export function unread(channel) {
  const since = localStorage.getItem(readKey(channel.id)) ?? "";
  const fresh = (store.messages.get(channel.id) ?? []).filter((each) => each.ts > since && each.user !== store.user);
  const loud = fresh.filter((each) => channel.is_im || each.visible_to || mentionsMe(each));
  return { count: fresh.length, loud: loud.length };
}

export function mentionsMe(message) {
  const words = message.text + JSON.stringify(message.blocks ?? []);
  const mine = [...store.groups.values()].filter((group) => group.members.includes(store.user)).map((group) => group.id);
  return words.includes(`<@${store.user}`) || words.includes(`"user_id":"${store.user}"`) || mine.some((id) => words.includes(`<!subteam^${id}`));
}
