// What an alert of a camera or a microphone was raised for, beside its heat map.
import { byId, here, make, moment } from "./dom.js";

const SEEN = { frame: "Frame", sound: "Spectrogram" };

// An image; `old` is taken again where it shows the same, so that it is not loaded anew. Once it
// is there it keeps its room.
export function picture(alert, kind, old) {
  const { url, detector } = alert.picture;
  if (old && old.dataset.url === url) return old;
  const alt = `${SEEN[alert.picture.kind]} of ${alert.sensor}, and where ${detector} finds it anomalous`;
  const image = make("img", { class: kind, src: here(url), alt, "data-url": url });
  image.onload = () => Object.assign(image, { width: image.naturalWidth, height: image.naturalHeight });
  return image;
}

// The newest picture of one sensor's alerts, also of those that are resolved.
export function showPicture(alerts, selected, now) {
  const mine = (alert) =>
    alert.picture !== null && alert.stream === selected?.stream && alert.sensor === selected?.sensor;
  const [newest] = alerts.filter(mine).sort((a, b) => b.picture.time - a.picture.time);
  const place = byId("picture");
  const shown = newest ? [figure(newest, now, place.querySelector("img"))] : [];
  place.replaceChildren(...shown);
}

function figure(alert, now, old) {
  const { kind, detector, time } = alert.picture;
  const left = kind === "sound" ? "Left the sound, low bands at the bottom" : "Left as it came";
  return make(
    "figure",
    { class: "seen" },
    make("figcaption", {}, make("strong", {}, SEEN[kind]), make("span", { class: "readout" }, moment(time, now))),
    picture(alert, "whole", old),
    make("p", { class: "quiet" }, `${left}; right where ${detector} finds it anomalous.`),
  );
}
