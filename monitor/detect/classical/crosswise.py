"""What training examples would score if they had not been learned: by blocks of time.

Windows overlap, and a long anomaly looks like itself, so an example must not be compared with
those around it: each block is scored by what is learned from the others (h-block
cross-validation; Burman, Chow and Nolan, Biometrika 81, 1994, without the gap).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detect.classical.rows import (
    TRIM,
    Floats,
    RowDetector,
    Shapes,
    nearest,
    need_positive,
    stored,
)
from monitor.errors import ConfigError
from monitor.types import Array, State

BLOCKS = 5
_TINY = 1e-6


def crosswise(
    z: Floats, learned: Callable[[Floats], State], scored: Callable[[State, Array], Array]
) -> Floats:
    """Scores of rows in the order of time by what is learned from the other blocks:
    `(N, d) -> (N, ...)`.
    """
    found = [scored(learned(z[rest]), z[own].astype(np.float32)) for own, rest in blocks(len(z))]
    return np.concatenate(found).astype(np.float64)


def blocks(count: int) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """The places of each of BLOCKS stretches of so many rows, and those of all others."""
    edges = np.linspace(0, count, BLOCKS + 1).round().astype(np.int64).tolist()
    for begin, end in pairwise(edges):
        yield slice(begin, end), np.delete(np.arange(count), slice(begin, end))


class DrawnDetector(RowDetector):
    """Detectors of rows that learn from so many of them. Not a detector itself.

    `most` is how many examples are learned from, drawn with `seed` where there are more. Learning
    is cheap, so that the newest windows are learned too, once the older ones have calibrated.
    """

    refits: ClassVar[bool] = True

    def __init__(
        self, shape: Sequence[int], *, trim: float = TRIM, most: int = 2000, seed: int = 0
    ) -> None:
        super().__init__(shape, trim=trim)
        self.most = whole("most", most, 64)
        self.seed = whole("seed", seed, 0)

    def _drawn(self, z: Floats) -> Floats:
        """At most `most` rows, in the order of time; drawn, for sensors may take turns in them."""
        if len(z) <= self.most:
            return z
        drawn = np.random.default_rng(self.seed).choice(len(z), self.most, replace=False)
        return z[np.sort(drawn)]


class CrosswiseDetector(DrawnDetector):
    """Detectors of rows that know from the other blocks which training examples are outside, and
    what a normal score is. Not a detector itself: a subclass has `_learned`, `_raw` and `_kept`.

    `trim` is the share of the examples that are left out because they score highest; scores are
    in units of the median of the others, so a normal one is about 1.
    """

    def _estimate(self, z: Floats) -> State:
        rows = self._drawn(z)
        outside = crosswise(rows, self._learned, self._raw)
        kept = np.sort(nearest(outside, self.trim))
        level = max(float(np.median(outside[kept])), _TINY)
        return {**self._learned(rows[kept]), **stored(level=[level])}

    def _scored(self, arrays: State, z: Array) -> Array:
        return np.asarray(self._raw(arrays, z) / arrays["level"], np.float32)

    def _shapes(self, state: State) -> Shapes:
        return {**self._kept(state), "level": (1,)}

    def _check(self, arrays: State) -> None:
        super()._check(arrays)
        need_positive(arrays, "level")

    @abstractmethod
    def _learned(self, z: Floats) -> State:
        """The arrays but for `level` from standardised rows `(N, d)`."""

    @abstractmethod
    def _raw(self, arrays: State, z: Array) -> Array:
        """Scores `(N,)` of rows in the detector's own units, at least 0."""

    @abstractmethod
    def _kept(self, state: State) -> Shapes:
        """The arrays of `_learned`, and their shapes."""


def whole(name: str, value: int, least: int) -> int:
    """A parameter that is a whole number; ConfigError where it is none, or under `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} is {value!r}; whole numbers from {least} on are valid")
    return value
