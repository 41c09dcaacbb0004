// Asks the API every two seconds and shows what it says; what is chosen stands in the address.
import { showOpen, showRecent } from "./alerts.js";
import { showDetail } from "./detail.js";
import { byId, here } from "./dom.js";
import { query, showFleet, showStreams } from "./fleet.js";
import { showPicture } from "./picture.js";
import { showProcess, showState, showSummary, showUnreachable } from "./process.js";

const EVERY = 2000;
const PATIENCE = 8000;

let selected = fromAddress();
let reached = null;
let timer = null;
let round = 0;

async function ask(path) {
  const answer = await fetch(here(`api/v1/${path}`), {
    headers: { accept: "application/json" },
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`it answered ${answer.status} to ${path}`);
  return answer.json();
}

function ofSelected() {
  if (selected === null) return null;
  const { stream, sensor } = selected;
  return ask(`sensors/${encodeURIComponent(stream)}/${encodeURIComponent(sensor)}`);
}

// One round of questions; an older round that answers late is not shown.
async function refresh() {
  clearTimeout(timer);
  const mine = ++round;
  try {
    const answers = await Promise.all([
      ask("status"),
      ask("alerts?state=all&limit=200"),
      ask(`sensors?${query()}`),
      ofSelected(),
    ]);
    if (mine === round) show(...answers);
  } catch (error) {
    if (mine === round) showUnreachable(error, reached);
  }
  if (mine === round) timer = setTimeout(refresh, EVERY);
}

function show(status, alerts, sensors, detail) {
  reached = Date.now() / 1000;
  showState(status);
  showSummary(status);
  showStreams(status.streams);
  showOpen(alerts.items, status.now, choose);
  showFleet(sensors, selected, choose);
  showDetail(detail, status.now);
  showPicture(alerts.items, selected, status.now);
  showRecent(alerts.items, status.now, choose);
  showProcess(status);
  if (selected === null) chooseFirst(alerts.items, sensors.items);
}

// Nobody has chosen yet: the gravest open alert, else the highest score.
function chooseFirst(alerts, sensors) {
  const first = alerts.find((alert) => alert.phase === "firing") ?? sensors[0];
  if (first) choose(first.stream, first.sensor);
}

function choose(stream, sensor) {
  selected = { stream, sensor };
  const address = `#${encodeURIComponent(stream)}/${encodeURIComponent(sensor)}`;
  history.replaceState(null, "", address);
  refresh();
}

function fromAddress() {
  const found = /^#([^/]+)\/(.*)$/.exec(location.hash);
  if (!found) return null;
  try {
    return { stream: decodeURIComponent(found[1]), sensor: decodeURIComponent(found[2]) };
  } catch {
    return null;
  }
}

byId("filter").addEventListener("input", refresh);
byId("filter").addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", () => {
  selected = fromAddress();
  refresh();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});
refresh();
