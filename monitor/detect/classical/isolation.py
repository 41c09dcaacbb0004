"""Compiled loops of the isolation forest: trees of random cuts, grown and walked.

A tree is a row of arrays in the order of a heap: the children of node i are 2 i + 1 and 2 i + 2.
`feature` is the dimension of a node's cut, -1 at a leaf; rows below `cut` go to the first child;
`size` counts the training rows of the node.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.types import Array

LEAF = -1.0


@compiled
def grow(z: Array, draws: NDArray[np.float64], feature: Array, cut: Array, size: Array) -> None:
    """Grow one tree of rows `(n, d)` by random numbers `(nodes, 2)` into arrays `(nodes,)`.

    Liu et al., algorithm 2; only dimensions that vary among a node's rows are cut.
    """
    order = np.arange(z.shape[0])
    begin = np.zeros(feature.shape[0], np.int64)
    varying = np.empty(z.shape[1], np.int64)
    feature[:], cut[:], size[:] = LEAF, 0, 0
    size[0] = z.shape[0]
    for node in range(feature.shape[0] // 2):
        mine = order[begin[node] : begin[node] + int(size[node])]
        count = _varying(z, mine, varying) if len(mine) > 1 else 0
        if count == 0:
            continue
        chosen = varying[int(draws[node, 0] * count)]
        low, high = _range(z, mine, chosen)
        at = np.float32(low + draws[node, 1] * (high - low))
        at = at if at > low else high
        below = _parted(z[:, chosen], mine, at)
        feature[node], cut[node] = chosen, at
        begin[2 * node + 1], size[2 * node + 1] = begin[node], below
        begin[2 * node + 2], size[2 * node + 2] = begin[node] + below, len(mine) - below


@compiled
def isolation(z: Array, feature: Array, cut: Array, size: Array) -> Array:
    """`2 ** -(mean depth / expected depth)` over all trees: `(N, d), (trees, nodes) ... -> (N,)`.

    Liu et al., algorithm 3 and equation 2: a leaf of several rows counts as the tree that they
    would make.
    """
    expected = expected_depth(size[0, 0])
    scores = np.empty(z.shape[0], np.float32)
    for n in range(z.shape[0]):
        total = 0.0
        for t in range(feature.shape[0]):
            node = depth = 0
            while feature[t, node] >= 0:
                right = z[n, int(feature[t, node])] >= cut[t, node]
                node = 2 * node + 1 + right
                depth += 1
            total += depth + expected_depth(size[t, node])
        scores[n] = 2.0 ** (-total / (feature.shape[0] * expected))
    return scores


@compiled
def surprises(z: Array, feature: Array, cut: Array, size: Array) -> Array:
    """How much each dimension sets a row apart: `(N, d) -> (N, d)`. A cut counts by the log of
    the rows before it over those left on the row's side.
    """
    found = np.zeros(z.shape, np.float32)
    for n in range(z.shape[0]):
        for t in range(feature.shape[0]):
            node = 0
            while feature[t, node] >= 0:
                before = size[t, node]
                dimension = int(feature[t, node])
                node = 2 * node + 1 + (z[n, dimension] >= cut[t, node])
                found[n, dimension] += math.log(before / size[t, node])
    return found


@compiled
def expected_depth(count: Any) -> Any:
    """The mean path length of an unsuccessful search in a binary tree of so many rows."""
    if count < 2:
        return 0.0
    if count < 3:
        return 1.0
    return 2.0 * (math.log(count - 1.0) + 0.5772156649015329) - 2.0 * (count - 1.0) / count


@compiled
def _varying(z: Array, mine: NDArray[np.int64], out: NDArray[np.int64]) -> Any:
    """Put the dimensions that vary among some rows; how many there are."""
    count = 0
    for i in range(z.shape[1]):
        for j in mine:
            if z[j, i] != z[mine[0], i]:
                out[count] = i
                count += 1
                break
    return count


@compiled
def _range(z: Array, mine: NDArray[np.int64], dimension: int) -> Any:
    """The smallest and the largest value of a dimension among some rows."""
    low = high = z[mine[0], dimension]
    for j in mine:
        low = min(low, z[j, dimension])
        high = max(high, z[j, dimension])
    return low, high


@compiled
def _parted(values: Array, mine: NDArray[np.int64], at: Any) -> Any:
    """Put the rows whose value is below `at` first; how many these are."""
    below = 0
    for place in range(mine.shape[0]):
        row = mine[place]
        if values[row] < at:
            mine[place] = mine[below]
            mine[below] = row
            below += 1
    return below
