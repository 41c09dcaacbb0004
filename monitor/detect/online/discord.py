"""The arithmetic of the nearest-neighbour discord: compare, score and learn, compiled.

The newest m samples of a window are compared with every stretch of m samples in the sensor's past.
The loops run over the stretches inside and over the samples outside, so the compiler can work on
several stretches at once; one pass over the longest m serves the shorter ones on the way.

Source: the left discord of C.-C. M. Yeh et al., Matrix Profile I, ICDM 2016, and Y. Lu et al.,
Matrix Profile XXIV: DAMP, KDD 2022, by brute force over a past of bounded size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled, inlined
from monitor.types import Array, Slots

Floats = NDArray[np.float64]

_CLIP = 4.0  # a larger distance counts as so many usual ones
_FLAT = 0.05  # of the channel's scale: steadier stretches have no shape of their own
_CLOSE = 0.01  # of the scale: nearer is the same
_FAR = 1e12
_LARGEST = 3e38
_TINY = 1e-30


class Past(NamedTuple):
    """The memory of S sensors with C channels; zeros are a sensor that was never seen.

    `ring` holds the last R samples, NaN where a piece of the past ends and another begins;
    `usual` the usual distance for each length, as it is and by shape.
    """

    ring: Array  # (S, C, R)
    written: NDArray[np.int64]  # (S,) samples
    usual: Floats  # (S, 2 K)
    scored: NDArray[np.int64]  # (S,) windows


class Plan(NamedTuple):
    """What is compared. `lengths` ascend; the newest `hop` samples of a window are new; `needed`
    samples and `ripe` distances are known before the first score. `level` and `shape` tell which
    distances count.
    """

    lengths: NDArray[np.int64]
    hop: int
    memory: float
    needed: int
    ripe: int
    level: bool
    shape: bool


class Desk(NamedTuple):
    """Room to work: the past in order of time, sums along it, distances."""

    line: Floats  # (R,)
    sums: Floats  # (2, R + 1) of samples and of squares
    about: Floats  # (2,) mean and scale of the past
    apart: Floats  # (R,) squared distance so far
    total: Floats  # (2 K, R) over the channels


@compiled
def score_learn(past: Past, plan: Plan, slots: Slots, x: Array, cut: Array, out: Array) -> None:
    """Score the newest samples of each row `(N, C, T)` by their distance from the slot's past,
    then learn them where the score is at most `cut`; a row that is not finite scores NaN.
    """
    size = past.ring.shape[2]
    kinds = past.usual.shape[1]
    desk = Desk(
        np.empty(size),
        np.zeros((2, size + 1)),
        np.empty(2),
        np.empty(size),
        np.empty((kinds, size)),
    )
    nearest = np.empty(kinds)
    for i in range(slots.shape[0]):
        s = slots[i]
        out[i] = np.nan
        if _finite(x, i):
            known = past.written[s] >= plan.needed
            score = 0.0
            if known:
                _compare(past, plan, desk, s, x[i], nearest)
                score = min(_score(past, plan, s, nearest), _LARGEST)
                if past.scored[s] >= plan.ripe:
                    out[i] = np.float32(score)
            if score <= cut[i] or cut[i] == np.inf:
                if known:
                    _get_used(past, plan, s, nearest)
                _remember(past, plan, s, x[i])


@inlined
def _finite(x: Array, i: int) -> bool:
    finite = True
    for c in range(x.shape[1]):
        for t in range(x.shape[2]):
            finite &= np.isfinite(x[i, c, t])
    return finite


@compiled
def _compare(past: Past, plan: Plan, desk: Desk, s: int, window: Array, nearest: Floats) -> None:
    """The distance of the newest samples from the nearest stretch of the past: the root mean
    square over samples and channels, in scales, for each length, as it is and by shape.
    """
    count = min(past.written[s], past.ring.shape[2])
    desk.total[:, :count] = 0.0
    for c in range(window.shape[0]):
        _lay_out(past, desk, s, c, count)
        _add_up(plan, desk, window[c], count)
    for k in range(nearest.shape[0]):
        length = plan.lengths[k // 2]
        best = _FAR
        for end in range(length - 1, count - max(length - plan.hop, 0)):
            if desk.total[k, end] < best:  # not where a stretch crosses from one piece to another
                best = desk.total[k, end]
        nearest[k] = math.sqrt(max(best, 0.0) / (length * window.shape[0]))


@compiled
def _lay_out(past: Past, desk: Desk, s: int, c: int, count: int) -> None:
    """One channel's past in order of time about its own mean, with sums along it."""
    ring = past.ring[s, c]
    split = past.written[s] % ring.shape[0] if count == ring.shape[0] else 0
    for i in range(count - split):
        desk.line[i] = ring[split + i]
    for i in range(split):
        desk.line[count - split + i] = ring[i]
    total = 0.0
    known = 0
    for i in range(count):
        if desk.line[i] == desk.line[i]:
            total += desk.line[i]
            known += 1
    mean = total / max(known, 1)
    total = squares = 0.0
    for i in range(count):
        desk.line[i] -= mean
        sample = desk.line[i] if desk.line[i] == desk.line[i] else 0.0
        total += sample
        squares += sample * sample
        desk.sums[0, i + 1] = total
        desk.sums[1, i + 1] = squares
    desk.about[0] = mean
    desk.about[1] = max(math.sqrt(squares / max(known, 1)), 1e-6 * abs(mean), _TINY)


@compiled
def _add_up(plan: Plan, desk: Desk, channel: Array, count: int) -> None:
    """Add one channel's squared distances of all stretches, each at the place of its end."""
    newest = channel.shape[0] - 1
    desk.apart[:count] = 0.0
    total = squares = 0.0
    at = 0
    for lag in range(plan.lengths[-1]):
        sample = np.float64(channel[newest - lag]) - desk.about[0]
        total += sample
        squares += sample * sample
        _further(desk.line[: count - lag], desk.apart[lag:count], sample)
        if lag + 1 == plan.lengths[at]:
            _tell(desk, at, lag + 1, count, total, squares)
            at += 1


@compiled
def _further(line: Floats, apart: Floats, sample: float) -> None:
    """One sample more of every stretch."""
    for i in range(apart.shape[0]):
        difference = sample - line[i]
        apart[i] += difference * difference


@compiled
def _tell(desk: Desk, at: int, length: int, count: int, total: float, squares: float) -> None:
    """The distances at a length. By shape: both stretches less their mean, over their spread; what
    is flat has none, so noise on it does not count.
    """
    before, after = count - length + 1, length
    sum_0, sum_1 = desk.sums[0, :before], desk.sums[0, after : count + 1]
    square_0, square_1 = desk.sums[1, :before], desk.sums[1, after : count + 1]
    apart = desk.apart[length - 1 : count]
    level, shape = (
        desk.total[2 * at, length - 1 : count],
        desk.total[2 * at + 1, length - 1 : count],
    )
    share = 1.0 / length
    flat = (_FLAT * desk.about[1]) ** 2
    inverse = 1.0 / desk.about[1] ** 2
    mean = total * share
    spread = max(squares * share - mean * mean, 0.0)
    own = math.sqrt(1.0 / (spread + flat))
    for i in range(before):
        other = (sum_1[i] - sum_0[i]) * share
        width = (square_1[i] - square_0[i]) * share - other * other
        width = width if width > 0.0 else 0.0
        across = math.sqrt(1.0 / (width + flat))
        both = 0.5 * (spread + width - apart[i] * share + (mean - other) * (mean - other))
        found = spread * own * own + width * across * across - 2.0 * both * own * across
        level[i] += apart[i] * inverse
        shape[i] += length * found


@inlined
def _score(past: Past, plan: Plan, s: int, nearest: Floats) -> float:
    """The largest of the distances in units of the usual one."""
    score = 0.0
    for k in range(nearest.shape[0]):
        if plan.level if k % 2 == 0 else plan.shape:
            score = max(score, nearest[k] / max(past.usual[s, k], _CLOSE))
    return score


@inlined
def _get_used(past: Past, plan: Plan, s: int, nearest: Floats) -> None:
    """Move the usual distances towards these."""
    rate = max(1.0 / (past.scored[s] + 1.0), 1.0 / plan.memory)
    for k in range(nearest.shape[0]):
        size = nearest[k]
        if past.scored[s] >= plan.ripe:
            size = min(size, _CLIP * max(past.usual[s, k], _CLOSE))
        past.usual[s, k] += rate * (size - past.usual[s, k])
    past.scored[s] += 1


@compiled
def _remember(past: Past, plan: Plan, s: int, window: Array) -> None:
    """Put the new samples behind the past. Where the window does not go on from there, a mark, and
    as much of the window as the longest comparison of new samples takes.
    """
    size, samples = past.ring.shape[2], window.shape[1]
    first = samples - plan.hop
    if past.written[s] == 0:
        first = 0
    elif not _goes_on(past, plan, s, window):
        first = max(first - plan.lengths[-1] + 1, 0)
        past.ring[s, :, past.written[s] % size] = np.nan
        past.written[s] += 1
    for t in range(first, samples):
        past.ring[s, :, past.written[s] % size] = window[:, t]
        past.written[s] += 1


@inlined
def _goes_on(past: Past, plan: Plan, s: int, window: Array) -> bool:
    """Whether the past ends with what the window has before its new samples."""
    size = past.ring.shape[2]
    overlap = min(window.shape[1] - plan.hop, plan.lengths[-1], past.written[s])
    same = bool(overlap > 0)
    for c in range(window.shape[0]):
        for back in range(1, overlap + 1):
            here = window[c, window.shape[1] - plan.hop - back]
            same &= bool(past.ring[s, c, (past.written[s] - back) % size] == here)
    return same
