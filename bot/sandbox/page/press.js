// Use one element: ask first where it says so, tell the app, and say what went wrong.

import { act } from "./api.js";
import { store } from "./store.js";
import { ask, toast } from "./toasts.js";

export async function press(surface, block, element, { value = null, node = null } = {}) {
  if (node?.getAttribute("aria-disabled") === "true") return;
  if (element.confirm && !(await ask(element.confirm))) return;
  await busy(node, async () => {
    const values = surface.entered?.();
    const { outcome } = await act("click", { user: store.user, ...surface.where, block_id: block.block_id, action_id: element.action_id, value, ...(values ? { values } : {}) });
    if (outcome.message) toast(outcome.message, "bad");
  });
}

export async function offered(surface, block, element, query) {
  const values = surface.entered?.();
  const { outcome } = await act("options", { user: store.user, ...surface.where, block_id: block.block_id, action_id: element.action_id, query, ...(values ? { values } : {}) });
  if (outcome.message) throw new Error(outcome.message);
  return outcome.options ?? [];
}

// While something is under way its button turns; it keeps the focus, so it is not `disabled`.
export async function busy(node, work) {
  node?.classList.add("busy");
  node?.setAttribute("aria-disabled", "true");
  try {
    return await work();
  } catch (error) {
    toast(error.message, "bad");
    return null;
  } finally {
    node?.classList.remove("busy");
    node?.removeAttribute("aria-disabled");
  }
}
