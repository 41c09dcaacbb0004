// The process: readiness, partitions, models, what fails, notices.
import { byId, count, keep, make, moment, showIf, span } from "./dom.js";

export function showState(status) {
  const ready = status.readiness.ready;
  setState(ready ? "ready" : "not ready", ready ? "ok" : "critical");
  const failed = status.readiness.conditions.filter((condition) => !condition.ok);
  const told = failed.map((condition) => `${condition.name}: ${condition.detail}`).join("; ");
  showBanner(ready ? "" : `Not ready. ${told}. What is shown may be old.`);
  byId("version").textContent = `version ${status.version}`;
}

export function showUnreachable(error, since) {
  setState("unreachable", "critical");
  const age = since === null ? "" : ` What is shown is ${span(Date.now() / 1000 - since)} old.`;
  showBanner(`Not ready. The monitor cannot be reached: ${error.message}.${age}`);
}

function setState(text, kind) {
  if (byId("state").textContent !== text) byId("state").textContent = text;
  byId("state").dataset.level = kind;
}

function showBanner(text) {
  showIf(byId("banner"), text !== "");
  if (byId("banner").textContent !== text) byId("banner").textContent = text;
}

export function showSummary(status) {
  const sum = (list, pick) => list.reduce((total, each) => total + (pick(each) ?? 0), 0);
  const windows = status.counters.filter((each) => each.name === "windows_processed");
  const figures = [
    ["sensors", sum(status.streams, (stream) => stream.sensors)],
    ["anomalous", sum(status.streams, (stream) => stream.anomalous)],
    ["windows", sum(windows, (counter) => counter.total)],
    ["lag", sum(status.partitions, (partition) => partition.lag)],
  ];
  byId("summary").replaceChildren(
    ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, count(value)))),
  );
}

export function showProcess(status) {
  table("partitions", status.partitions, (each) => [
    make("td", {}, each.topic),
    make("td", { class: "number" }, String(each.partition)),
    make("td", { class: "number" }, count(each.position)),
    make("td", { class: "number" }, count(each.lag)),
  ]);
  table("models", status.models, (each) => [
    make("td", {}, each.stream),
    make("td", {}, each.detector),
    make("td", { title: each.fingerprint }, `${each.name} ${each.version}`),
    make("td", {}, moment(each.trained_at, status.now)),
  ]);
  byId("failing").replaceChildren(...status.failing.map(failing));
  const notices = [...status.notices].reverse().slice(0, 20);
  byId("notices").replaceChildren(...notices.map(notice));
  showIf(byId("notices-none"), notices.length + status.failing.length === 0);
}

function table(name, items, cells) {
  keep(
    byId(name),
    items.map((item, place) => [item, place]),
    ([, place]) => String(place),
    () => make("tr"),
    (row, [item]) => row.replaceChildren(...cells(item)),
  );
  showIf(byId(`${name}-none`), items.length === 0);
}

function failing(each) {
  const name = make("span", { class: "badge", "data-severity": "critical" }, `${each.name} failing`);
  return make("li", {}, name, " ", make("span", { class: "quiet" }, each.detail));
}

function notice(each) {
  const place = each.sensor ? `${each.stream} / ${each.sensor}` : each.stream;
  return make("li", {}, make("strong", {}, each.kind), ` ${place} `, make("span", { class: "quiet" }, each.detail));
}
