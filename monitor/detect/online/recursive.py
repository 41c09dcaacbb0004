"""The arithmetic of the one-step residual: predict, score and learn, compiled.

Recursive least squares with exponential forgetting (S. Haykin, Adaptive Filter Theory, 4th ed.,
2002, chapter 9) in the factored form of G. J. Bierman, Factorization Methods for Discrete
Sequential Estimation, 1977, chapter V: the inverse correlation matrix is kept as U D U' with U unit
upper triangular and D diagonal, so it can neither lose its symmetry nor become negative.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled, inlined
from monitor.types import Array, Slots

Floats = NDArray[np.float64]
Place = tuple[int, int]  # slot, channel

WIDEST = 100.0  # of D: where it starts, and where forgetting without excitation ends
_CLIP = 4.0  # a larger error counts as so many usual ones
_WILD = 1e3  # scales: a sample so far away begins its channel anew
_FINEST = 1e-6  # of the centre: a smaller scale is rounding
_TINY = 1e-30
_FAR = 1e9
_LARGEST = 3e38


class Filters(NamedTuple):
    """The memory of S sensors with C channels; zeros are a sensor that was never seen.

    `weights` are those of the last P - 1 samples, the newest first, and of a constant; `factor`
    holds U above the diagonal, row by row, with D in place of the ones. Samples are centred and
    scaled before; `error` is the usual size of an error in that scale.
    """

    centre: Floats  # (S, C)
    scale: Floats  # (S, C)
    error: Floats  # (S, C)
    weights: Floats  # (S, C, P)
    factor: Floats  # (S, C, P (P + 1) / 2)
    age: NDArray[np.int64]  # (S, C) samples since the channel began
    learned: NDArray[np.int64]  # (S,) samples


class Rules(NamedTuple):
    """How a filter learns. The newest `hop` samples of a window are new, the newest `span` are
    scored, `memory` is the number of samples it looks back on, `ripe` that before the first score.
    `floor` is the smallest error that counts, as a share of the scale; `worst` takes the largest
    error, not the mean square.
    """

    hop: int
    span: int
    memory: float
    ripe: int
    floor: float
    worst: bool


@compiled
def score_learn(
    filters: Filters, rules: Rules, slots: Slots, x: Array, cut: Array, out: Array
) -> None:
    """Score the new samples of each row `(N, C, T)` by what its slot has learned, then learn them
    where the score is at most `cut`; a row that is not finite scores NaN and is not learned.
    """
    size = filters.weights.shape[2]
    memory = np.empty((3, size))
    for i in range(slots.shape[0]):
        s = slots[i]
        out[i] = np.nan
        if _finite(x, i):
            score = _score(filters, rules, s, x[i], memory[0])
            if filters.learned[s] >= rules.ripe:
                out[i] = np.float32(min(score, _LARGEST))
            if min(score, _LARGEST) <= cut[i] or cut[i] == np.inf:
                _learn(filters, rules, s, x[i], memory)


@compiled
def errors(filters: Filters, rules: Rules, slots: Slots, x: Array, out: Floats) -> None:
    """Add up the squared errors of each channel in units of its usual error: `(N, C)`."""
    recent = np.empty(filters.weights.shape[2])
    for i in range(slots.shape[0]):
        if filters.learned[slots[i]] >= rules.ripe and _finite(x, i):
            for c in range(x.shape[1]):
                place = (slots[i], c)
                for t in range(_first(filters, rules.span, slots[i], x[i]), x.shape[2]):
                    error = _error(filters, place, x[i, c], t, recent)
                    out[i, c] += (error / _usual(filters, rules, place)) ** 2


@inlined
def _finite(x: Array, i: int) -> bool:
    finite = True
    for c in range(x.shape[1]):
        for t in range(x.shape[2]):
            finite &= np.isfinite(x[i, c, t])
    return finite


@inlined
def _first(filters: Filters, newest: int, s: int, window: Array) -> int:
    """The first of the newest samples with enough others before it; of a first window all count."""
    order = int(filters.weights.shape[2]) - 1
    if filters.learned[s] == 0:
        return order
    return max(order, int(window.shape[1]) - newest)


@inlined
def _usual(filters: Filters, rules: Rules, place: Place) -> float:
    return max(float(filters.error[place]), rules.floor)


@inlined
def _scaled(filters: Filters, place: Place, sample: np.float32) -> float:
    centre = filters.centre[place]
    scale = max(filters.scale[place], _FINEST * abs(centre), _TINY)
    return float(min(max((np.float64(sample) - centre) / scale, -_FAR), _FAR))


@inlined
def _error(filters: Filters, place: Place, channel: Array, t: int, recent: Floats) -> float:
    """The sample less its prediction; `recent` is filled with what the prediction came from."""
    size = recent.shape[0]
    error = _scaled(filters, place, channel[t])
    for k in range(size - 1):
        recent[k] = _scaled(filters, place, channel[t - 1 - k])
    recent[size - 1] = 1.0
    for k in range(size):
        error -= filters.weights[place[0], place[1], k] * recent[k]
    return error


@inlined
def _score(filters: Filters, rules: Rules, s: int, window: Array, recent: Floats) -> float:
    """The errors of the newest samples in units of their channel's usual error, joined."""
    largest = squares = 0.0
    first = _first(filters, rules.span, s, window)
    for c in range(window.shape[0]):
        place = (s, c)
        usual = _usual(filters, rules, place)
        for t in range(first, window.shape[1]):
            size = abs(_error(filters, place, window[c], t, recent)) / usual
            largest = max(largest, size)
            squares += size * size
    count = window.shape[0] * (window.shape[1] - first)
    return largest if rules.worst else math.sqrt(squares / count)


@compiled
def _learn(filters: Filters, rules: Rules, s: int, window: Array, memory: Floats) -> None:
    samples = window.shape[1]
    for c in range(window.shape[0]):
        place = (s, c)
        first = _first(filters, rules.hop, s, window)
        if filters.age[place] == 0 or _wild(filters, place, window[c], first):
            _begin(filters, place, window[c])
            first = filters.weights.shape[2] - 1
        age = filters.age[place]
        for t in range(first, samples):
            _step(filters, rules, place, window[c], t, memory)
        filters.age[place] = age
        for t in range(first, samples):
            _follow(filters, rules, place, window[c, t])
    filters.learned[s] += samples - _first(filters, rules.hop, s, window)


@inlined
def _wild(filters: Filters, place: Place, channel: Array, first: int) -> bool:
    """Whether a new sample is so far off that the channel's centre and scale mean nothing: what has
    been at rest until now moves for the first time.
    """
    limit = _WILD * filters.scale[place]
    found = False
    for t in range(first, channel.shape[0]):
        found |= abs(np.float64(channel[t]) - filters.centre[place]) > limit
    return found


@compiled
def _begin(filters: Filters, place: Place, channel: Array) -> None:
    """Centre and scale from one window, nothing known of the weights."""
    s, c = place
    size = filters.weights.shape[2]
    total = spread = 0.0
    for t in range(channel.shape[0]):
        total += channel[t]
    centre = total / channel.shape[0]
    for t in range(channel.shape[0]):
        spread += abs(channel[t] - centre)
    filters.centre[place] = centre
    filters.scale[place] = spread / channel.shape[0]
    filters.error[place] = 0.0
    filters.age[place] = 0
    filters.weights[s, c] = 0.0
    filters.factor[s, c] = 0.0
    for k in range(size):
        filters.factor[s, c, _at(size, k, k)] = WIDEST


@inlined
def _at(size: int, i: int, j: int) -> int:
    """Where row i, column j >= i of a packed upper triangle is."""
    return i * size - i * (i - 1) // 2 + j - i


@inlined
def _step(
    filters: Filters, rules: Rules, place: Place, channel: Array, t: int, memory: Floats
) -> None:
    """One sample more: the error's usual size, the gain and the weights."""
    recent, gain = memory[0], memory[1]
    error = _error(filters, place, channel, t, recent)
    size = abs(error)
    if filters.age[place] >= rules.ripe:
        limit = _CLIP * _usual(filters, rules, place)
        size = min(size, limit)
        error = min(max(error, -limit), limit)
    filters.error[place] += _rate(filters, rules, place) * (size - filters.error[place])
    filters.age[place] += 1
    _gain(filters, place, 1.0 - 1.0 / rules.memory, memory)
    for k in range(gain.shape[0]):
        filters.weights[place[0], place[1], k] += gain[k] * error


@inlined
def _rate(filters: Filters, rules: Rules, place: Place) -> float:
    """How much one sample more counts in a mean."""
    return max(1.0 / (float(filters.age[place]) + 1.0), 1.0 / rules.memory)


@inlined
def _gain(filters: Filters, place: Place, keep: float, memory: Floats) -> None:
    """The gain of a step, and the factors after it (Bierman's update, then forgetting)."""
    recent, gain, along = memory[0], memory[1], memory[2]
    s, c = place
    size = gain.shape[0]
    factor = filters.factor[s, c]
    for j in range(size):
        along[j] = recent[j]
        for i in range(j):
            along[j] += factor[_at(size, i, j)] * recent[i]
    total = keep
    for j in range(size):
        before = total
        weight = factor[_at(size, j, j)] * along[j]
        total += weight * along[j]
        factor[_at(size, j, j)] = min(factor[_at(size, j, j)] * before / total / keep, WIDEST)
        gain[j] = weight
        for i in range(j):
            entry = factor[_at(size, i, j)]
            factor[_at(size, i, j)] = entry - gain[i] * along[j] / before
            gain[i] += weight * entry
    for j in range(size):
        gain[j] /= total


@inlined
def _follow(filters: Filters, rules: Rules, place: Place, sample: np.float32) -> None:
    """Move centre and scale towards a sample; the weights hardly depend on them."""
    rate = _rate(filters, rules, place)
    away = np.float64(sample) - filters.centre[place]
    filters.centre[place] += rate * away
    filters.scale[place] += rate * (abs(away) - filters.scale[place])
    filters.age[place] += 1


def diagonal_of(factor: Floats) -> Floats:
    """D of packed factors: `(S, C, P (P + 1) / 2) -> (S, C, P)`."""
    size = (math.isqrt(8 * factor.shape[2] + 1) - 1) // 2
    return factor[:, :, [_at(size, k, k) for k in range(size)]]
