"""The pixels view: a frame made so small that detectors of rows of numbers can compare it.

Each colour becomes at most 16 x 16 areas, the mean light of each: what is left is where in the
picture is how much of which colour. Faults that are small against an area show little; for those
there are detectors that are given the whole frame.
"""

from __future__ import annotations

import numpy as np

from monitor.compiled import compiled
from monitor.types import Array

SIDE = 16


def pixels(x: Array) -> Array:
    """Means over areas of scaled frames: `(N, C, H, W) -> (N, C, h * w)`, row after row.

    h and w are 16, or the frame's own side where that is less. The areas are of one size and
    share the pixels on their edges in proportion, so no pixel counts more than another.
    """
    rows, columns = (_areas(side) for side in x.shape[2:])
    return _means(np.ascontiguousarray(x, np.float32), rows, columns)


def pixels_of(frame: tuple[int, int]) -> int:
    """How many areas a frame `(H, W)` becomes."""
    return min(frame[0], SIDE) * min(frame[1], SIDE)


def _areas(side: int) -> Array:
    """The share of each pixel in the mean of each area: `(areas, side)`, rows that sum to 1."""
    areas = min(side, SIDE)
    edges = np.arange(areas + 1) * side / areas
    place = np.arange(side)
    inside = np.minimum(edges[1:, None], place + 1) - np.maximum(edges[:-1, None], place)
    shares: Array = (np.maximum(inside, 0) * areas / side).astype(np.float32)
    return shares


@compiled
def _means(x: Array, rows: Array, columns: Array) -> Array:
    height, width = rows.shape[0], columns.shape[0]
    result = np.zeros((x.shape[0], x.shape[1], height * width), np.float32)
    strip = np.empty(x.shape[3], np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(height):
                strip[:] = 0
                for y in range(x.shape[2]):
                    if rows[i, y] > 0:
                        for k in range(x.shape[3]):
                            strip[k] += rows[i, y] * x[n, c, y, k]
                for j in range(width):
                    for k in range(x.shape[3]):
                        result[n, c, i * width + j] += columns[j, k] * strip[k]
    return result
