// The sidebar: the workspace, who one is right now, the channels, and whether the app is connected.

import { h, icon, openMenu, redrawn } from "./dom.js";
import { avatar, personOf } from "./format.js";
import { actAs, go } from "./navigation.js";
import { appChannel, me, store, unread } from "./store.js";
import { isDark, toggleTheme } from "./theme.js";
import { toast } from "./toasts.js";

const sidebar = document.getElementById("sidebar");

let choosing = false;

export function drawSidebar() {
  if (choosing) return; // an open menu stays open; closing it draws what came meanwhile
  redrawn(sidebar, () => sidebar.replaceChildren(brand(), persona(), places(), linkState()));
}

function brand() {
  const label = isDark() ? "Light colours" : "Dark colours";
  const theme = h("button", { class: "round", type: "button", "aria-label": label, title: label, dataset: { key: "theme" }, onclick: () => { toggleTheme(); drawSidebar(); } }, icon(isDark() ? "sun" : "moon"));
  return h("div", { class: "brand" }, h("img", { src: "/page/flag.svg", alt: "" }), h("div", { class: "brand-name" }, h("b", {}, store.team.name), h("span", {}, "Pitstop sandbox")), theme);
}

// -- people -----------------------------------------------------------------------------------------------------------

function persona() {
  const now = h("button", {
    class: "persona-now", type: "button", "aria-haspopup": "menu", "aria-expanded": "false", dataset: { key: "persona" },
    "aria-label": `You act as ${me().real_name}, ${me().title}. Choose somebody else`, onclick: () => choosePerson(box, now),
  }, avatar(me(), "m"), words(me()), icon("down"));
  const box = h("div", { class: "persona" }, now);
  return box;
}

function words(person) {
  return h("span", { class: "persona-words" }, h("b", {}, person.real_name), h("small", {}, person.title));
}

function choosePerson(box, opener) {
  if (box.querySelector(".menu")) return;
  const people = [...store.people.values()].filter((each) => !each.is_bot);
  const menu = h("div", { class: "menu", role: "menu", "aria-label": "Act as" }, h("div", { class: "menu-title" }, "Act as"), people.map((each) => personItem(each, () => close(true))));
  box.append(menu);
  choosing = true;
  const close = openMenu(menu, opener, () => { choosing = false; drawSidebar(); });
}

function personItem(person, close) {
  const become = () => {
    close();
    actAs(person.id, store.place === appChannel()?.id ? "" : store.place).catch((error) => toast(error.message, "bad"));
  };
  const tag = person.deleted ? "left" : person.stranger ? "partner" : person.guest ? "guest" : "";
  return h("button", {
    type: "button", role: "menuitemradio", "aria-checked": String(person.id === store.user), disabled: person.deleted, dataset: { person: person.name }, onclick: become,
  }, avatar(person, "m"), h("span", { class: "words" }, person.real_name, h("small", {}, person.title)), tag && h("span", { class: `tag ${tag}` }, tag), person.id === store.user && icon("check"));
}

// -- places -----------------------------------------------------------------------------------------------------------

function places() {
  const channels = store.channels.filter((each) => !each.is_im);
  const app = appChannel();
  return h("div", { class: "places" },
    h("h2", { id: "channels-title" }, "Channels"), h("div", { role: "list", "aria-labelledby": "channels-title" }, channels.map(placeItem)),
    h("h2", { id: "apps-title" }, "Apps"), h("div", { role: "list", "aria-labelledby": "apps-title" }, app ? placeItem(app) : h("p", { class: "quiet small" }, "None")));
}

function placeItem(channel) {
  const fresh = channel.id === store.place ? { count: 0, loud: 0 } : unread(channel);
  const here = channel.id === store.place;
  const name = channel.is_im ? store.app.name : channel.name;
  const sign = channel.is_im ? avatar(personOf(store.app.user), "s") : icon(channel.is_private ? "lock" : channel.is_ext_shared ? "shared" : "hash");
  return h("div", { role: "listitem" }, h("button", {
    class: `place ${here ? "on" : ""} ${fresh.count ? "unread" : ""}`, type: "button", "aria-current": here ? "page" : null,
    "aria-label": `${name}${fresh.count ? `, ${fresh.count} unread` : ""}`, dataset: { key: channel.id, place: channel.is_im ? "@app" : channel.name }, onclick: () => go(channel.id),
  }, sign, h("span", { class: "name" }, name), fresh.loud ? h("span", { class: "badge", "aria-hidden": "true" }, String(fresh.loud)) : null));
}

function linkState() {
  const live = store.online && (store.sockets > 0 || store.over_http);
  const said = !store.online ? "The sandbox has stopped" : live ? `${store.app.name} is connected` : `${store.app.name} is not connected`;
  return h("div", { class: "link-state", role: "status" }, h("span", { class: `dot ${live ? "live" : ""}` }), said);
}
