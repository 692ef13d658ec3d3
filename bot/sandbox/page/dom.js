// Build elements without ever parsing HTML: what people and apps write can only become text.

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) set(node, name, value);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function set(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "style") for (const [key, each] of Object.entries(value)) node.style.setProperty(key, each);
  else if (name === "dataset") Object.assign(node.dataset, value);
  else if (["value", "checked", "selected", "disabled", "hidden", "htmlFor", "className"].includes(name)) node[name] = value;
  else if (name === "class") node.className = value;
  else node.setAttribute(name, value === true ? "" : value);
}

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  hash: "M9 4 7 20M17 4l-2 16M4.5 9h16M3.5 15h16",
  lock: "M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z",
  close: "M6 6l12 12M18 6 6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  back: "M14 6l-6 6 6 6",
  forward: "M4 12h15M13 6l6 6-6 6",
  down: "M6 9l6 6 6-6",
  send: "M4 12 20 4l-5 16-3.5-6.5zM11.5 13.5 20 4",
  reply: "M4 6h16v10H11l-5 4v-4H4z",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6z",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2.5v2.2M12 19.3v2.2M2.5 12h2.2M19.3 12h2.2M5.3 5.3l1.5 1.5M17.2 17.2l1.5 1.5M5.3 18.7l1.5-1.5M17.2 6.8l1.5-1.5",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  dots: "M6 12h.01M12 12h.01M18 12h.01",
  bolt: "M13 3 5 13.5h6L10 21l8-10.5h-6z",
  flag: "M6 21V4M6 4c4-2.5 8 2.5 13 0v9c-5 2.5-9-2.5-13 0",
  check: "M5 12.5l4.5 4.5L19 7.5",
  done: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM8 12.3l2.8 2.8L16.2 9.6",
  fail: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM9 9l6 6M15 9l-6 6",
  ring: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18z",
  spinner: "M12 3a9 9 0 1 1-9 9",
  info: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM12 11v5.5M12 7.6h.01",
  warn: "M12 4 2.8 20h18.4zM12 10v4.5M12 17.3h.01",
  file: "M6 3h8l5 5v13H6zM14 3v5h5",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M9 9.2h.01",
  play: "M7 4.5 19 12 7 19.5z",
  shared: "M10 14l9-9M13 5h6v6M19 14v5H5V5h5",
};

export function icon(name, label = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("fill", "none");
  svg.setAttribute("stroke", "currentColor");
  svg.setAttribute("stroke-width", name === "dots" ? "3" : "1.9");
  svg.setAttribute("stroke-linecap", "round");
  svg.setAttribute("stroke-linejoin", "round");
  if (label) { svg.setAttribute("role", "img"); svg.setAttribute("aria-label", label); } else svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.ring);
  svg.append(path);
  return svg;
}

export function svgOf(shapes, box = "0 0 24 24", className = "emoji") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", box);
  svg.setAttribute("class", className);
  for (const [tag, attributes] of shapes) {
    const shape = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    svg.append(shape);
  }
  return svg;
}

// Draw a part of the page anew, and leave the keyboard where it was: on the element with the same key.
export function redrawn(root, draw) {
  const focused = root.contains(document.activeElement) ? document.activeElement : null;
  const { key = "" } = focused?.dataset ?? {};
  draw();
  if (focused && !focused.isConnected && key) root.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

// Menus close on Escape, on a press elsewhere, and when the focus leaves.
export function openMenu(menu, opener, onClose = () => {}) {
  const close = (refocus) => {
    menu.remove();
    opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    if (refocus) opener.focus();
    onClose();
  };
  const outside = (event) => { if (!menu.contains(event.target) && !opener.contains(event.target)) close(false); };
  menu.addEventListener("keydown", (event) => {
    const items = [...menu.querySelectorAll("button:not(:disabled)")];
    const at = items.indexOf(document.activeElement);
    if (event.key === "Escape") { event.stopPropagation(); close(true); }
    else if (event.key === "ArrowDown") items[(at + 1) % items.length]?.focus();
    else if (event.key === "ArrowUp") items[(at - 1 + items.length) % items.length]?.focus();
    else return;
    event.preventDefault();
  });
  document.addEventListener("pointerdown", outside, true);
  opener.setAttribute("aria-expanded", "true");
  menu.querySelector("button:not(:disabled)")?.focus();
  return close;
}
