"""Labelled windows to compare detectors on: SKAB, simulated machines, NAB's clean beginnings.

Windows are cut row by row as they lie in the files. What comes first in time trains, without
labels; what comes later is judged. A window is anomalous if any of its rows is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.offline.reproduce import nab, skab
from monitor.types import Array
from simulators.fleet import Fleet, Plan

SAMPLES = 24  # of SKAB and NAB; what `monitor init` suggests for slow recordings
LEAP = 4  # rows from one judged window to the next
SEEDS = (1, 2)
KINDS = ("rotor", "pump")
TRAINED, JUDGED = 240.0, 360.0  # seconds of a simulated machine
RATE = 128.0
_NOT_SEEN = "dropout"  # leaves no window to judge


class Sensor(NamedTuple):
    """Windows `(n, C, T)` to learn from and to judge, and which of these are anomalous."""

    training: Array
    judged: Array
    truth: NDArray[np.bool_]


class Split(NamedTuple):
    """Sensors that one model serves. `gap` windows share samples with the next."""

    of: str
    sensors: dict[str, Sensor]
    gap: int


def skab_splits(data: Path | None, every: int = 1) -> Iterator[Split]:
    """A model for each run, every so-manieth of them."""
    for run in skab.read_runs(skab.find_runs(data))[::every]:
        sensor = _sensor(run.data, run.anomalous, skab.TRAINING, SAMPLES, hop=1)
        yield Split("skab", {run.name: sensor}, SAMPLES - 1)


def simulated_splits() -> Iterator[Split]:
    """A model for each fleet of three machines, with faults of every kind."""
    for kind in KINDS:
        for seed in SEEDS:
            yield Split("simulators", dict(_machines(kind, seed)), 1)


def nab_splits(folder: Path, every: int = 1) -> Iterator[Split]:
    """A model for each series with a labelled range after its first 15 %, none in them."""
    for name, series in list(nab.read_series(folder).items())[::every]:
        first = int(0.15 * len(series.time))
        bad = np.zeros(len(series.time), np.bool_)
        for begin, end in series.windows:
            bad |= (series.time >= begin) & (series.time <= end)
        if bad[first:].any() and not bad[:first].any():
            sensor = _sensor(series.value[None], bad, first, SAMPLES, hop=1)
            yield Split("nab", {name: sensor}, SAMPLES - 1)


def _machines(kind: str, seed: int) -> Iterator[tuple[str, Sensor]]:
    plain = Fleet(seed=seed, count=3, kind=kind, rate=RATE)
    kinds = tuple(k for k in next(iter(plain.machines.values())).kinds if k != _NOT_SEEN)
    plan = Plan(per_machine=len(kinds), kinds=kinds)
    fleet = plain.with_faults(TRAINED, TRAINED + JUDGED, plan)
    for name in fleet.sensors:
        data = fleet.chunk(name, 0.0, TRAINED + JUDGED).data
        bad = fleet.labels(name, 0.0, TRAINED + JUDGED) == 1
        samples = round(RATE)
        yield name, _sensor(data, bad, round(TRAINED * RATE), samples, hop=samples // 2)


def _sensor(data: Array, bad: NDArray[np.bool_], first: int, samples: int, *, hop: int) -> Sensor:
    """Learn from the first samples of `(C, n)`, judge the windows that end after them."""
    windows = np.lib.stride_tricks.sliding_window_view(data, samples, axis=1).swapaxes(0, 1)
    touched = np.asarray(np.lib.stride_tricks.sliding_window_view(bad, samples).max(axis=1))
    later = slice(first - samples + 1, None, hop * LEAP if hop == 1 else hop)
    training = windows[: first - samples + 1 : hop]
    return Sensor(_copied(training), _copied(windows[later]), touched[later])


def _copied(windows: Array) -> Array:
    return np.ascontiguousarray(windows, np.float32)


def channels_of(sensors: Sequence[Sensor]) -> tuple[str, ...]:
    """Names for the channels, which no detector looks at."""
    return tuple(f"c{number}" for number in range(sensors[0].training.shape[1]))
