"""The tail of a distribution of scores: how unlikely is one beyond those that were seen?

Peaks over a threshold follow a generalised Pareto distribution (Pickands, "Statistical inference
using extreme order statistics", Annals of Statistics 1975). It is fitted by probability-weighted
moments, in closed form (Hosking and Wallis, "Parameter and quantile estimation for the generalized
Pareto distribution", Technometrics 1987, section 3). Everything is in logarithms, since the tail
soon leaves what a number can hold.

A tail with a bound (a shape below 0) is followed half of the way to that bound, and from there on
falls exponentially: a bound estimated from a few scores would call everything beyond it impossible.
"""

from __future__ import annotations

import math

import numpy as np

from monitor.compiled import compiled, inlined
from monitor.types import Array

HEAVIEST = 0.9  # from 1 on a distribution has no mean, and the moments mean nothing
LIGHTEST = -0.25  # lighter ones are as light: a normal distribution's tail of 5 % has -0.1
FEWEST = 10
_TINY = 1e-9
_FLAT = 1e-6  # shapes closer to 0 are 0


@inlined
def fit_tail(excesses: Array, lightest: float = 0.0) -> tuple[float, float]:
    """Scale and shape of the tail of which these are the excesses over its threshold, ascending.

    `(n,) -> scale > 0, shape from lightest to HEAVIEST`; 0 is exponential. With fewer than FEWEST
    excesses the tail is exponential.
    """
    return fit_peaks(excesses, 0.0, lightest)


@inlined
def fit_peaks(peaks: Array, threshold: float, lightest: float) -> tuple[float, float]:
    """The same from the peaks themselves: `(n,)`, ascending, none below the threshold."""
    n = peaks.size
    mean = weighted = 0.0
    for i in range(n):
        excess = peaks[i] - threshold
        mean += excess
        weighted += excess * i
    mean /= max(n, 1)
    scale, shape = max(mean, _TINY), 0.0
    if n >= FEWEST and mean > 0.0:
        second = 2.0 * weighted / (n * (n - 1.0)) - mean  # the second L-moment
        ratio = mean / max(second, _TINY * mean)
        shape = min(max(2.0 - ratio, lightest), HEAVIEST)
        scale = max(mean * (1.0 - shape), _TINY)
    return scale, shape


@inlined
def log_survival(excess: float, scale: float, shape: float) -> float:
    """The log of the probability that an excess is at least this large; 0 for none."""
    relative = max(excess, 0.0) / scale
    if abs(shape) < _FLAT:
        found = -relative
    elif shape * relative > -0.5:
        found = -math.log1p(shape * relative) / shape
    else:  # beyond half of the way, with twice the hazard of the threshold
        found = math.log(2.0) / shape - 2.0 * relative - 1.0 / shape
    return found


@inlined
def excess_at(log_probability: float, scale: float, shape: float) -> float:
    """The excess that is reached with this probability: the inverse of `log_survival`."""
    if abs(shape) < _FLAT:
        found = -log_probability
    elif shape > 0.0 or log_probability > math.log(2.0) / shape:
        found = math.expm1(-log_probability * shape) / shape
    else:
        found = 0.5 * (math.log(2.0) / shape - 1.0 / shape - log_probability)
    return found * scale


@compiled
def log_p_values(scores: Array, seen: Array, tail: int) -> Array:
    """Log p-values `(N,)` of scores `(N,)` among `seen` `(n,)`, which ascend.

    The p-value of a score is (1 + how many of those seen are at least as large) / (n + 1), as in
    conformal prediction; beyond the largest `tail` of those seen the fitted tail goes on. Never
    increases with the score; NaN for NaN.
    """
    n = seen.size
    tail = min(tail, n - 1)
    found = np.empty(scores.size, np.float32)
    threshold = seen[n - 1 - tail]
    scale, shape = fit_peaks(seen[n - tail :], threshold, 0.0)
    at_threshold = math.log((tail + 1.0) / (n + 1.0))
    for i in range(scores.size):
        if not scores[i] > threshold:
            larger = n - np.searchsorted(seen, scores[i])
            found[i] = math.log((larger + 1.0) / (n + 1.0))
        else:
            found[i] = at_threshold + log_survival(scores[i] - threshold, scale, shape)
        if math.isnan(scores[i]):
            found[i] = np.nan
    return found
