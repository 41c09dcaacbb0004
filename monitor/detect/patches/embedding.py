"""Features of patches -> few whitened dimensions, in which distances are compared."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.detect.classical.mahalanobis import product, shrunk_covariance
from monitor.types import Array

_LEAST = 0.01
_TINY = 1e-5


class Embedding(NamedTuple):
    """`centre` is `(F,)`, `axes` `(F, d)`: the main directions, divided by their spread."""

    centre: Array
    axes: Array

    def __call__(self, features: Array) -> Array:
        """`(..., F) -> (..., d)`, each row alone."""
        rows = features.reshape(-1, features.shape[-1]) - self.centre
        return product(rows, self.axes).reshape(*features.shape[:-1], self.axes.shape[1])


def fit_embedding(features: Array, dimensions: int) -> Embedding:
    """Principal directions of rows `(N, F)`, at most `dimensions`, whitened.

    The covariance is shrunk (Ledoit and Wolf), so few rows do not make directions that hardly
    vary look important, and no variance is taken for less than a hundredth of the mean one. A
    direction that never varied counts as if it did so by a few thousandths.
    """
    rows = features.astype(np.float64)
    centre = rows.mean(axis=0)
    values, vectors = np.linalg.eigh(shrunk_covariance(rows - centre))
    least = max(_LEAST * float(values.mean()), _TINY)
    axes = vectors[:, ::-1] / np.sqrt(np.maximum(values[::-1], least))
    return Embedding(
        centre.astype(np.float32), np.ascontiguousarray(axes[:, :dimensions], np.float32)
    )
