// The fleet: one cell for each sensor, coloured by its highest score in thresholds.
import { byId, count, keep, level, make, score, showIf } from "./dom.js";

const MOST = 400;

// What the API is asked for, from the search form.
export function query() {
  const wanted = new URLSearchParams({ sort: byId("sort").value, limit: String(MOST) });
  const search = byId("search").value.trim().slice(0, 200);
  if (search) wanted.set("search", search);
  if (byId("stream").value) wanted.set("stream", byId("stream").value);
  return wanted;
}

export function showStreams(streams) {
  const choice = byId("stream");
  const names = ["", ...streams.map((each) => each.stream)];
  if (names.length === choice.options.length) return;
  const chosen = choice.value;
  choice.replaceChildren(...names.map((name) => make("option", { value: name }, name || "all")));
  choice.value = names.includes(chosen) ? chosen : "";
}

export function showFleet(answer, selected, choose) {
  const more = answer.total > answer.items.length;
  byId("fleet-count").textContent = more
    ? `${answer.items.length} of ${count(answer.total)}`
    : count(answer.total);
  keep(
    byId("cells"),
    answer.items,
    (item) => `${item.stream}/${item.sensor}`,
    () => make("li", {}, newCell()),
    (element, item) => fillCell(element.firstElementChild, item, selected, choose),
  );
  showIf(byId("cells-none"), answer.items.length === 0);
}

function newCell() {
  return make(
    "button",
    { type: "button", class: "cell" },
    make("span", { class: "cell-name" }),
    make("span", { class: "cell-value" }),
    make("span", { class: "cell-bar" }),
  );
}

function fillCell(cell, item, selected, choose) {
  const [name, value, bar] = cell.children;
  const warming = item.detectors.every((detector) => (detector.progress ?? 0) < 1);
  const shown = item.value === null && warming ? "warm-up" : score(item.value);
  cell.dataset.level = level(item.value);
  cell.dataset.alert = String(item.alerts.length > 0);
  const mine = selected !== null && selected.stream === item.stream && selected.sensor === item.sensor;
  cell.setAttribute("aria-pressed", String(mine));
  cell.title = `${item.stream} / ${item.sensor}`;
  cell.onclick = () => choose(item.stream, item.sensor);
  name.textContent = item.sensor;
  value.textContent = item.alerts.length ? `▲ ${shown}` : shown;
  bar.style.setProperty("--part", Math.min(1, (item.value ?? 0) / 3));
}
