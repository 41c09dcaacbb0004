"""Compiled loops over a memory of rows: the nearest ones, and sums of Gaussian kernels.

Every row is worked out on its own and in one order of operations, so its place among others does
not change the last bit. The memory is `(d, M)`, so that the inner loop runs over its rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.types import Array

_ROWS = 32
_TILE = 512
_FAR = 20.0  # a kernel that is exp(-20) of the largest adds nothing to float32


@compiled
def nearest_in(z: Array, memory: Array, k: int) -> tuple[Array, NDArray[np.int64]]:
    """The k nearest rows of a memory, nearest first: `(N, d), (d, M) -> (N, k)` squared distances
    and places.
    """
    squares = np.full((z.shape[0], k), np.float32(np.inf), np.float32)
    places = np.zeros((z.shape[0], k), np.int64)
    scratch = np.empty((_ROWS, memory.shape[1]), np.float32)
    for start in range(0, z.shape[0], _ROWS):
        rows = z[start : start + _ROWS]
        _squares(rows, memory, scratch)
        for n in range(rows.shape[0]):
            _smallest(scratch[n], squares[start + n], places[start + n])
    return squares, places


@compiled
def surprise(z: Array, memory: Array, log_weight: Array, narrow: float) -> Array:
    """`-log sum exp(log_weight - narrow d^2)` over a memory: `(N, d), (d, M), (M,) -> (N,)`.

    The weights sum to 1, so the result is at least 0; far away it goes on as the squared distance
    does.
    """
    result = np.empty(z.shape[0], np.float32)
    scratch = np.empty((_ROWS, memory.shape[1]), np.float32)
    for start in range(0, z.shape[0], _ROWS):
        rows = z[start : start + _ROWS]
        _squares(rows, memory, scratch)
        result[start : start + _ROWS] = surprise_of(scratch[: len(rows)], log_weight, narrow)
    return result


@compiled
def surprise_of(squares: Array, log_weight: Array, narrow: float) -> Array:
    """The same from squared distances: `(N, M), (M,) -> (N,)`."""
    result = np.empty(squares.shape[0], np.float32)
    for n in range(squares.shape[0]):
        largest = _largest(squares[n], log_weight, narrow)
        total = 0.0
        for m in range(squares.shape[1]):
            exponent = log_weight[m] - narrow * squares[n, m] - largest
            if exponent > -_FAR:
                total += math.exp(exponent)
        result[n] = max(-(largest + math.log(total)), 0.0)
    return result


@compiled
def pull(z: Array, memory: Array, log_weight: Array, narrow: float) -> Array:
    """How far the kernels draw each dimension of a row: `(N, d) -> (N, d)`, the mean square of
    its distance from rows of the memory, each counted as its kernel says.
    """
    result = np.zeros(z.shape, np.float32)
    scratch = np.empty((_ROWS, memory.shape[1]), np.float32)
    for start in range(0, z.shape[0], _ROWS):
        rows = z[start : start + _ROWS]
        _squares(rows, memory, scratch)
        for n in range(rows.shape[0]):
            largest = _largest(scratch[n], log_weight, narrow)
            for m in range(memory.shape[1]):
                exponent = log_weight[m] - narrow * scratch[n, m] - largest
                share = math.exp(exponent) if exponent > -_FAR else 0.0
                for i in range(memory.shape[0] if share > 0.0 else 0):
                    difference = rows[n, i] - memory[i, m]
                    result[start + n, i] += share * difference * difference
    return result


@compiled
def _squares(rows: Array, memory: Array, out: Array) -> None:
    """Squared distances `(n, M)`, in tiles of the memory that stay in the cache."""
    for begin in range(0, memory.shape[1], _TILE):
        end = min(begin + _TILE, memory.shape[1])
        for n in range(rows.shape[0]):
            sums = out[n, begin:end]
            sums[:] = 0
            for i in range(memory.shape[0]):
                value = rows[n, i]
                line = memory[i, begin:end]
                for m in range(end - begin):
                    difference = line[m] - value
                    sums[m] += difference * difference


@compiled
def _smallest(values: Array, best: Array, places: NDArray[np.int64]) -> None:
    """Put the smallest values, ascending, and their places; the first of equal ones first."""
    last = best.shape[0] - 1
    for m in range(values.shape[0]):
        if values[m] < best[last]:
            at = last
            while at > 0 and best[at - 1] > values[m]:
                best[at] = best[at - 1]
                places[at] = places[at - 1]
                at -= 1
            best[at] = values[m]
            places[at] = m


@compiled
def _largest(squares: Array, log_weight: Array, narrow: float) -> Any:
    """The largest exponent of a row's kernels."""
    largest = -np.inf
    for m in range(squares.shape[0]):
        largest = max(largest, log_weight[m] - narrow * squares[m])
    return largest
