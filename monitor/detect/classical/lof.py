"""Local outlier factor: an example is unusual where its neighbours lie closer to each other.

Breunig, Kriegel, Ng and Sander, "LOF: identifying density-based local outliers", SIGMOD 2000; as a
novelty detector: new examples are compared with the training examples only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.detect.classical.knn import Neighbourhood
from monitor.detect.classical.neighbours import nearest_in
from monitor.detect.classical.rows import Shapes, need_positive, stored
from monitor.errors import ModelError
from monitor.types import Array, State

_TINY = 1e-10


class LocalOutlierFactor(Neighbourhood):
    """Scores how much sparser the training examples are around an example than around its
    `neighbours` (20) nearest ones, about 1 for a normal example.
    """

    usual, fewer = 20, 1

    def _learned_white(self, rows: Array) -> State:
        memory = np.ascontiguousarray(rows.T)
        k = min(self.neighbours, len(rows) - 1)
        squares, places = _without_itself(*nearest_in(rows, memory, k + 1))
        reach = np.sqrt(squares[:, -1])
        return stored(memory=memory, reach=reach, density=_density(squares, reach[places]))

    def _raw_white(self, arrays: State, rows: Array) -> Array:
        squares, places = self._nearest(arrays, rows)
        own = _density(squares, arrays["reach"][places])
        factor: Array = arrays["density"][places].mean(axis=1) / own
        return factor

    def _kept_white(self, state: State) -> Shapes:
        count = max(state["memory"].shape[1], 2)
        return {"memory": (self.size, count), "reach": (count,), "density": (count,)}

    def _check(self, arrays: State) -> None:
        super()._check(arrays)
        need_positive(arrays, "density")
        if (arrays["reach"] < 0).any():
            raise ModelError("'reach' holds distances below 0")


def _density(squares: Array, reach: Array) -> Array:
    """Local reachability density: `(N, k), (N, k) -> (N,)`."""
    density: Array = 1 / (np.maximum(np.sqrt(squares), reach).mean(axis=1) + np.float32(_TINY))
    return density


def _without_itself(squares: Array, places: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """The neighbours of the rows of a memory in that memory: the row itself is none."""
    own = places == np.arange(len(places))[:, None]
    own[~own.any(axis=1), -1] = True  # rows with more than k copies: one of them goes instead
    shape = (len(places), places.shape[1] - 1)
    return squares[~own].reshape(shape), places[~own].reshape(shape)
