"""The series of single sensors as text: the large part of `/metrics`, rendered from arrays.

A scrape of 10,000 sensors has more than 100,000 lines, so labels are rendered once and kept, and
numbers are formatted whole arrays at a time. The rest of `/metrics` is in `metrics.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from monitor.serve.families import METRICS, asset_labels
from monitor.types import Array, Labels, Slots
from monitor.view import LaneView

Numbers = NDArray[np.floating[Any]]
Sensor = tuple[str, str]


class Shown(NamedTuple):
    """The rows of a lane that are shown."""

    lane: LaneView
    rows: Slots


def ratio(raw: Array, threshold: Array) -> Array:
    """`raw / threshold`; NaN where one of them is, 0 while the threshold is infinite."""
    with np.errstate(all="ignore"):
        return np.asarray(raw / threshold, np.float32)


def values(lane: LaneView) -> Array:
    """The score of each sensor and detector in thresholds, `(S, D)`."""
    return ratio(lane.raw, lane.threshold)


def disagreement(lane: LaneView) -> Array:
    """Of each sensor's detectors with a score the share that is outvoted, `(S,)`: 0 where all
    agree, 0.5 where half of them call the last window anomalous; NaN where none has a score.
    """
    found = values(lane)
    known = (np.isfinite(found) & np.isfinite(lane.threshold)).sum(axis=1, dtype=np.float32)
    over = (found > 1).sum(axis=1, dtype=np.float32)
    return np.asarray(ratio(np.minimum(over, known - over), known), np.float32)


def peaks(lane: LaneView) -> Array:
    """The highest value of each sensor, `(S,)`; -1 where there is none."""
    return np.asarray(np.fmax.reduce(values(lane), axis=1, initial=-1.0), np.float32)


def distinct(lanes: Sequence[LaneView]) -> list[Shown]:
    """Every sensor of a stream once: of one that is in two partitions, the place seen last."""
    every = [Shown(lane, np.arange(len(lane.sensors))) for lane in lanes]
    names = {(lane.stream, sensor) for lane in lanes for sensor in lane.sensors}
    if len(names) == sum(len(lane.sensors) for lane in lanes):
        return every
    newest: dict[Sensor, tuple[float, int]] = {}
    for i, lane in enumerate(lanes):
        for sensor, seen in zip(lane.sensors, lane.last_seen.tolist(), strict=True):
            place = (-np.inf if np.isnan(seen) else seen, i)
            newest[lane.stream, sensor] = max(place, newest.get((lane.stream, sensor), place))
    return [
        Shown(lane, np.flatnonzero([newest[lane.stream, name][1] == i for name in lane.sensors]))
        for i, lane in enumerate(lanes)
    ]


def highest(shown: Sequence[Shown], most: int) -> tuple[list[Shown], dict[str, int]]:
    """Of each stream at most so many sensors, those with the highest scores, and how many were
    left out.
    """
    kept: list[Shown] = []
    dropped: dict[str, int] = {}
    for stream in sorted({part.lane.stream for part in shown}):
        parts = [part for part in shown if part.lane.stream == stream]
        total = sum(len(part.rows) for part in parts)
        dropped[stream] = max(0, total - most)
        kept += parts if total <= most else _best(parts, most)
    return kept, dropped


def _best(parts: Sequence[Shown], most: int) -> list[Shown]:
    scores = np.concatenate([peaks(part.lane)[part.rows] for part in parts])
    chosen = np.zeros(len(scores), bool)
    chosen[np.argsort(-scores, kind="stable")[:most]] = True
    starts = np.cumsum([len(part.rows) for part in parts])[:-1]
    return [
        Shown(part.lane, part.rows[mask])
        for part, mask in zip(parts, np.split(chosen, starts), strict=True)
    ]


class _Labels(NamedTuple):
    """Rendered label sets of one lane's shown rows, with what they were rendered from."""

    stream: str
    detectors: tuple[str, ...]
    sensors: tuple[str, ...]
    assets: tuple[Labels, ...]
    rows: Slots
    each: list[bytes]
    by_detector: list[bytes]

    def fits(self, part: Shown) -> bool:
        """Whether they still say what the lane says."""
        lane = part.lane
        names = (lane.stream, lane.detectors, lane.sensors, lane.labels)
        same = (self.stream, self.detectors, self.sensors, self.assets) == names
        return same and np.array_equal(self.rows, part.rows)


class SensorSeries:
    """Renders the series of sensors; keeps label sets from scrape to scrape."""

    def __init__(self) -> None:
        self._kept: list[_Labels] = []

    def render(self, shown: Sequence[Shown]) -> bytes:
        """All families of single sensors in the text format, for the rows given."""
        old: list[_Labels | None] = [*self._kept, *[None] * len(shown)]
        labels = [
            kept if kept is not None and kept.fits(part) else _rendered(part)
            for kept, part in zip(old, shown, strict=False)
        ]
        self._kept = labels
        blocks = [
            _block(name, pick, [part.by_detector for part in labels], shown)
            for name, pick in _SCORES.items()
        ]
        blocks += [
            _block(name, pick, [part.each for part in labels], shown)
            for name, pick in _SENSORS.items()
        ]
        return b"".join(blocks)


_SCORES: Mapping[str, Callable[[LaneView], Numbers]] = {
    "monitor_anomaly_score": values,
    "monitor_score_raw": lambda lane: lane.raw,
    "monitor_threshold_raw": lambda lane: lane.threshold,
    "monitor_warmup_progress_ratio": lambda lane: lane.progress,
}
_SENSORS: Mapping[str, Callable[[LaneView], Numbers]] = {
    "monitor_detector_disagreement_ratio": disagreement,
    "monitor_last_window_timestamp_seconds": lambda lane: lane.window_end,
    "monitor_last_seen_timestamp_seconds": lambda lane: lane.last_seen,
}
SENSOR_FAMILIES = (*_SCORES, *_SENSORS)


def _rendered(part: Shown) -> _Labels:
    lane = part.lane
    detectors = [_pair("detector", name) for name in lane.detectors]
    each, by_detector = [], []
    for row in part.rows.tolist():
        pairs = [_pair("stream", lane.stream), _pair("sensor", lane.sensors[row])]
        pairs += [_pair(*item) for item in asset_labels(lane.labels[row]).items()]
        text = ",".join(pairs)
        each.append(f"{{{text}}} ".encode())
        by_detector += [f"{{{text},{detector}}} ".encode() for detector in detectors]
    names = (lane.stream, lane.detectors, lane.sensors, lane.labels)
    return _Labels(*names, part.rows, each, by_detector)


def _pair(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    # A lone surrogate cannot be UTF-8; the message that brought it is somebody else's mistake.
    return f'{name}="{escaped}"'.encode(errors="replace").decode()


def _block(
    name: str,
    pick: Callable[[LaneView], Numbers],
    labels: Iterable[list[bytes]],
    shown: Sequence[Shown],
) -> bytes:
    metric = METRICS[name]
    parts = [f"# HELP {name} {metric.help}\n# TYPE {name} {metric.kind}".encode()]
    for texts, part in zip(labels, shown, strict=True):
        line = [f"\n{name}".encode()] * (3 * len(texts))
        line[1::3] = texts
        line[2::3] = numbers(pick(part.lane)[part.rows])
        parts.append(b"".join(line))
    return b"".join([*parts, b"\n"])


def numbers(array: Numbers) -> list[bytes]:
    """The shortest text of each number, row by row; NaN and +Inf spelled as Prometheus does."""
    flat = np.ascontiguousarray(array).ravel()
    if not flat.size:
        return []
    text = orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    found = text.replace(b"null", b"NaN").split(b",")
    for i in np.flatnonzero(np.isinf(flat)).tolist():
        found[i] = b"+Inf" if flat[i] > 0 else b"-Inf"
    return found
