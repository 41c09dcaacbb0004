// Small tools for making elements. Data enters the page as text only, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const DAY = 86400;

export const byId = (id) => document.getElementById(id);

// An address of this server. Not relative to the page's own as it is: that may have a name and a
// password in it.
export const here = (path) => String(new URL(path, location.origin + location.pathname));

// Make an element: attributes (`null` leaves one out), then children (text or elements).
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function makeSvg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Make the children of `parent` show `items`: elements are kept by key, so focus and hover stay.
export function keep(parent, items, keyOf, create, update) {
  const focused = document.activeElement;
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const shown = items.map((item) => {
    const key = keyOf(item);
    const element = old.get(key) ?? create(item);
    element.dataset.key = key;
    update(element, item);
    return element;
  });
  const same =
    shown.length === parent.children.length && shown.every((e, i) => e === parent.children[i]);
  if (!same) parent.replaceChildren(...shown);
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus();
}

export function showIf(element, condition) {
  element.hidden = !condition;
}

// A score in thresholds -> what its colour means.
export function level(value) {
  if (value === null || value === undefined) return "idle";
  if (value > 3) return "critical";
  if (value > 1) return "warning";
  return value >= 0.8 ? "watch" : "ok";
}

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return value.toLocaleString(undefined, { maximumSignificantDigits: Math.max(digits, 1) });
}

// A score in thresholds, always as wide.
export function score(value) {
  if (value === null || value === undefined) return "–";
  return value < 100 ? value.toFixed(2) : number(value);
}

// The same where it stands alone: 4.20×.
export function times(value) {
  return value === null || value === undefined ? "no score" : `${score(value)}×`;
}

export function count(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString();
}

export function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 2 * DAY) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / DAY)} days`;
}

// A time as an element: near ones relative, others as a date; the full date is its title.
export function moment(seconds, now) {
  if (seconds === null || seconds === undefined || seconds <= 0) return make("span", {}, "–");
  const date = new Date(seconds * 1000);
  const near = Math.abs(now - seconds) < 2 * DAY;
  const ago = now - seconds < 1 ? "just now" : `${span(now - seconds)} ago`;
  const text = near ? ago : date.toLocaleString();
  return make("time", { datetime: date.toISOString(), title: date.toLocaleString() }, text);
}

export function clockTime(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString();
}
