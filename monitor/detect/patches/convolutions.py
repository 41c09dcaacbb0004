"""Random convolutions of a window, which need no training: how often each of 84 short kernels
answers above what is usual for it, in every stretch of the window.

MiniRocket (Dempster, Schmidt and Webb, "MiniRocket: a very fast (almost) deterministic transform
for time series classification", KDD 2021, section 4), pooled over stretches instead of the whole
window, and over positions where the kernel fits, so that no padding shows the level of a window.
The kernels' weights sum to 0: they see shape, size and frequency. What they cannot see, the level
and the spread of each stretch, is added.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled, inlined
from monitor.types import Array

KERNELS = 84
_TAPS = 9
_DILATIONS = 4
_SAMPLED = 48
_GOLDEN = (math.sqrt(5) - 1) / 2
_LEVEL = 0.2  # of one scale of the channel, beside shares that differ by some tenths
_QUIET = 0.05
_RAISED = np.array(list(combinations(range(_TAPS), 3)), np.int64)


@lru_cache
def dilations_of(samples: int) -> NDArray[np.int64]:
    """How far apart the taps of a kernel are, for windows of so many samples: up to 4 distances on
    a log scale, the largest such that a kernel spans half a window.
    """
    most = max(samples // 2 // (_TAPS - 1), 1)
    return np.unique(np.geomspace(1, most, _DILATIONS).astype(np.int64))


@lru_cache
def _raised_taps(samples: int) -> NDArray[np.int64]:
    """How many samples after its first each raised tap of each kernel is: `(dilations, 84, 3)`."""
    return dilations_of(samples)[:, None, None] * _RAISED


def features_of(samples: int) -> int:
    """F, how many numbers describe a stretch of one channel."""
    return KERNELS * len(dilations_of(samples)) + 2


def fit_biases(x: Array, seed: int = 0) -> Array:
    """What each kernel's answers are compared with: `(N, C, T) -> (C, dilations, 84)`.

    A quantile of its answers to some windows, drawn with `seed`; which quantile follows a low
    discrepancy sequence, so neighbouring kernels ask for rare and for common answers.
    """
    drawn = np.random.default_rng(seed).permutation(len(x))[:_SAMPLED]
    dilations, taps = dilations_of(x.shape[2]), _raised_taps(x.shape[2])
    shares = np.asarray(np.arange(1, KERNELS * len(dilations) + 1) * _GOLDEN % 1, np.float64)
    return _quantiles(_long_enough(x[drawn]), dilations, taps, shares.reshape(-1, KERNELS))


def convolved(x: Array, biases: Array, stretches: int) -> Array:
    """Features of every stretch of each channel: `(N, C, T) -> (N, C, P, F)`.

    First the shares of answers above their bias, over the root of their number, so that distances
    are of the size of one share's; then mean and log spread.
    """
    dilations, taps = dilations_of(x.shape[2]), _raised_taps(x.shape[2])
    return _convolved(_long_enough(x), dilations, taps, biases, stretches)


def _long_enough(x: Array) -> Array:
    """Windows shorter than a kernel go on with their last sample."""
    missing = _TAPS - x.shape[2]
    if missing > 0:
        x = np.pad(x, ((0, 0), (0, 0), (0, missing)), mode="edge")
    return np.ascontiguousarray(x, np.float32)


@compiled
def _quantiles(
    x: Array, dilations: NDArray[np.int64], taps: NDArray[np.int64], shares: NDArray[np.float64]
) -> Array:
    """The quantile `shares[i, k]` of the answers of kernel k with dilation i, for each channel."""
    result = np.empty((x.shape[1], len(dilations), taps.shape[1]), np.float32)
    common = np.empty((x.shape[0], x.shape[2]), np.float32)
    for c in range(x.shape[1]):
        for i in range(len(dilations)):
            fits = x.shape[2] - (_TAPS - 1) * dilations[i]
            answers = np.empty((x.shape[0], fits), np.float32)
            for n in range(x.shape[0]):
                _add_taps(x[n, c], dilations[i], common[n])
            for k in range(taps.shape[1]):
                for n in range(x.shape[0]):
                    _answers(x[n, c], common[n], taps[i, k], answers[n])
                ascending = np.sort(answers.ravel())
                result[c, i, k] = ascending[int(shares[i, k] * (len(ascending) - 1))]
    return result


@compiled
def _convolved(
    x: Array, dilations: NDArray[np.int64], taps: NDArray[np.int64], biases: Array, stretches: int
) -> Array:
    count = taps.shape[1] * len(dilations)
    result = np.empty((x.shape[0], x.shape[1], stretches, count + 2), np.float32)
    common, scratch = np.empty((2, x.shape[2]), np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(len(dilations)):
                _add_taps(x[n, c], dilations[i], common)
                answers = scratch[: x.shape[2] - (_TAPS - 1) * dilations[i]]
                for k in range(taps.shape[1]):
                    _answers(x[n, c], common, taps[i, k], answers)
                    for p in range(stretches):
                        begin, end = _stretch(p, stretches, len(answers))
                        share = _share_above(answers[begin:end], biases[c, i, k])
                        result[n, c, p, i * taps.shape[1] + k] = share / math.sqrt(count)
            for p in range(stretches):
                begin, end = _stretch(p, stretches, x.shape[2])
                _level(x[n, c, begin:end], result[n, c, p, count:])
    return result


@inlined
def _add_taps(window: Any, dilation: Any, common: Any) -> None:
    """What all kernels share: minus the sum of their taps, at each position where one fits."""
    fits = window.size - (_TAPS - 1) * dilation
    common[:fits] = 0
    for tap in range(_TAPS):
        shifted = window[tap * dilation : tap * dilation + fits]
        for t in range(fits):
            common[t] -= shifted[t]


@inlined
def _answers(window: Any, common: Any, at: Any, out: Any) -> None:
    """One kernel at every position where it fits: weights -1, and 2 at its three raised taps.

    Slices, because an index that might be negative keeps the loop from being vectorised.
    """
    first = window[at[0] : at[0] + out.size]
    second = window[at[1] : at[1] + out.size]
    third = window[at[2] : at[2] + out.size]
    for t in range(out.size):
        out[t] = common[t] + np.float32(3) * (first[t] + second[t] + third[t])


@inlined
def _share_above(answers: Any, bias: Any) -> Any:
    """The share of positions whose answer is above the bias."""
    above = np.int32(0)
    for t in range(answers.size):
        above += np.int32(answers[t] > bias)
    return above / answers.size


@inlined
def _stretch(place: Any, stretches: Any, samples: Any) -> tuple[Any, Any]:
    """Begin and end of one of the stretches of equal length; at least one sample."""
    begin = min(place * samples // stretches, samples - 1)
    return begin, max((place + 1) * samples // stretches, begin + 1)


@inlined
def _level(samples: Any, out: Any) -> None:
    """Mean and log standard deviation of a stretch."""
    total = squares = 0.0
    for t in range(samples.size):
        total += samples[t]
    mean = total / samples.size
    for t in range(samples.size):
        squares += (samples[t] - mean) * (samples[t] - mean)
    out[0] = _LEVEL * mean
    out[1] = _LEVEL * 0.5 * math.log(squares / samples.size + _QUIET * _QUIET)
