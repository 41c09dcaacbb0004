"""Histograms of durations, for `/metrics`: counted with numpy, a batch at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.protocols import Scorer
from monitor.types import Array, Clock
from monitor.view import Histogram

BOUNDS = (
    *(5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
)
_EDGES = np.array(BOUNDS)


class Timings:
    """Histograms by key, all with the same buckets (seconds)."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], NDArray[np.int64]] = {}
        self._totals: dict[tuple[str, ...], float] = {}

    def observe(self, key: tuple[str, ...], seconds: NDArray[np.float64]) -> None:
        """Add durations; `le` of a bucket includes its bound, as Prometheus has it."""
        places = np.searchsorted(_EDGES, seconds, side="left")
        counts = np.bincount(places, minlength=len(BOUNDS) + 1)
        self._counts[key] = self._counts.get(key, 0) + counts
        self._totals[key] = self._totals.get(key, 0.0) + float(seconds.sum())

    def histograms(self) -> dict[tuple[str, ...], Histogram]:
        """What was observed so far."""
        return {
            key: Histogram(BOUNDS, tuple(counts.tolist()), self._totals[key])
            for key, counts in self._counts.items()
        }


class Timed:
    """A scorer that tells how long each call took."""

    def __init__(self, scorer: Scorer, timings: Timings, clock: Clock) -> None:
        self._scorer, self._timings, self._clock = scorer, timings, clock
        self.label, self.shape = scorer.label, scorer.shape
        self.fingerprint, self.calibration = scorer.fingerprint, scorer.calibration
        self.group = scorer.group

    def constants(self, sensor: str) -> Array | None:
        return self._scorer.constants(sensor)

    def score(self, x: Array, constants: Array) -> Array:
        begin = self._clock()
        scores = self._scorer.score(x, constants)
        self._timings.observe(("inference_duration", self.label), np.array([self._clock() - begin]))
        return scores

    def beyond(self, x: Array, constants: Array) -> NDArray[np.bool_]:
        return self._scorer.beyond(x, constants)

    def contributions(self, x: Array, constants: Array) -> Array:
        return self._scorer.contributions(x, constants)

    def heat_maps(self, x: Array, constants: Array) -> Array | None:
        return self._scorer.heat_maps(x, constants)
