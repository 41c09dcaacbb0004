"""Windows with the trained models' scores -> online scores, thresholds, verdicts; in rounds.

A round holds each sensor at most once, in arrival order. So every window is judged against its
sensor's past only, whatever else came with it, and a round still is a few array operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.features import seen
from monitor.stream.alarm import NOTHING
from monitor.stream.fusion import fuse
from monitor.stream.lane import LaneState
from monitor.types import Array, Slots


class Judged(NamedTuple):
    """One row for each window, columns for detectors `(N, D)`: `values` are raw / cuts; `code`,
    `opened` and `severity` are the alarm's steps.
    """

    raw: Array
    cuts: Array
    values: Array
    adopted: NDArray[np.bool_]
    code: NDArray[np.int8]
    opened: NDArray[np.float64]
    severity: NDArray[np.int8]


def judge(
    lane: LaneState, slots: Slots, data: Array, trained: Array, ends: NDArray[np.float64]
) -> Judged:
    """Windows in arrival order: data `(N, C, T)`, the trained models' raw scores `(N, M)`, and
    their ends in event time. A window that is not finite has NaN scores and teaches nothing.
    """
    n, detectors = len(slots), len(lane.spec.detectors)
    finite = cast(NDArray[np.bool_], np.isfinite(data).reshape(n, -1).all(axis=1))
    views = _views(lane, _blanked(data, finite))
    out = Judged(
        np.full((n, detectors), np.nan, np.float32),
        np.empty((n, detectors), np.float32),
        np.empty((n, detectors), np.float32),
        np.zeros((n, detectors), np.bool_),
        np.full(n, NOTHING, np.int8),
        np.full(n, np.nan),
        np.zeros(n, np.int8),
    )
    out.raw[:, : trained.shape[1]] = np.where(finite[:, None], trained, np.float32(np.nan))
    for rows in rounds(slots):
        _judge_round(lane, slots[rows], rows, [view[rows] for view in views], finite[rows], out)
        _alarm_round(lane, slots[rows], rows, ends[rows], out)
    return out


def rounds(slots: Slots) -> Iterator[Slots]:
    """Places of `slots`, grouped so that none occurs twice in a group and each keeps its order."""
    number = np.empty(len(slots), np.int64)
    last = _number(slots, np.zeros(int(slots.max(initial=-1)) + 1, np.int64), number)
    if last == 1:
        yield np.arange(len(slots))
        return
    order = np.argsort(number, kind="stable")
    yield from np.split(order, np.searchsorted(number[order], np.arange(1, last)))


def _blanked(data: Array, finite: NDArray[np.bool_]) -> Array:
    """Zeros in place of windows that are not finite."""
    return data if finite.all() else np.where(finite[:, None, None], data, np.float32(0))


def _views(lane: LaneState, data: Array) -> list[Array]:
    """What each online detector is given; each view is computed once."""
    wanted = [online.view for online in lane.spec.online]
    found = {view: seen(view, data) for view in set(wanted)}
    return [found[view] for view in wanted]


def _judge_round(
    lane: LaneState,
    slots: Slots,
    rows: Slots,
    views: list[Array],
    finite: NDArray[np.bool_],
    out: Judged,
) -> None:
    """Thresholds from the past, then online scores, then both learn where they may."""
    held = lane.alarm.firing(slots) | ~finite
    raw = out.raw[rows]
    cuts = np.concatenate([t.cuts(slots) for t in lane.thresholds], axis=1)
    first = len(lane.spec.scorers)
    for k, online in enumerate(lane.online):
        gate = np.where(held, np.float32(-np.inf), cuts[:, first + k])
        scores = online.score_learn(slots, views[k], gate)
        raw[:, first + k] = np.where(finite, scores, np.float32(np.nan))
    updates = [t.update(slots, raw[:, d : d + 1], held) for d, t in enumerate(lane.thresholds)]
    out.raw[rows], out.cuts[rows] = raw, cuts
    out.adopted[rows] = np.concatenate(updates, axis=1)


def _alarm_round(
    lane: LaneState, slots: Slots, rows: Slots, ends: NDArray[np.float64], out: Judged
) -> None:
    with np.errstate(over="ignore", invalid="ignore"):  # inf stays inf, inf / inf has no opinion
        values = out.raw[rows] / out.cuts[rows]
    steps = lane.alarm.step(slots, fuse(values, lane.spec.settings.alert.votes), ends)
    out.values[rows] = values
    out.code[rows], out.opened[rows], out.severity[rows] = steps
    lane.recent.put(slots, ends, out.raw[rows], out.cuts[rows])


@compiled
def _number(slots: Slots, seen: Slots, number: Slots) -> int:
    """For each place, how often its slot came before; returns the number of rounds."""
    most = 1
    for i in range(len(slots)):
        number[i] = seen[slots[i]]
        seen[slots[i]] += 1
        most = max(most, seen[slots[i]])
    return most
