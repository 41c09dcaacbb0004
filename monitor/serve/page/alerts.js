// Open alerts as cards, all recent ones as a table.
import { byId, keep, make, moment, showIf, span, times } from "./dom.js";
import { picture } from "./picture.js";

const OPENED = 3; // the column that tells how long ago
const MARKS = { critical: "▲", warning: "◆", info: "●" };

export function showOpen(alerts, now, choose) {
  const open = alerts.filter((alert) => alert.phase === "firing");
  byId("open-count").textContent = open.length ? String(open.length) : "";
  document.title = open.length ? `(${open.length}) monitor` : "monitor";
  keep(
    byId("open"),
    open,
    (alert) => alert.id,
    () => make("li", {}, make("button", { type: "button", class: "card" })),
    (item, alert) => fillCard(item.firstElementChild, alert, now, choose),
  );
  showIf(byId("open-none"), open.length === 0);
}

function fillCard(card, alert, now, choose) {
  card.dataset.severity = alert.severity;
  card.onclick = () => choose(alert.stream, alert.sensor);
  const seen = alert.picture ? [picture(alert, "thumbnail", card.querySelector("img"))] : [];
  card.replaceChildren(
    make("span", { class: "card-head" }, badge(alert), make("strong", {}, alert.sensor)),
    ...seen,
    make("span", { class: "reason" }, alert.reason),
    make("span", { class: "quiet" }, `${alert.stream} · opened `, moment(alert.opened, now)),
    make("span", { class: "chips" }, ...scores(alert)),
    make("span", { class: "shares" }, ...channels(alert).map(share)),
  );
}

function badge(alert) {
  const severity = alert.phase === "firing" ? alert.severity : "resolved";
  const mark = MARKS[severity] ?? "✓";
  return make("span", { class: "badge", "data-severity": severity }, `${mark} ${severity}`);
}

function scores(alert) {
  const known = Object.entries(alert.scores).filter(([, value]) => value !== null);
  return known
    .sort((a, b) => b[1] - a[1])
    .map(([detector, value]) => make("span", { class: "chip" }, `${detector} ${times(value)}`));
}

// The few channels that explain the most.
function channels(alert) {
  return Object.entries(alert.channels).slice(0, 3).filter(([, part]) => part >= 0.005);
}

function share([channel, part]) {
  const bar = make("span", { class: "share-bar" });
  bar.style.setProperty("--part", part);
  const percent = `${Math.round(part * 100)} %`;
  return make("span", { class: "share" }, make("span", {}, channel), bar, make("span", {}, percent));
}

export function showRecent(alerts, now, choose) {
  keep(
    byId("recent"),
    [...alerts].sort((a, b) => b.time - a.time),
    (alert) => alert.id,
    () => make("tr"),
    (row, alert) => fillRow(row, alert, now, choose),
  );
  showIf(byId("recent-none"), alerts.length === 0);
}

function fillRow(row, alert, now, choose) {
  const step = `${alert.phase} ${alert.time} ${alert.severity}`;
  if (row.dataset.step === step) {
    // Only its age has changed; the button keeps its focus.
    row.cells[OPENED].replaceChildren(moment(alert.opened, now));
    return;
  }
  row.dataset.step = step;
  const mark = alert.picture ? " ▣" : "";
  const name = make("button", { type: "button", class: "link" }, `${alert.sensor}${mark}`);
  name.onclick = () => choose(alert.stream, alert.sensor);
  const lasted = alert.phase === "firing" ? "open" : span(alert.time - alert.opened);
  const top = channels(alert).map(([channel, part]) => `${channel} ${Math.round(part * 100)} %`);
  row.replaceChildren(
    make("td", {}, badge(alert)),
    make("td", {}, name, make("span", { class: "quiet" }, ` ${alert.stream}`)),
    make("td", {}, alert.reason),
    make("td", {}, moment(alert.opened, now)),
    make("td", {}, lasted),
    make("td", {}, top.join(", ") || "–"),
  );
}
