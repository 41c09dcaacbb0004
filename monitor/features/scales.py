"""Views of where each channel is and where it just went: few numbers, on several time scales.

Fewer numbers than the level view has leave less to estimate, so these find small lasting shifts
from a short training period. Slow faults are found by the whole window, new ones by its last part.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from monitor.compiled import compiled, inlined
from monitor.types import Array

MEANS = ("mean_4", "mean_2", "mean_1")
MOMENTS = ("mean", "std")
_LARGEST = 3e38


@compiled
def means(x: Array) -> Array:
    """The MEANS of each channel of scaled windows: of the last quarter, the last half and the
    whole, `(N, C, T) -> (N, C, 3)`.
    """
    result = np.empty((x.shape[0], x.shape[1], 3), np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for part in range(3):
                size = max(x.shape[2] // (4 >> part), 1)
                result[n, c, part] = _mean(x[n, c, x.shape[2] - size :])
    return result


@compiled
def moments(x: Array) -> Array:
    """The MOMENTS of each channel of scaled windows, both in scales: `(N, C, T) -> (N, C, 2)`."""
    result = np.empty((x.shape[0], x.shape[1], 2), np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            mean = _mean(x[n, c])
            squares = 0.0
            for t in range(x.shape[2]):
                squares += (x[n, c, t] - mean) * (x[n, c, t] - mean)
            result[n, c, 0] = mean
            result[n, c, 1] = min(math.sqrt(squares / x.shape[2]), _LARGEST)
    return result


@compiled
def change(x: Array) -> Array:
    """By how much the last quarter of each channel lies above what came before it, in the mean:
    scaled windows `(N, C, T) -> (N, C, 1)`, T >= 2.

    It is blind to a level that lasts, and to drift that is slow: what it finds is the moment of a
    change.
    """
    result = np.empty((x.shape[0], x.shape[1], 1), np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            edge = x.shape[2] - max(x.shape[2] // 4, 1)
            step = _mean(x[n, c, edge:]) - _mean(x[n, c, :edge])
            result[n, c, 0] = min(max(step, -_LARGEST), _LARGEST)
    return result


@inlined
def _mean(x: Any) -> float:
    total = 0.0
    for t in range(x.size):
        total += x[t]
    return total / x.size
