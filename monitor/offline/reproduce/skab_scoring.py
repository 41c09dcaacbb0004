"""Flags of runs with labels -> the scores of the Skoltech Anomaly Benchmark (SKAB).

Two problems. *Outliers*: each row counts by itself, rows of all runs are pooled, nothing is
adjusted. *Change points*: after each labelled change there is a window of 60 s; the first
detection in it counts, and the more the earlier it is; every detection outside of all windows costs
the same; a window without a detection costs the most. It is the score of NAB with another curve and
with windows that begin at the change, as the benchmark's leaderboard has it since it looks at test
rows alone (github.com/waico/SKAB, README and core/metrics.py; Katser & Kozitsin, "Skoltech Anomaly
Benchmark", Kaggle 2020, doi 10.34740/KAGGLE/DSV/1693952).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

WIDTH = 60.0  # seconds after a change in which it may be told
_STEPS = 1000  # of the benchmark's curve


@dataclass(frozen=True, slots=True)
class Rows:
    """Row by row: `far` is the share of normal rows that are flagged, `mar` the share of anomalous
    rows that are not.
    """

    f1: float
    far: float
    mar: float


class Ratios(NamedTuple):
    """One run: what is true of its rows, `(n,)`, and their scores in units of the run's own cut."""

    truth: Flags
    values: Numbers


class LeftOut(NamedTuple):
    """What came of multipliers that were chosen on the other runs, one for each run."""

    rows: Rows
    multipliers: tuple[float, ...]


class Changes(NamedTuple):
    """One run: `times` of its rows in s, `(n,)`, those of the labelled changes, and at which rows
    a change was told.
    """

    times: Numbers
    changes: Numbers
    told: Flags


class ChangeScore(NamedTuple):
    """0 is a detector that says nothing, 100 one that tells each change at once and nothing else.

    `missed` counts changes that nobody told, `false` detections outside of all windows.
    """

    standard: float
    low_false_alarms: float
    low_missed: float
    missed: int
    false: int
    changes: int


class _Profile(NamedTuple):
    missed: float
    false: float


_PROFILES = _Profile(1.0, 0.11), _Profile(1.0, 0.22), _Profile(2.0, 0.11)


def rows_at(runs: Sequence[Ratios], cuts: Sequence[float]) -> Rows:
    """All rows pooled, flagged where a value is over the cut of its run."""
    found = [_confusion(run, cut) for run, cut in zip(runs, cuts, strict=True)]
    return _rates(np.sum(found, axis=0))


def leave_one_out(runs: Sequence[Ratios]) -> LeftOut:
    """One multiplier of the cut for each run, the one that is best (F1) on all *other* runs.

    Labels of a run choose nothing about itself. Raises ConfigError for fewer than two runs.
    """
    if len(runs) < 2:
        raise ConfigError(f"{len(runs)} runs; leaving one out needs two at least")
    chosen = tuple(_best([*runs[:i], *runs[i + 1 :]]) for i in range(len(runs)))
    return LeftOut(rows_at(runs, chosen), chosen)


def change_score(runs: Sequence[Changes], width: float = WIDTH) -> ChangeScore:
    """The score of detections of change points, over all runs.

    Raises ConfigError where no run has a labelled change.
    """
    missed = false = changes = 0
    totals = np.zeros(len(_PROFILES))
    for run in runs:
        windows = _windows(run.changes, width)
        delays, outside = _delays(run, windows)
        found = [delay for delay in delays if delay is not None]
        for place, profile in enumerate(_PROFILES):
            worth_of = sum(_worth(delay, profile) for delay in found)
            lost = profile.missed * (len(windows) - len(found)) + profile.false * outside
            totals[place] += worth_of - lost
        missed += len(windows) - len(found)
        false += outside
        changes += len(windows)
    if not changes:
        raise ConfigError("no run has a labelled change; the score needs one at least")
    scaled = [
        100 * (float(total) / changes + profile.missed) / (1 + profile.missed)
        for total, profile in zip(totals, _PROFILES, strict=True)
    ]
    return ChangeScore(scaled[0], scaled[1], scaled[2], missed, false, changes)


def told_once(flagged: Flags, pause: int) -> Flags:
    """What is told of flagged rows: the first, and then one each `pause` rows while it goes on."""
    told = np.zeros(len(flagged), np.bool_)
    quiet = 0
    for row, is_flagged in enumerate(flagged.tolist()):
        told[row] = is_flagged and quiet == 0
        quiet = pause - 1 if told[row] else max(quiet - 1, 0)
    return told


def _confusion(run: Ratios, cut: float) -> NDArray[np.int64]:
    """True and false positives, false and true negatives."""
    flagged = run.values > cut
    pairs = (flagged, run.truth), (flagged, ~run.truth), (~flagged, run.truth)
    counts = [int((one & other).sum()) for one, other in pairs]
    return np.array([*counts, len(flagged) - sum(counts)])


def _rates(counts: NDArray[np.int64]) -> Rows:
    true, false, missed, quiet = (int(n) for n in counts)
    return Rows(
        f1=2 * true / max(2 * true + false + missed, 1),
        far=false / max(false + quiet, 1),
        mar=missed / max(missed + true, 1),
    )


def _best(runs: Sequence[Ratios]) -> float:
    """The multiplier with the highest F1 over these runs: halfway between two neighbouring values,
    of several equally good ones the largest.
    """
    values = np.concatenate([run.values for run in runs])
    truth = np.concatenate([run.truth for run in runs])
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    flagged = np.arange(1, len(values) + 1)
    f1 = 2 * np.cumsum(truth) / (flagged + int(truth.sum()))
    f1[:-1][values[1:] == values[:-1]] = -1.0  # rows of one value are flagged together
    place = int(np.argmax(f1))
    if place + 1 == len(values):
        return float(np.nextafter(values[place], -np.inf))
    return float((values[place] + values[place + 1]) / 2)


def _windows(changes: Numbers, width: float) -> list[tuple[float, float]]:
    """From each change on; one that would begin in the window before begins where that ends."""
    windows: list[tuple[float, float]] = []
    for at in np.unique(changes).tolist():
        begin = max(at, windows[-1][1]) if windows else at
        windows.append((begin, at + width))
    return windows


def _delays(run: Changes, windows: Sequence[tuple[float, float]]) -> tuple[list[float | None], int]:
    """Into which part of each window its first detection fell, 0 to 1, and how many fell into
    none.
    """
    told = run.times[run.told]
    inside = np.zeros(len(told), np.bool_)
    delays: list[float | None] = []
    for begin, end in windows:
        own = (told >= begin) & (told <= end)
        inside |= own
        delays.append((float(told[own][0]) - begin) / (end - begin) if own.any() else None)
    return delays, int((~inside).sum())


def _worth(delay: float, profile: _Profile) -> float:
    """1 at the left edge of a window, minus the cost of a false alarm at the right edge."""
    step = min(int(delay * _STEPS), _STEPS - 1)
    x = math.pi * (step / (_STEPS - 1) - 0.5)
    half = (1 + profile.false) / 2
    return half - profile.false - half * math.tanh(x) / math.tanh(math.pi / 2)
