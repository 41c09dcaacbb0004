"""A few rows that stand for many: the greedy k-centre coreset of a memory.

Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR
2018, algorithm 1, with the random projection of Roth et al., "Towards total recall in industrial
anomaly detection", CVPR 2022, section 3.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.types import Array

DIMENSIONS = 32


def coreset(rows: Array, count: int, seed: int = 0) -> NDArray[np.int64]:
    """The places of at most `count` rows that cover all: `(N, d) -> (M,)`, ascending.

    The first is the row nearest to the mean, each further one is that farthest from those chosen
    before, so the largest distance of any row from the chosen ones is at most twice the smallest
    possible (Gonzalez, Theor. Comput. Sci. 38, 1985). Rows that equal a chosen one are not chosen.
    Rows of many dimensions are compared by a random projection, drawn with `seed`.
    """
    if count < 1:
        raise ValueError(f"a coreset of {count} rows; at least 1 is valid")
    if not len(rows):
        return np.empty(0, np.int64)
    compared = projected(rows, DIMENSIONS, seed)
    first = int(((compared - compared.mean(axis=0)) ** 2).sum(axis=1).argmin())
    return np.sort(_farthest_first(np.ascontiguousarray(compared.T), first, min(count, len(rows))))


def projected(rows: Array, dimensions: int, seed: int = 0) -> Array:
    """Rows in fewer dimensions that keep their distances roughly: `(N, d) -> (N, dimensions)`.

    A product with a sparse random matrix (Achlioptas, "Database-friendly random projections",
    J. Comput. Syst. Sci. 66, 2003; Johnson and Lindenstrauss 1984); rows that have no more
    dimensions than that are left as they are.
    """
    size = rows.shape[1]
    if size <= dimensions:
        return rows
    drawn = np.random.default_rng(seed).choice(
        [-1, 0, 1], (size, dimensions), p=[1 / 6, 2 / 3, 1 / 6]
    )
    return np.asarray(rows @ (drawn * np.sqrt(3 / dimensions)).astype(np.float32), np.float32)


@compiled
def _farthest_first(columns: Array, first: int, count: int) -> NDArray[np.int64]:
    """Places of rows `(d, N)`, each the farthest from those before; fewer where no distance is
    left.
    """
    chosen = np.empty(count, np.int64)
    far = np.full(columns.shape[1], np.float32(np.inf), np.float32)
    squares = np.empty(columns.shape[1], np.float32)
    place = first
    for taken in range(count):
        chosen[taken] = place
        squares[:] = 0
        for i in range(columns.shape[0]):
            value = columns[i, place]
            for n in range(columns.shape[1]):
                difference = columns[i, n] - value
                squares[n] += difference * difference
        for n in range(columns.shape[1]):
            far[n] = min(far[n], squares[n])
        place = int(far.argmax())
        if far[place] <= 0:
            return chosen[: taken + 1]
    return chosen
