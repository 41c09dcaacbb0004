"""The change view: how far each channel has just moved, whatever level it is at."""

from __future__ import annotations

import numpy as np

from monitor.compiled import compiled
from monitor.types import Array

_LARGEST = np.float32(3e38)


@compiled
def change(x: Array) -> Array:
    """The mean of the last quarter of each channel minus the mean of what came before it: scaled
    windows `(N, C, T) -> (N, C, 1)`, T >= 2.

    It is blind to a level that lasts and to slow drift: what it finds is the moment of a change.
    """
    result = np.empty((x.shape[0], x.shape[1], 1), np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            edge = x.shape[2] - max(x.shape[2] // 4, 1)
            before = after = 0.0
            for t in range(edge):
                before += x[n, c, t]
            for t in range(edge, x.shape[2]):
                after += x[n, c, t]
            step = np.float32(after / (x.shape[2] - edge) - before / edge)
            result[n, c, 0] = min(max(step, -_LARGEST), _LARGEST)
    return result
