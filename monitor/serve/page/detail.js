// One sensor: for each detector its scores in thresholds over the recent windows.
import { byId, clockTime, level, make, makeSvg, moment, number, score, showIf, times as multiple } from "./dom.js";

const HEIGHT = 132;
const EDGE = { left: 34, right: 10, top: 10, bottom: 18 };
const LOG_FROM = 6;

export function showDetail(sensor, now) {
  showIf(byId("detail-none"), sensor === null);
  byId("detail-head").replaceChildren(...(sensor ? head(sensor, now) : []));
  const wanted = sensor ? sensor.history.map((series) => series.detector) : [];
  const figures = [...byId("charts").children];
  const same =
    wanted.length === figures.length && wanted.every((name, i) => figures[i].dataset.detector === name);
  if (!same) byId("charts").replaceChildren(...wanted.map(newFigure));
  [...byId("charts").children].forEach((figure, i) => fillFigure(figure, sensor, i));
}

function head(sensor, now) {
  const labels = Object.entries(sensor.labels).map(([name, value]) =>
    make("span", { class: "chip" }, `${name}: ${value}`),
  );
  return [
    make("h3", {}, sensor.sensor),
    make(
      "p",
      { class: "quiet" },
      `${sensor.stream} · ${sensor.topic} ${sensor.partition} · last window `,
      moment(sensor.window_end, now),
      " · last sample ",
      moment(sensor.last_seen, now),
    ),
    make("p", { class: "chips" }, ...labels),
  ];
}

function newFigure(detector) {
  const figure = make(
    "figure",
    { "data-detector": detector },
    make("figcaption", {}, make("strong", {}, detector), make("span", { class: "readout" })),
    makeSvg("svg", { class: "chart", height: HEIGHT, tabindex: 0, role: "img" }),
  );
  const chart = figure.lastElementChild;
  chart.addEventListener("pointermove", (event) => point(figure, event.offsetX));
  chart.addEventListener("pointerleave", () => readOut(figure, null));
  chart.addEventListener("blur", () => readOut(figure, null));
  chart.addEventListener("keydown", (event) => step(figure, event));
  return figure;
}

function fillFigure(figure, sensor, place) {
  const reading = sensor.detectors[place];
  const series = sensor.history[place];
  figure.plot = { reading, series, times: sensor.times, scale: scaleOf(figure, sensor.times, series) };
  figure.dataset.level = level(reading.value);
  const chart = figure.lastElementChild;
  chart.setAttribute("aria-label", summary(reading, sensor.times));
  chart.replaceChildren(...drawing(figure.plot));
  readOut(figure, figure.at ?? null);
}

function summary(reading, times) {
  const state = reading.value > 1 ? "anomalous" : "normal";
  return `${reading.detector}: ${score(reading.value)} thresholds, ${state}, ${times.length} recent windows`;
}

// Places on the chart: linear, or logarithmic where the highest score would flatten the rest.
function scaleOf(figure, times, series) {
  const width = Math.max(240, figure.clientWidth || 480);
  const top = Math.max(1.5, ...series.value.map((value) => value ?? 0));
  const bend = top > LOG_FROM ? Math.log1p : (value) => value;
  const [first, last] = [times[0] ?? 0, times.at(-1) ?? 1];
  const across = width - EDGE.left - EDGE.right;
  const down = HEIGHT - EDGE.top - EDGE.bottom;
  return {
    width,
    x: (time) => EDGE.left + (last > first ? ((time - first) / (last - first)) * across : across),
    y: (value) => EDGE.top + down * (1 - bend(Math.max(0, value)) / (bend(top) * 1.05)),
    ticks: top > LOG_FROM ? [0, 1, 10, 100, 1000].filter((tick) => tick < top) : [0, 1, ...extra(top)],
  };
}

function extra(top) {
  return top >= 4 ? [2, 4] : top >= 2 ? [2] : [];
}

function drawing({ series, times, scale }) {
  const line = path(times, series.value, scale);
  const axis = scale.ticks.flatMap((tick) => gridLine(tick, scale));
  const ends = times.length > 1 ? [label(times[0], "start", scale), label(times.at(-1), "end", scale)] : [];
  const hot = times.flatMap((time, i) => (series.value[i] > 1 ? [dot(time, series.value[i], scale)] : []));
  return [...axis, ...ends, makeSvg("path", { class: "line", d: line }), ...hot, cursor()];
}

function path(times, values, scale) {
  let gap = true;
  return times
    .map((time, i) => {
      if (values[i] === null) {
        gap = true;
        return "";
      }
      const command = `${gap ? "M" : "L"}${scale.x(time).toFixed(1)} ${scale.y(values[i]).toFixed(1)}`;
      gap = false;
      return command;
    })
    .join("");
}

function gridLine(tick, scale) {
  const y = scale.y(tick).toFixed(1);
  const kind = tick === 1 ? "limit" : "grid";
  return [
    makeSvg("line", { class: kind, x1: EDGE.left, x2: scale.width - EDGE.right, y1: y, y2: y }),
    makeSvg("text", { class: "tick", x: EDGE.left - 6, y, "text-anchor": "end", dy: "0.32em" }, String(tick)),
  ];
}

function label(time, anchor, scale) {
  return makeSvg(
    "text",
    { class: "tick", x: scale.x(time), y: HEIGHT - 3, "text-anchor": anchor },
    clockTime(time),
  );
}

function dot(time, value, scale) {
  return makeSvg("circle", { class: "hot", cx: scale.x(time), cy: scale.y(value), r: 2.5 });
}

function cursor() {
  return makeSvg("line", { class: "cursor", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
}

function point(figure, x) {
  const { times, scale } = figure.plot;
  const distances = times.map((time) => Math.abs(scale.x(time) - x));
  if (distances.length) readOut(figure, distances.indexOf(Math.min(...distances)));
}

function step(figure, event) {
  const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!move || !figure.plot.times.length) return;
  event.preventDefault();
  const last = figure.plot.times.length - 1;
  readOut(figure, Math.min(last, Math.max(0, (figure.at ?? last) + move)));
}

// Tell one window's numbers, or the latest where `at` is null.
function readOut(figure, at) {
  const { reading, series, times, scale } = figure.plot;
  figure.at = at !== null && at < times.length ? at : null;
  const past = figure.at !== null;
  const mark = figure.querySelector(".cursor");
  mark.setAttribute("visibility", past ? "visible" : "hidden");
  if (past) {
    mark.setAttribute("x1", scale.x(times[at]));
    mark.setAttribute("x2", scale.x(times[at]));
  }
  const shown = past
    ? { value: series.value[at], raw: series.raw[at], threshold: series.threshold[at] }
    : reading;
  const when = past ? `${clockTime(times[at])} · ` : "";
  const warming = reading.progress !== null && reading.progress < 1;
  const warm = warming ? ` · warm-up ${Math.floor(reading.progress * 100)} %` : "";
  figure.querySelector(".readout").textContent =
    `${when}${multiple(shown.value)} · score ${number(shown.raw)} · threshold ${number(shown.threshold)}${warm}`;
}
