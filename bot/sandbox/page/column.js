// The main column: what this place is, its messages or the Home tab, what to try next, and where to write.

import { Composer } from "./composer.js";
import { h, icon, redrawn } from "./dom.js";
import { avatar, personOf } from "./format.js";
import { homeNode, openHome } from "./home.js";
import { Log, rootsOf } from "./log.js";
import { drawer, go, showTry } from "./navigation.js";
import { appChannel, me, placeNow, store, unread } from "./store.js";
import { toast } from "./toasts.js";
import { nextStep } from "./try.js";

const main = document.getElementById("main");
let log = null;
let composer = null;

export function drawColumn() {
  redrawn(main, draw);
}

function draw() {
  const place = placeNow();
  log = composer = null;
  if (!place) { main.replaceChildren(bar(null), h("div", { class: "empty" }, icon("eye"), h("b", {}, "Nothing to see here"), h("p", {}, `${me().real_name} is in no channel. Choose somebody else in the sidebar.`))); return; }
  const parts = [bar(place), place.is_im && tabs()];
  if (place.is_im && store.homeTab) parts.push(homeNode());
  else {
    log = new Log({ label: `Messages in ${nameOf(place)}`, list: () => rootsOf(place.id), before: () => intro(place) });
    parts.push(log.node, log.pill, nextStep(), foot(place));
  }
  main.replaceChildren(...parts.filter(Boolean));
  log?.begin();
  if (store.flash) { log?.flash(store.flash); store.flash = ""; }
}

export const followLog = (arrived) => log?.draw({ arrived });
export const writeHere = (text) => composer?.fill(text);

// What is beside the messages changes without touching them.
export function redrawBar() {
  redrawn(main, () => main.querySelector(".bar")?.replaceWith(bar(placeNow())));
}

export function redrawNext() {
  redrawn(main, () => {
    const next = nextStep();
    const old = main.querySelector(".next");
    if (old && next) old.replaceWith(next);
    else if (old) old.remove();
    else if (next) main.querySelector(".composer-wrap")?.before(next);
  });
}

const nameOf = (place) => (place.is_im ? store.app.name : `#${place.name}`);

function bar(place) {
  const waiting = store.channels.some((each) => each.id !== store.place && unread(each).loud);
  const menu = h("button", { class: "round only-narrow menu-button", type: "button", "aria-label": `Channels and people${waiting ? ", something new" : ""}`, dataset: { menu: "", key: "menu" }, onclick: () => drawer(true) }, icon("menu"), waiting && h("span", { class: "dot-new" }));
  const title = !place ? store.team.name : place.is_im ? store.app.name : place.name;
  const sign = !place ? null : place.is_im ? avatar(personOf(store.app.user), "s") : icon(place.is_private ? "lock" : place.is_ext_shared ? "shared" : "hash");
  const offers = Boolean(store.try_this?.steps.length || store.try_this?.actions.length);
  const shown = store.aside === "try" && !store.thread;
  const toggle = offers && h("button", { class: "try-toggle", type: "button", "aria-expanded": String(shown), "aria-controls": "aside", dataset: { key: "try-toggle" }, onclick: () => showTry(!shown) }, icon("bolt"), h("span", {}, "Try this"));
  return h("header", { class: "bar" }, menu, h("h1", {}, sign, h("span", {}, title)), h("span", { class: "topic" }, place?.topic ?? ""), place && !place.is_im && faces(place), toggle);
}

function faces(place) {
  const people = place.members.map(personOf).filter((each) => !each.is_bot && !each.deleted);
  return h("span", { class: "faces", title: people.map((each) => each.real_name).join(", ") }, people.slice(0, 3).map((each) => avatar(each, "s")), h("span", {}, String(people.length), h("span", { class: "visually-hidden" }, " people")));
}

function tabs() {
  const tab = (label, home) => h("button", { type: "button", role: "tab", "aria-selected": String(store.homeTab === home), dataset: { key: `tab ${label}` }, onclick: () => {
    go(appChannel().id, { home });
    main.querySelector(`[data-key="tab ${label}"]`)?.focus();
    if (home) openHome().catch((error) => toast(error.message, "bad"));
  } }, label);
  return h("div", { class: "tabs", role: "tablist", "aria-label": store.app.name }, tab("Messages", false), tab("Home", true));
}

function intro(place) {
  const make = () => h("div", { class: "intro" },
    h("h2", {}, place.is_im ? store.app.name : [icon(place.is_private ? "lock" : "hash"), place.name]),
    h("p", {}, place.is_im ? `Between you and ${store.app.name}: plans to confirm and answers meant for you alone.` : `${place.topic || "A channel"}.`),
    !place.is_im && place.has_app && h("p", {}, "Type ", h("code", {}, "/"), ` to see what ${store.app.name} can do.`),
    !place.is_im && !place.has_app && h("p", {}, `${store.app.name} is not in this channel; its commands work here all the same.`));
  return { stamp: `${place.id} ${store.user}`, make };
}

function foot(place) {
  if (me().deleted || place.is_archived) return h("div", { class: "composer-wrap" }, h("div", { class: "composer-note" }, place.is_archived ? "This channel is archived." : `${me().real_name} is deactivated.`));
  composer = new Composer({ channel: place.id, id: "composer-text", placeholder: `Message ${nameOf(place)}` });
  return composer.node;
}
