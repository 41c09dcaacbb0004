"""Scores of labelled series -> the score of the Numenta Anomaly Benchmark (NAB).

Written from the benchmark's paper: Lavin & Ahmad, "Evaluating Real-Time Anomaly Detection
Algorithms - the Numenta Anomaly Benchmark", ICMLA 2015, and its published result tables. A label is
a window of time. Of the detections inside a window the earliest counts, and the more the earlier it
is; each detection outside costs, the more the later it is after the last window; a window without a
detection costs the most. 0 is a detector that says nothing, 100 one that detects the first row of
each window and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
Window = tuple[float, float]

PROBATION, MOST_PROBATION = 0.15, 750  # share of the rows, rows
_STEEPNESS = 5.0
_LEFT_EDGE = 2 / (1 + math.exp(-_STEEPNESS)) - 1


class Profile(NamedTuple):
    """What a window found at once is worth, what one that is missed costs, and what a false alarm
    far from any window costs.
    """

    found: float
    missed: float
    false_alarm: float


class Marked(NamedTuple):
    """A series that can be scored: for each of its n rows the detector's score, the number of the
    window it is in (-1 outside), and what a detection there is worth, from 1 at the left edge of a
    window to -1 far from any. Rows before `first` do not count.
    """

    scores: Numbers
    window: Places
    worth: Numbers
    first: int


class Reached(NamedTuple):
    """The score, and the threshold it was reached with: a row is a detection where its score is at
    least that.
    """

    score: float
    threshold: float


class _Curve(NamedTuple):
    """The sum over series, at each threshold that makes a difference, in descending order."""

    thresholds: Numbers
    totals: Numbers


def mark(
    times: Numbers, windows: Sequence[Window], scores: Numbers, *, probation: int | None = None
) -> Marked:
    """The rows of one series, `(n,)` times in ascending order, with its labelled windows (first and
    last time, both inside).

    `probation` rows at the start do not count; if absent, 15 % of them and 750 at most. Raises
    ConfigError where rows and scores do not fit together or a window holds no row.
    """
    n = len(times)
    if scores.shape != (n,) or not np.isfinite(scores).all():
        raise ConfigError(f"scores {scores.shape} for {n} rows; valid: one finite number for each")
    first = min(int(PROBATION * n), MOST_PROBATION) if probation is None else probation
    window, worth = np.full(n, -1, np.int64), np.full(n, -1.0)
    for number, (begin, end) in enumerate(sorted(windows)):
        inside = np.flatnonzero((times >= begin) & (times <= end))
        if not inside.size:
            raise ConfigError(f"the window {begin} to {end} holds no row of the series")
        left, right = int(inside[0]), int(inside[-1]) + 1
        window[left:right] = number
        worth[left:right] = _sigmoid((np.arange(left, right) - right) / (right - left)) / _LEFT_EDGE
        past = np.arange(1, n - right + 1) / max(right - left - 1, 1)
        worth[right:] = np.where(past < 3, _sigmoid(past), -1)
    return Marked(np.asarray(scores, np.float64), window, worth, first)


def best(series: Sequence[Marked], profile: Profile) -> Reached:
    """The score over all series with the one threshold that gives the highest, as the benchmark
    defines it: the labels choose the threshold.
    """
    curve = _curve(series, profile)
    place = int(np.argmax(curve.totals))
    return Reached(
        _normalised(curve.totals[place], series, profile), float(curve.thresholds[place])
    )


def score_at(series: Sequence[Marked], profile: Profile, threshold: float) -> float:
    """The score over all series with a threshold that is given."""
    total = _total(_curve(series, profile), threshold)
    return _normalised(total, series, profile)


def leave_one_group_out(groups: Mapping[str, Sequence[Marked]], profile: Profile) -> float:
    """The score where the threshold for each group of series is the best one for all others."""
    curves = {name: _curve(series, profile) for name, series in groups.items()}
    total = 0.0
    for name, curve in curves.items():
        others = [s for other, series in groups.items() if other != name for s in series]
        total += _total(curve, best(others, profile).threshold)
    return _normalised(total, [s for series in groups.values() for s in series], profile)


def total_at(series: Marked, profile: Profile, threshold: float) -> float:
    """What one series adds to the sum, before that is put on the scale of 0 to 100."""
    return _total(_curve([series], profile), threshold)


def _sigmoid(position: Numbers) -> Numbers:
    """From almost 1 at -1 over 0 at 0 to almost -1 at 1."""
    return np.asarray(2 / (1 + np.exp(_STEEPNESS * position)) - 1, np.float64)


def _curve(series: Sequence[Marked], profile: Profile) -> _Curve:
    """Lower the threshold row by row over everything, and add up what each row changes."""
    scores = np.concatenate([np.empty(0), *(s.scores[s.first :] for s in series)])
    changes = np.concatenate([np.empty(0), *(_changes(s, profile) for s in series)])
    order = np.argsort(-scores, kind="stable")
    scores, totals = scores[order], np.cumsum(changes[order])
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])
    nothing = -profile.missed * _windows(series)
    return _Curve(np.append(np.inf, scores[last]), np.append(nothing, nothing + totals[last]))


def _changes(series: Marked, profile: Profile) -> Numbers:
    """What each row adds when the falling threshold comes to its score, `(n - first,)`."""
    scores, window, worth = (part[series.first :] for part in series[:3])
    changes = np.where(window < 0, profile.false_alarm * worth, 0.0)
    for number in np.unique(window[window >= 0]):
        rows = np.flatnonzero(window == number)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        earliest = np.maximum.accumulate(profile.found * worth[rows])
        changes[rows] = np.diff(earliest, prepend=-profile.missed)
    return changes


def _windows(series: Sequence[Marked]) -> int:
    """Those that a detection could be in."""
    inside = (s.window[s.first :] for s in series)
    return sum(len(np.unique(window[window >= 0])) for window in inside)


def _total(curve: _Curve, threshold: float) -> float:
    return float(curve.totals[np.searchsorted(-curve.thresholds, -threshold, side="right") - 1])


def _normalised(total: float, series: Sequence[Marked], profile: Profile) -> float:
    windows = _windows(series)
    if not windows:
        raise ConfigError("no series has a labelled window; the score needs one at least")
    return float(100 * (total / windows + profile.missed) / (profile.found + profile.missed))
