"""The level view: where each channel is, where it goes and how it moves, on three time scales.

A window's newest part tells a change early, its whole length tells a small one; so the same four
numbers are taken of the last quarter, the last half and the whole. Means over many samples are what
finds shifts that are small against the noise: averaging the input first is worth more than
averaging a score afterwards.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from monitor.compiled import compiled, inlined
from monitor.types import Array

PARTS = (4, 2, 1)
OF_A_PART = ("mean", "slope", "spread", "roughness")
LEVELS = tuple(f"{name}_{part}" for part in PARTS for name in OF_A_PART)
_TINY = 1e-3
_LARGEST = np.float32(3e38)


@compiled
def level(x: Array) -> Array:
    """The LEVELS of each channel of scaled windows: `(N, C, T) -> (N, C, 12)`, T >= 2.

    `mean` is in scales; `slope` is the rise of the least-squares line over the part; `spread` is
    the log of the standard deviation about that line, `roughness` the log of the root mean square
    of the steps between neighbours. A part has at least two samples. A channel that is not finite
    has NaN where that shows.
    """
    result = np.empty((x.shape[0], x.shape[1], 12), np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for p in range(3):
                size = max(x.shape[2] // (4 >> p), 2)
                _part(x[n, c, x.shape[2] - size :], result[n, c, 4 * p : 4 * p + 4])
            for k in range(12):  # a rise of wild samples may be too large for float32
                result[n, c, k] = min(max(result[n, c, k], -_LARGEST), _LARGEST)
    return result


@inlined
def _part(x: Any, out: Any) -> None:
    """Mean, slope, spread and roughness of one stretch."""
    size = x.size
    total = 0.0
    for t in range(size):
        total += x[t]
    mean = total / size
    middle = 0.5 * (size - 1)
    squares = tilt = steps = 0.0
    for t in range(size):
        value = x[t] - mean
        squares += value * value
        tilt += (t - middle) * value
        if t > 0:
            step = np.float64(x[t]) - np.float64(x[t - 1])
            steps += step * step
    across = size * (size * size - 1.0) / 12.0
    rest = max(squares - tilt * tilt / across, 0.0)
    out[0] = mean
    out[1] = tilt / across * (size - 1)
    out[2] = 0.5 * math.log(rest / size + _TINY * _TINY)
    out[3] = 0.5 * math.log(steps / (size - 1) + _TINY * _TINY)


@compiled
def means(x: Array) -> Array:
    """The means of the last quarter, the last half and the whole: `(N, C, T) -> (N, C, 3)`."""
    result = np.empty((x.shape[0], x.shape[1], 3), np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for p in range(3):
                size = max(x.shape[2] // (4 >> p), 2)
                total = 0.0
                for t in range(x.shape[2] - size, x.shape[2]):
                    total += x[n, c, t]
                result[n, c, p] = total / size
    return result


@compiled
def moments(x: Array) -> Array:
    """Mean and standard deviation of each channel of scaled windows: `(N, C, T) -> (N, C, 2)`."""
    result = np.empty((x.shape[0], x.shape[1], 2), np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            total = squares = 0.0
            for t in range(x.shape[2]):
                total += x[n, c, t]
            centre = total / x.shape[2]
            for t in range(x.shape[2]):
                squares += (x[n, c, t] - centre) * (x[n, c, t] - centre)
            result[n, c, 0] = centre
            result[n, c, 1] = math.sqrt(squares / x.shape[2])
    return result


def newest(x: Array) -> Array:
    """The `moments` of the newest third, two samples at least: `(N, C, T) -> (N, C, 2)`. They tell
    first that a fault is over.
    """
    return moments(x[:, :, -max(-(-x.shape[2] // 3), 2) :])


@compiled
def mean(x: Array) -> Array:
    """The mean of each channel of scaled windows: `(N, C, T) -> (N, C, 1)`."""
    result = np.empty((x.shape[0], x.shape[1], 1), np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            total = 0.0
            for t in range(x.shape[2]):
                total += x[n, c, t]
            result[n, c, 0] = total / x.shape[2]
    return result
