"""How unlikely a score is among the last ones of its sensor and detector.

In the bulk the p-value is the rank among the scores of the ring, as in conformal prediction; in the
upper part the generalised Pareto tail fitted to that part (peaks over a threshold, as Siffer et
al., "Anomaly detection in streams with extreme value theory", KDD 2017, do it for streams).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled, inlined
from monitor.stream.rate import corrected
from monitor.stream.ring import FILL, KEPT, MISSING, Counts, Place, largest
from monitor.tail import FEWEST, LIGHTEST, excess_at, fit_peaks, log_survival
from monitor.types import Array, Slots

PART = 20  # one score in so many belongs to the upper part
LEAST = -1e30  # log p of a score that is infinite: a number, so that means of it are numbers


@inlined
def upper(fill: int) -> int:
    """How many of `fill` scores the tail is fitted to; 0 where they are too few."""
    return max(FEWEST, fill // PART) if fill > FEWEST else 0


@inlined
def fitted(tail: Array, counts: Counts, at: Place) -> tuple[float, float, float]:
    """Where the fitted part begins, its scale and its shape; the tail holds more than that part."""
    s, d = at
    kept = counts[s, d, KEPT]
    peaks = upper(counts[s, d, FILL])
    threshold = float(tail[s, d, kept - peaks - 1])
    scale, shape = fit_peaks(tail[s, d, kept - peaks : kept], threshold, LIGHTEST)
    return threshold, scale, shape


@compiled
def score_at(ring: Array, tail: Array, counts: Counts, at: Place, rate: float) -> float:
    """The score that is exceeded at this rate by the fitted part, which that rate belongs to."""
    s, d = at
    fill = counts[s, d, FILL]
    peaks = upper(fill)
    largest(ring, tail, counts, at, peaks + 1)
    threshold, scale, shape = fitted(tail, counts, at)
    return threshold + excess_at(math.log(rate * (fill + 1.0) / (peaks + 1.0)), scale, shape)


@compiled
def log_p_of(
    arrays: tuple[NDArray[Any], ...],
    nominal: float,
    limits: tuple[float, float],
    scored: tuple[Slots, Array],
    out: Array,
) -> None:
    """Log p-values of scores `(N, D)`, NaN where there is no score or it still warms up.

    `arrays` are those of a `ring.Memory`, `nominal` is the rate that levels are about; scores up to
    the first of `limits` have p = 1, the others are divided by the second.
    """
    ring, tail, _, _, level, counts = arrays
    slots, raw = scored
    log_rate = math.log(nominal)
    for i in range(slots.shape[0]):
        for d in range(raw.shape[1]):
            s = slots[i]
            if np.isnan(raw[i, d]) or counts[s, d, FILL] == 0 or counts[s, d, MISSING] > 0:
                out[i, d] = np.nan
            elif raw[i, d] <= limits[0]:
                out[i, d] = 0.0
            else:
                found = _log_p(ring, tail, counts, (s, d), raw[i, d] / limits[1])
                out[i, d] = max(corrected(found, level[s, d], log_rate), LEAST)


@inlined
def _log_p(ring: Array, tail: Array, counts: Counts, at: Place, score: float) -> float:
    """Of one score: from its rank, or from the tail."""
    s, d = at
    fill = counts[s, d, FILL]
    peaks = upper(fill)
    kept = largest(ring, tail, counts, at, peaks + 1)
    if peaks > 0 and score > tail[s, d, kept - peaks - 1]:
        threshold, scale, shape = fitted(tail, counts, at)
        found = math.log((peaks + 1.0) / (fill + 1.0))
        found += log_survival(score - threshold, scale, shape)
    else:
        larger = _at_least(ring[s, d, :fill], np.float32(score))
        found = math.log((larger + 1.0) / (fill + 1.0))
    return found


@inlined
def _at_least(scores: Array, score: np.float32) -> int:
    """How many scores are at least this one."""
    count = 0
    for j in range(scores.size):
        count += scores[j] >= score
    return count
