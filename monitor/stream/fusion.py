"""What many detectors say of a window -> one value, over 1 where that is an anomaly.

By votes, or by p-values: their Cauchy combination (Liu and Xie, "Cauchy combination test", J.
American Statistical Association 115, 2020), whose small p-values hold whatever the dependence; or
the mean of their logarithms, which is Fisher's statistic. That one needs a rule for dependence, as
detectors of one window are anything but independent: e times a geometric mean of p-values is a
p-value under every dependence (Vovk and Wang, "Combining p-values via averaging", Biometrika 107,
2020), and so for one detector in all as for many that agree it gives up a factor of e.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from monitor.alerting import AlertConfig
from monitor.compiled import compiled
from monitor.types import Array

_MOST = 0.99  # a p-value of 1 would outvote any other: the cotangent has a pole there
_FAR = -600.0  # below this 1 / p leaves what a number can hold


class Fusion:
    """The rule of one lane. `rate` is the share of normal windows that may be flagged.

    With p-values the value is `log p / log rate`: over 1 where p is below the rate, 2 where it is
    below its square, and so on.
    """

    def __init__(self, alert: AlertConfig, detectors: Sequence[str], rate: float) -> None:
        self.by_p = alert.fusion != "votes"
        self._votes = alert.votes
        self._cauchy = alert.fusion == "cauchy"
        self._weights = np.array([alert.weights.get(d, 1.0) for d in detectors], np.float64)
        self._log_rate = math.log(rate)

    def of_votes(self, values: Array) -> Array:
        """From scores in thresholds: `(N, D) -> (N,)`."""
        return fuse(values, self._votes)

    def of_p(self, log_p: Array) -> Array:
        """From log p-values, NaN where a detector has none: `(N, D) -> (N,)`."""
        return np.asarray(self.log_p(log_p) / self._log_rate, np.float32)

    def log_p(self, log_p: Array) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The fused log p-value, at most 0: `(N, D) -> (N,)`, NaN where nobody has one."""
        fused = np.empty(len(log_p), np.float64)
        (_combine_cauchy if self._cauchy else _combine_logs)(log_p, self._weights, fused)
        return np.minimum(fused, -0.0)


def fuse(values: Array, votes: int) -> Array:
    """The `votes`-th largest score: `(N, D) -> (N,)`, over 1 exactly where that many detectors are.

    A detector without an opinion (NaN) does not vote; NaN where none has one.
    """
    fused = np.empty(len(values), np.float32)
    _fuse(values, votes, fused)
    return fused


@compiled
def _fuse(values: Array, votes: int, fused: Array) -> None:
    for i in range(len(values)):
        row = np.sort(values[i])  # NaN sorts last
        known = len(row) - int(np.isnan(row).sum())
        if known == 0:
            fused[i] = np.nan
        else:
            fused[i] = row[known - votes] if known >= votes else 0.0


@compiled
def _combine_cauchy(
    log_p: Array,
    weights: np.ndarray[tuple[int], np.dtype[np.float64]],
    fused: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    """The tail of a Cauchy variable at the weighted mean of the cotangents of pi p. Where p is tiny
    that is 1 / (pi p), and the sum is taken in units of the largest term.
    """
    for i in range(len(log_p)):
        whole, least = 0.0, 0.0
        for d in range(log_p.shape[1]):
            if not np.isnan(log_p[i, d]):
                whole += weights[d]
                least = min(least, np.float64(log_p[i, d]))
        mean = 0.0
        for d in range(log_p.shape[1]):
            known = np.float64(log_p[i, d])
            if not np.isnan(known):
                if least < _FAR:
                    term = math.exp(least - known)
                else:
                    term = 1.0 / math.tan(math.pi * min(math.exp(known), _MOST))
                mean += weights[d] / whole * term
        if whole == 0.0:
            fused[i] = np.nan
        elif least < _FAR:
            fused[i] = least - math.log(mean)
        else:
            fused[i] = math.log(math.atan2(1.0, mean) / math.pi)


@compiled
def _combine_logs(
    log_p: Array,
    weights: np.ndarray[tuple[int], np.dtype[np.float64]],
    fused: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    """e times the weighted geometric mean."""
    for i in range(len(log_p)):
        whole, total = 0.0, 0.0
        for d in range(log_p.shape[1]):
            if not np.isnan(log_p[i, d]):
                whole += weights[d]
                total += weights[d] * log_p[i, d]
        fused[i] = 1.0 + total / whole if whole > 0.0 else np.nan
