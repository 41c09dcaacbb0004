"""The spectrum view: log energy of each channel in bands that widen with the frequency."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from monitor.types import Array

BANDS = 16
_TINY = 1e-6


def spectrum(x: Array) -> Array:
    """Log band energies of scaled windows: `(N, C, T) -> (N, C, B)`, B at most BANDS.

    A Hann window, the power spectrum without the mean, and its sums over bands whose borders are
    spaced evenly on a log scale from the lowest frequency to half the sampling rate (Welch 1967
    for the window). Each row is transformed by itself, so it does not depend on the rows beside it.
    """
    samples = x.shape[2]
    taper, borders = np.hanning(samples + 2)[1:-1], _borders(samples)
    energies = np.empty((*x.shape[:2], len(borders) - 1), np.float32)
    for place in np.ndindex(*x.shape[:2]):
        row = x[place].astype(np.float64)
        power = np.abs(np.fft.rfft((row - row.mean()) * taper)) ** 2 / samples
        energies[place] = np.log(np.add.reduceat(power, borders[:-1]) + _TINY)
    return energies


def bands(samples: int) -> int:
    """B, how many bands windows of so many samples have."""
    return len(_borders(samples)) - 1


@lru_cache
def _borders(samples: int) -> NDArray[np.int64]:
    """Bins of the power spectrum at which bands begin, and the end of the last one."""
    bins = samples // 2 + 1
    spaced = np.geomspace(1, bins, min(BANDS, bins - 1) + 1)
    return np.unique(np.round(spaced)).astype(np.int64)
