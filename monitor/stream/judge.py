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
from monitor.features import natural, seen
from monitor.stream.alarm import NOTHING
from monitor.stream.lane import LaneState
from monitor.types import Array, Slots

Mask = NDArray[np.bool_]


class Judged(NamedTuple):
    """One row for each window, columns for detectors `(N, D)`: `values` are raw / cuts; `fused`
    is what they say together, over 1 where that is an anomaly; `code`, `opened` and `severity` are
    the alarm's steps.
    """

    raw: Array
    cuts: Array
    values: Array
    fused: Array
    adopted: Mask
    code: NDArray[np.int8]
    opened: NDArray[np.float64]
    severity: NDArray[np.int8]


class _Given(NamedTuple):
    """A round of windows: what each online detector sees, which are finite, which may teach, and
    their ends.
    """

    views: list[Array]
    finite: Mask
    teaches: Mask
    ends: NDArray[np.float64]


def judge(
    lane: LaneState,
    slots: Slots,
    data: Array,
    trained: Array,
    ends: NDArray[np.float64],
    teaches: Mask | None = None,
) -> Judged:
    """Windows in arrival order: data `(N, C, T)`, the trained models' raw scores `(N, M)`, and
    their ends in event time. A window that is not finite has NaN scores and teaches nothing;
    `teaches` `(N,)` is false for others that are judged but teach nothing.
    """
    n, detectors = len(slots), len(lane.spec.detectors)
    finite = cast(Mask, np.isfinite(data).reshape(n, -1).all(axis=1))
    teaches = finite if teaches is None else finite & teaches
    views = _views(lane, _blanked(data, finite))
    out = Judged(
        np.full((n, detectors), np.nan, np.float32),
        np.empty((n, detectors), np.float32),
        np.empty((n, detectors), np.float32),
        np.empty(n, np.float32),
        np.zeros((n, detectors), np.bool_),
        np.full(n, NOTHING, np.int8),
        np.full(n, np.nan),
        np.zeros(n, np.int8),
    )
    out.raw[:, : trained.shape[1]] = np.where(finite[:, None], trained, np.float32(np.nan))
    for rows in rounds(slots):
        given = _Given([view[rows] for view in views], finite[rows], teaches[rows], ends[rows])
        log_p = _judge_round(lane, slots[rows], rows, given, out)
        _alarm_round(lane, slots[rows], rows, (log_p, given.ends), out)
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


def _blanked(data: Array, finite: Mask) -> Array:
    """Zeros in place of windows that are not finite."""
    return data if finite.all() else np.where(finite[:, None, None], data, np.float32(0))


def _views(lane: LaneState, data: Array) -> list[Array]:
    """What each online detector is given; each view is computed once."""
    if not (wanted := [online.view for online in lane.spec.online]):
        return []
    examples = natural(data, lane.spec.settings.window.front)
    found = {view: seen(view, examples) for view in set(wanted)}
    return [found[view] for view in wanted]


def _judge_round(
    lane: LaneState, slots: Slots, rows: Slots, given: _Given, out: Judged
) -> Array | None:
    """Thresholds from the past, with online scores, then all learn where they may. Returns the log
    p-values `(N, D)`, from the past too, if these are fused.
    """
    held = lane.alarm.firing(slots) | ~given.teaches
    raw = out.raw[rows]
    cuts = np.concatenate([t.cuts(slots) for t in lane.thresholds], axis=1)
    first = len(lane.spec.scorers)
    for k, online in enumerate(lane.online):
        gate = np.where(held, np.float32(-np.inf), cuts[:, first + k])
        scores = online.score_learn(slots, given.views[k], gate)
        raw[:, first + k] = np.where(given.finite, scores, np.float32(np.nan))
    log_p = None
    if lane.fusion.by_p:
        found = [t.log_p(slots, raw[:, d : d + 1]) for d, t in enumerate(lane.thresholds)]
        log_p = np.concatenate(found, axis=1)
    taught = np.where(given.teaches[:, None], raw, np.float32(np.nan))
    updates = [t.update(slots, taught[:, d : d + 1], held) for d, t in enumerate(lane.thresholds)]
    out.raw[rows], out.cuts[rows] = raw, cuts
    out.adopted[rows] = np.concatenate(updates, axis=1)
    return log_p


def _alarm_round(
    lane: LaneState,
    slots: Slots,
    rows: Slots,
    judged: tuple[Array | None, NDArray[np.float64]],
    out: Judged,
) -> None:
    """Fuse and step the alarms; `judged`: log p-values, and the windows' ends."""
    log_p, ends = judged
    with np.errstate(over="ignore", invalid="ignore"):  # inf stays inf, inf / inf has no opinion
        values = out.raw[rows] / out.cuts[rows]
    fused = lane.fusion.of_votes(values) if log_p is None else lane.fusion.of_p(log_p)
    steps = lane.alarm.step(slots, fused, ends)
    out.values[rows], out.fused[rows] = values, fused
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
