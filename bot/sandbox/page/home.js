// The app's Home tab, as the app published it for this person.

import { act } from "./api.js";
import { blocksNode } from "./blocks.js";
import { h, icon } from "./dom.js";
import { heldBy } from "./modal.js";
import { store } from "./store.js";

export function homeNode() {
  const view = store.home;
  if (!view) {
    return h("div", { class: "empty" }, icon("flag"), h("b", {}, `${store.app.name} has no Home tab yet`),
      h("p", {}, "Its messages are in the tab beside. Try a command in a channel: /backup or /pitr."));
  }
  const surface = { kind: "home", where: { view: view.id }, read: (block, element) => heldBy(view, block, element) };
  return h("div", { class: "home", tabindex: "0" }, h("div", { class: "home-inner" }, blocksNode(view.blocks, surface)));
}

// The app hears of it; one that does not listen has nothing to show, and that is said above.
export async function openHome() {
  await act("open_home", { user: store.user });
}
