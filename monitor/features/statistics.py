"""16 statistics of each channel of a window: level, spread, steps, shape, coarse frequencies.

Every row is computed on its own, in one fixed order of operations, so its result does not depend
on the rows beside it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from monitor.compiled import compiled, inlined
from monitor.types import Array

STATISTICS = (
    "mean",
    "std",
    "min",
    "max",
    "rms",
    "skewness",
    "kurtosis",
    "crest",
    "mean_step",
    "max_step",
    "crossings",
    "slope",
    "autocorrelation",
    "band_1",
    "band_2",
    "band_3",
)
_BANDS = 3
_TINY = 1e-6
_LARGEST = np.float32(3e38)


@compiled
def statistics(x: Array) -> Array:
    """The STATISTICS of each channel of scaled windows: `(N, C, T) -> (N, C, K)`, T >= 2.

    `std`, `rms` and the steps (differences of neighbours) are in scales; `kurtosis` is the
    excess; `crest` is the largest distance from the mean in standard deviations; `crossings` is
    the share of steps that cross the mean; `slope` is the rise of the least-squares line over
    the window; `band_i` is the log of the mean energy in the i-th octave below half the sampling
    rate (Haar wavelet details). A constant channel has shape statistics 0; one that is not
    finite has NaN everywhere.
    """
    result = np.empty((x.shape[0], x.shape[1], 16), np.float32)
    scratch = np.empty(x.shape[2], np.float64)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            _level(x[n, c], result[n, c])
            if not math.isfinite(result[n, c, 0]):
                result[n, c, :] = np.nan
                continue
            _moments(x[n, c], result[n, c])
            _bands(x[n, c], result[n, c], scratch)
            for k in range(16):  # a difference of wild samples may be too large for float32
                result[n, c, k] = min(max(result[n, c, k], -_LARGEST), _LARGEST)
    return result


@inlined
def _level(x: Any, out: Any) -> None:
    """Mean, minimum, maximum, root mean square and the sizes of the steps."""
    low = high = last = np.float64(x[0])
    total = last
    squares = last * last
    steps = 0.0
    step = 0.0
    for t in range(1, x.size):
        value = np.float64(x[t])
        total += value
        squares += value * value
        low = min(low, value)
        high = max(high, value)
        size = abs(value - last)
        steps += size
        step = max(step, size)
        last = value
    out[0] = total / x.size
    out[2] = low
    out[3] = high
    out[4] = math.sqrt(squares / x.size)
    out[8] = steps / (x.size - 1)
    out[9] = step


@inlined
def _moments(x: Any, out: Any) -> None:
    """What is measured about the mean: spread, shape, crossings, slope, autocorrelation."""
    total = 0.0
    for t in range(x.size):
        total += x[t]
    mean = total / x.size
    middle = 0.5 * (x.size - 1)
    second = third = fourth = neighbours = tilt = 0.0
    last = 0.0
    crossings = 0
    for t in range(x.size):
        value = x[t] - mean
        square = value * value
        second += square
        third += square * value
        fourth += square * square
        neighbours += value * last
        tilt += (t - middle) * value
        crossings += value * last < 0.0
        last = value
    out[1] = math.sqrt(second / x.size)
    constant = out[2] == out[3] or second <= 0.0
    variance = 1.0 if constant else second / x.size
    deviation = math.sqrt(variance)
    out[5] = 0.0 if constant else third / x.size / (variance * deviation)
    out[6] = 0.0 if constant else fourth / x.size / (variance * variance) - 3.0
    out[7] = 0.0 if constant else max(out[3] - mean, mean - out[2]) / deviation
    out[10] = crossings / (x.size - 1)
    out[11] = 12.0 * tilt / (x.size * x.size - 1.0)
    out[12] = 0.0 if constant else neighbours / second


@inlined
def _bands(x: Any, out: Any, scratch: Any) -> None:
    """Log energies of the details of three Haar wavelet steps, the finest first."""
    size = x.size
    for t in range(size):
        scratch[t] = x[t]
    for band in range(_BANDS):
        size //= 2
        energy = 0.0
        for i in range(size):
            first = scratch[2 * i]
            second = scratch[2 * i + 1]
            energy += (first - second) * (first - second) * 0.5
            scratch[i] = (first + second) * math.sqrt(0.5)
        out[13 + band] = math.log(energy / max(size, 1) + _TINY)
