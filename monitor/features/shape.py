"""The shape view: each channel of a window about its own mean, in units of its own spread.

What is left is the form of the signal, whatever its level and size: it is what patch memories and
other nearest-neighbour methods compare best (Yeh et al., "Matrix profile I", ICDM 2016, section
II). It is blind to shifts of level and to a change of size alone, so use it beside another view.
"""

from __future__ import annotations

import math

import numpy as np

from monitor.compiled import compiled
from monitor.types import Array

_QUIET = 0.05


@compiled
def shape(x: Array) -> Array:
    """Instance-normalised windows: `(N, C, T) -> (N, C, T)`, each channel with mean 0.

    Its standard deviation is 1 where there is a signal; one far below the channel's usual spread
    (of which `x` is in units) goes to 0 instead, so that a sensor at rest does not show its noise
    as a shape.
    """
    shaped = np.empty(x.shape, np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            total = squares = 0.0
            for t in range(x.shape[2]):
                total += x[n, c, t]
            centre = total / x.shape[2]
            for t in range(x.shape[2]):
                squares += (x[n, c, t] - centre) * (x[n, c, t] - centre)
            spread = math.sqrt(squares / x.shape[2] + _QUIET * _QUIET)
            for t in range(x.shape[2]):
                shaped[n, c, t] = (x[n, c, t] - centre) / spread
    return shaped
