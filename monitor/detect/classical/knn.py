"""Distance to the nearest training examples: what is unlike all of them is unusual.

Angiulli and Pizzuti, "Fast outlier detection in high dimensional spaces", PKDD 2002 (the sum of
the distances to the k nearest).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.detect.classical.crosswise import whole
from monitor.detect.classical.neighbours import nearest_in
from monitor.detect.classical.rows import TRIM, Shapes, stored
from monitor.detect.classical.whitened import WhitenedDetector
from monitor.types import Array, State


class Neighbourhood(WhitenedDetector):
    """What has a memory of training examples, and looks at those nearest to an example.

    It keeps `most` of them, drawn with `seed`, after leaving out the share `trim` that stands out
    most. Raises ConfigError for values that cannot be used.
    """

    usual: ClassVar[int]
    fewer: ClassVar[int] = 0  # neighbours than the memory has at least

    def __init__(
        self,
        shape: Sequence[int],
        *,
        neighbours: int | None = None,
        trim: float = TRIM,
        most: int = 2000,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, trim=trim, most=most, seed=seed)
        wanted = self.usual if neighbours is None else neighbours
        self.neighbours = whole("neighbours", wanted, 1)

    def _off(self, arrays: State, rows: Array) -> Array:
        _, places = self._nearest(arrays, rows)
        return _off_from(arrays["memory"], places, rows)

    def _nearest(self, arrays: State, rows: Array) -> tuple[Array, NDArray[np.int64]]:
        memory = arrays["memory"]
        return nearest_in(rows, memory, min(self.neighbours, memory.shape[1] - self.fewer))


class NearestNeighbours(Neighbourhood):
    """Scores the mean distance of an example to its `neighbours` (5) nearest training examples, in
    whitened dimensions and in units of what it is for a normal one.
    """

    usual = 5

    def _learned_white(self, rows: Array) -> State:
        return stored(memory=rows.T)

    def _raw_white(self, arrays: State, rows: Array) -> Array:
        squares, _ = self._nearest(arrays, rows)
        distance: Array = np.sqrt(squares).mean(axis=1)
        return distance

    def _kept_white(self, state: State) -> Shapes:
        return {"memory": (self.size, max(state["memory"].shape[1], 1))}


def _off_from(memory: Array, places: NDArray[np.int64], rows: Array) -> Array:
    """Squared distances from rows of a memory, by dimension: `(d, M), (N, k), (N, d) -> (N, d)`."""
    found: Array = ((memory.T[places] - rows[:, None]) ** 2).sum(axis=1)
    return found
