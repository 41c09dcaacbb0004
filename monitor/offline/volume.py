"""VUS-PR: how well scores find ranges of time, whatever the exact borders of their labels.

Paparrizos, Boniol, Palpanas, Tsay, Elmore and Franklin, "Volume Under the Surface: A New Accuracy
Evaluation Measure for Time-Series Anomaly Detection", PVLDB 15 (2022), section 4. Labels get soft
borders of length l: outside of a labelled range, up to l / 2 away, a window counts as anomalous by
sqrt(1 - distance / l). Recall counts against the mean of the hard and the soft labels, at most 1,
and is multiplied by the share of ranges, with their borders, that hold any detection; precision is
the soft label's share of what is detected. The area under precision over recall, as in average
precision, is averaged over l from 0 to one window.

Variant: each distinct score is a threshold (the paper takes 250 of them), and l takes BORDERS + 1
evenly spaced lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

BORDERS = 8


class Series(NamedTuple):
    """Windows of one recording in the order of time: `truth` `(N,)` is 1, 0 or -1 for unknown,
    `scores` are `(N,)`, higher is more anomalous.
    """

    truth: NDArray[np.int8]
    scores: NDArray[np.floating]


def vus_pr(series: Sequence[Series], longest: int) -> float | None:
    """The volume, 0 to 1, over all series with one threshold; `longest` is the longest border in
    windows.

    Chance is about the share of anomalous windows. Windows that are unknown or have no score (NaN)
    count neither way. None where no known window is anomalous, or all are.
    """
    known = [(each.truth >= 0) & ~np.isnan(each.scores) for each in series]
    truth = np.concatenate([e.truth[k] == 1 for e, k in zip(series, known, strict=True)] or [[]])
    if not truth.any() or truth.all():
        return None
    lengths = np.unique(np.round(np.linspace(0, longest, BORDERS + 1)))
    return float(np.mean([_area(series, known, float(length)) for length in lengths]))


def softened(truth: NDArray[np.int8], length: float) -> Numbers:
    """Labels with soft borders of this length: 1 inside, down to sqrt(1/2) at half of it, then
    0.
    """
    inside = np.flatnonzero(truth == 1)
    soft = np.zeros(len(truth))
    if not len(inside):
        return soft
    place = np.arange(len(truth))
    after = np.clip(np.searchsorted(inside, place), 0, len(inside) - 1)
    before = np.clip(after - 1, 0, None)
    distance = np.minimum(abs(inside[after] - place), abs(inside[before] - place))
    near = distance <= length / 2
    soft[near] = np.sqrt(1 - distance[near] / max(length, 1.0))
    return soft


def _area(series: Sequence[Series], known: Sequence[NDArray[np.bool_]], length: float) -> float:
    """Under the curve for borders of one length."""
    hard, soft, scores, ranges = [], [], [], []
    for (truth, values), counts in zip(series, known, strict=True):
        labels = softened(truth, length)
        ranges += _highest(labels, np.where(counts, values, -np.inf))
        hard.append((truth == 1)[counts])
        soft.append(labels[counts])
        scores.append(values[counts].astype(np.float64))
    return _curve(np.concatenate(hard), np.concatenate(soft), np.concatenate(scores), ranges)


def _highest(labels: Numbers, scores: NDArray[np.floating]) -> list[float]:
    """The highest score in each range, borders included; it is found from there on down."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (labels > 0).astype(np.int8), [0]))))
    highest = [float(scores[begin:end].max()) for begin, end in edges.reshape(-1, 2)]
    return [score for score in highest if score > -np.inf]


def _curve(
    hard: NDArray[np.bool_], soft: Numbers, scores: Numbers, ranges: Sequence[float]
) -> float:
    """Lower the threshold over the distinct scores, and add up precision by what recall gains."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    found = np.cumsum(soft[order])[last]
    precision = found / (last + 1)
    possible = (hard.sum() + soft.sum()) / 2
    reached = np.searchsorted(np.sort(-np.array(ranges)), -falling[last], side="right")
    recall = np.minimum(found / possible, 1.0) * reached / len(ranges)
    return float((np.diff(recall, prepend=0.0) * precision).sum())
