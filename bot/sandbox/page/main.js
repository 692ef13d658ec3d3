// The sandbox's page: reads the workspace as one person sees it, draws it, and follows what changes.

import { drawAside, followThread } from "./aside.js";
import { drawColumn, followLog, redrawBar, redrawNext } from "./column.js";
import { h } from "./dom.js";
import { personOf } from "./format.js";
import { drawModal } from "./modal.js";
import { actAs, asideCovers, closeAside, drawer, follow, fromHash, go, onPhone, permalink, settle } from "./navigation.js";
import { drawSidebar } from "./sidebar.js";
import { become, channelOf, isReply, markRead, on, placeNow, store, unread } from "./store.js";
import { startTheme } from "./theme.js";
import { toast } from "./toasts.js";

const spoken = h("div", { class: "visually-hidden", "aria-live": "polite" });
document.body.append(spoken);

function drawAll() {
  settle();
  markRead(store.place);
  drawSidebar();
  drawColumn();
  drawAside();
  drawModal();
  nameTab();
}

on("everything", drawAll);
on("place", () => { drawSidebar(); drawColumn(); drawAside(); nameTab(); });
on("aside", () => { drawAside(); redrawBar(); });
on("views", drawModal);
on("home", () => { if (store.homeTab) drawColumn(); });
on("try", () => { drawAside(); redrawBar(); redrawNext(); });
on("link", drawSidebar);
on("gone", () => { followLog(false); followThread(); });
on("message", ({ message, isNew }) => {
  const here = message.channel === store.place && !store.homeTab;
  if (here && document.visibilityState === "visible") markRead(store.place);
  if (here) { followLog(isNew && !isReply(message)); followThread(); }
  if (isNew && message.user !== store.user) speak(message);
  drawSidebar();
  redrawBar();
  nameTab();
});
document.addEventListener("tried", drawAside);
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible" && store.place) { markRead(store.place); drawSidebar(); nameTab(); } });

// A screen reader hears the message's own text, as in Slack; edits (progress) stay silent.
function speak(message) {
  const channel = channelOf(message.channel);
  const where = channel?.is_im ? "" : ` in ${channel?.name}`;
  spoken.textContent = `${personOf(message.user).real_name}${where}: ${message.text.replace(/<[^>]*\|([^>]*)>|[*_`]/g, "$1").slice(0, 400)}`;
}

function nameTab() {
  const loud = store.channels.reduce((sum, each) => sum + (each.id === store.place ? 0 : unread(each).loud), 0);
  const place = placeNow();
  const name = !place ? store.team.name : place.is_im ? store.app.name : `#${place.name}`;
  document.title = `${loud ? `(${loud}) ` : ""}${name} · ${store.team.name} · Pitstop sandbox`;
}

// -- keys, links, the phone's keyboard --------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (document.getElementById("sidebar").classList.contains("open")) drawer(false);
  else if (store.thread || (store.aside && asideCovers())) closeAside();
});

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-permalink]");
  const named = link && permalink(new URL(link.href).pathname);
  if (named && channelOf(named.channel)) { event.preventDefault(); follow(named); }
});

window.addEventListener("hashchange", () => {
  const { user, place } = fromHash();
  if (user && user !== store.user) actAs(user, place).catch((error) => toast(error.message, "bad"));
  else if (place && place !== store.place) go(place);
});

// Browsers that lay the keyboard over the page say so by their visual viewport.
window.visualViewport?.addEventListener("resize", () => {
  const height = onPhone() ? `${window.visualViewport.height}px` : "";
  document.documentElement.style.setProperty("--height", height);
});

// -- beginning --------------------------------------------------------------------------------------------------------

async function begin() {
  startTheme(() => drawSidebar());
  const first = document.querySelector('meta[name="first-person"]').content;
  const linked = permalink(location.pathname);
  const { user, place } = fromHash();
  store.place = linked?.channel ?? place;
  if (asideCovers()) store.aside = "";
  for (const wanted of [user, localStorage.getItem("sandbox.user"), first]) {
    if (!wanted) continue;
    try {
      await become(wanted);
      break;
    } catch (error) {
      if (wanted === first) throw error;
    }
  }
  if (linked?.ts) follow(linked);
}

begin().catch((error) => toast(error.message, "bad"));
