// What to try on this page, step by step, and the buttons that act outside Slack.

import { act } from "./api.js";
import { writeHere } from "./column.js";
import { h, icon } from "./dom.js";
import { actAs, asideCovers, closeAside, showTry } from "./navigation.js";
import { busy } from "./press.js";
import { appChannel, me, store } from "./store.js";
import { toast } from "./toasts.js";

const said = new Map(); // action → what it answered

export function tryPanel() {
  const offer = store.try_this;
  if (!offer || !(offer.steps.length || offer.actions.length)) return null;
  const next = offer.steps.findIndex((each) => !each.done);
  return h("div", { class: "try" },
    h("h3", {}, offer.title || "Try this"), offer.intro && h("p", {}, offer.intro),
    h("ol", { class: "steps" }, offer.steps.map((step, index) => stepNode(step, index, index === next))),
    offer.actions.length ? h("div", { class: "demo-actions" }, h("h3", {}, "Outside Slack"), offer.actions.map(actionNode)) : null);
}

function stepNode(step, index, isNext) {
  return h("li", { class: `step ${step.done ? "done" : ""} ${isNext ? "is-next" : ""}`, "aria-current": isNext ? "step" : null },
    h("div", {}, h("div", { class: "step-text" }, step.text, step.done && h("span", { class: "visually-hidden" }, " (done)")), isNext && chip(step, `step ${index}`)));
}

function chip(step, key) {
  const label = chipLabel(step);
  return label && h("button", { class: "chip", type: "button", dataset: { key }, onclick: () => doStep(step) }, label);
}

function chipLabel(step) {
  const person = [...store.people.values()].find((each) => each.name === step.person || each.id === step.person);
  const other = person && person.id !== store.user ? `As ${person.real_name}` : "";
  if (step.command) return [icon("send"), h("code", {}, step.command)];
  const where = step.channel === "@app" ? `the DM with ${store.app.name}` : step.channel ? `#${step.channel}` : "";
  if (other) return [icon("forward"), where ? `${other}, to ${where}` : other];
  return where ? [icon("forward"), `To ${where}`] : null;
}

async function doStep(step) {
  try {
    const person = [...store.people.values()].find((each) => each.name === step.person || each.id === step.person);
    if (person && person.id !== store.user) await actAs(person.id, idOf(step.channel));
    await actAs(store.user, idOf(step.channel));
    if (asideCovers()) closeAside();
    if (step.command) writeHere(step.command);
  } catch (error) {
    toast(error.message, "bad");
  }
}

const idOf = (channel) => (channel === "@app" ? appChannel()?.id : store.channels.find((each) => each.name === channel)?.id) ?? "";

function actionNode(action) {
  const answer = said.get(action.id);
  const node = h("button", { class: `btn ${action.style}`, type: "button", dataset: { key: `act ${action.id}` }, onclick: () => busy(node, () => run(action)) }, action.label);
  return h("div", { class: "demo-action" }, h("div", {}, action.description), node, answer && h("p", { class: "answer" }, answer));
}

async function run(action) {
  const { message } = await act("act", { id: action.id });
  if (message) said.set(action.id, message);
  if (message && (store.thread || store.aside !== "try")) toast(message);
  document.dispatchEvent(new CustomEvent("tried"));
}

// Where the panel is not in sight, one line above the composer says the next thing to do.
export function nextStep() {
  const offer = store.try_this;
  const step = offer?.steps.find((each) => !each.done);
  if (!step) return null;
  const elsewhere = (step.person && step.person !== me().name) || (step.channel && idOf(step.channel) !== store.place);
  const [label, todo] = !chipLabel(step) ? ["Show", () => showTry(true)] : elsewhere ? ["Go", () => doStep(step)] : step.command ? ["Fill in", () => doStep(step)] : [];
  const button = label && h("button", { class: "btn primary", type: "button", dataset: { key: "next" }, onclick: todo }, label);
  return h("div", { class: "next", role: "note" }, icon("bolt"), h("span", {}, h("b", {}, "Next: "), step.text), button);
}
