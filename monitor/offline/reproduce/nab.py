"""`monitor reproduce nab`: the Numenta Anomaly Benchmark with the product as it is.

58 series of one number each. Every series is a sensor of one stream, and every row with the seven
before it is a window; from there on it is the pipeline's own judgement, which knows the past alone:
detectors that learn in the stream, p-values from rings of each sensor's own scores, their fusion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.config import parse
from monitor.errors import ConfigError
from monitor.offline.reproduce.nab_scoring import Marked, Numbers, Profile, Window, mark
from monitor.settings import Config
from monitor.stream.judge import judge
from monitor.stream.lane import LaneSpec, LaneState
from monitor.types import Array
from monitor.wiring import build_middle

CONFIGURATION = Path(__file__).with_name("nab.yaml")
PROFILES = "config/profiles.json"
LABELS = "labels/combined_windows.json"
PAUSE = 100  # rows
_STEPS = 500  # windows of each series in one call


class Series(NamedTuple):
    """One file: times in s since the epoch and values `(n,)`, and the labelled windows."""

    time: Numbers
    value: Array
    windows: list[Window]


class Scored(NamedTuple):
    """Of each row of a series: the detectors' raw scores `(n, D)`, the same over their thresholds,
    what they say together, and the score in [0, 1] that the benchmark is given, both `(n,)`.
    """

    raw: Array
    value: Array
    fused: Array
    score: Numbers


def configuration() -> Config:
    """The one that is used for every series."""
    return parse(CONFIGURATION.read_text("utf-8"), str(CONFIGURATION))


def read_profiles(folder: Path) -> dict[str, Profile]:
    """What finds and false alarms count in each profile of the benchmark."""
    found = json.loads((folder / PROFILES).read_text("utf-8"))
    costs = {name: profile["CostMatrix"] for name, profile in found.items()}
    return {n: Profile(c["tpWeight"], c["fnWeight"], c["fpWeight"]) for n, c in costs.items()}


def read_series(folder: Path) -> dict[str, Series]:
    """Every labelled file by its path below `data/`; ConfigError for one that cannot be read."""
    labels = json.loads((folder / LABELS).read_text("utf-8"))
    return {name: read_series_of(folder, name, labels[name]) for name in sorted(labels)}


def score_series(
    series: Mapping[str, Series], config: Config, advance: Callable[[int], None] | None = None
) -> tuple[tuple[str, ...], dict[str, Scored]]:
    """The names of the detectors, and what is said of each row, which depends on the rows before it
    alone. `advance` is told how many rows are done.
    """
    (lane,) = build_middle(config).pipeline.streams[0].lanes
    said = _judged(lane, [one.value for one in series.values()], advance or (lambda rows: None))
    names = dict(zip(series, (_scored(found) for found in said), strict=True))
    return lane.detectors, names


def marked(series: Mapping[str, Series], scored: Mapping[str, Scored]) -> dict[str, Marked]:
    """Each series as the benchmark scores it."""
    return {n: mark(one.time, one.windows, scored[n].score) for n, one in series.items()}


def by_group(found: Mapping[str, Marked]) -> dict[str, list[Marked]]:
    """The series of each folder, which come from one kind of source."""
    groups: dict[str, list[Marked]] = {}
    for name, one in found.items():
        groups.setdefault(name.split("/")[0], []).append(one)
    return groups


def read_series_of(folder: Path, name: str, labels: list[tuple[str, str]]) -> Series:
    """One file; `labels` are the first and the last time of each window."""
    path = folder / "data" / name
    try:
        table = pd.read_csv(path)
        time, value = _seconds(table["timestamp"]), table["value"].to_numpy(np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: is no series of timestamp and value: {error}") from error
    edges = [_seconds(pd.Series(window)) for window in labels]
    return Series(time, value, [(float(a), float(b)) for a, b in edges])


def _seconds(times: pd.Series[str]) -> Numbers:
    parsed = pd.to_datetime(times, utc=True, format="mixed").dt.as_unit("ns")
    return np.asarray(parsed.astype("int64") / 1e9, np.float64)


def _judged(
    spec: LaneSpec, values: list[Array], advance: Callable[[int], None]
) -> list[NDArray[np.float64]]:
    """Raw scores, scores over thresholds and the fused value of each row, `(n, 2 D + 1)`: all
    series side by side, a step of each at a time.
    """
    lane = LaneState(spec)
    samples, detectors = spec.settings.window.samples, len(spec.detectors)
    told = [np.full((len(v), 2 * detectors + 1), np.nan) for v in values]
    slots = [lane.admit(f"{number}") for number in range(len(values))]
    windows = [np.lib.stride_tricks.sliding_window_view(v, samples) for v in values]
    for first in range(0, max(map(len, windows)), _STEPS):
        step, which = _side_by_side([len(w) for w in windows], first)
        data = np.stack([windows[k][i] for i, k in zip(step, which, strict=True)])[:, None]
        row = step + samples - 1
        found = judge(
            lane,
            np.array(slots)[which],
            np.ascontiguousarray(data),
            np.empty((len(row), 0), np.float32),
            (row + 1).astype(np.float64),
        )
        all_said = np.column_stack([found.raw, found.values, found.fused])
        for k in np.unique(which):
            told[k][row[which == k]] = all_said[which == k]
        advance(len(row))
    return told


def _side_by_side(lengths: list[int], first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places from `first` on and the series they are in, step by step through all series."""
    steps, which = np.meshgrid(
        np.arange(first, first + _STEPS), np.arange(len(lengths)), indexing="ij"
    )
    there = steps < np.array(lengths)
    return steps[there], which[there]


def _scored(said: NDArray[np.float64]) -> Scored:
    detectors = said.shape[1] // 2
    raw, value = (said[:, :detectors], said[:, detectors:-1])
    fused = np.maximum(np.nan_to_num(said[:, -1], nan=0.0, posinf=1e30), 0.0)
    first = first_of_their_kind(fused, PAUSE)
    return Scored(
        raw.astype(np.float32),
        value.astype(np.float32),
        said[:, -1].astype(np.float32),
        first / (1 + first),
    )


@compiled
def first_of_their_kind(values: Numbers, pause: int) -> Numbers:
    """0 in place of each value that does not exceed all of the `pause` before it: an alert that is
    open is not raised again, unless it gets worse.
    """
    kept = np.zeros(values.size)
    for i in range(values.size):
        most = 0.0
        for j in range(max(0, i - pause), i):
            most = max(most, values[j])
        if values[i] > most:
            kept[i] = values[i]
    return kept
