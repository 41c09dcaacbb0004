"""Mahalanobis distance of the window statistics: the baseline each other detector must beat.

Hotelling's T2 with the shrunk covariance of Ledoit and Wolf, "A well-conditioned estimator for
large-dimensional covariance matrices", J. Multivariate Analysis 88 (2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from monitor.compiled import compiled
from monitor.detect.classical.rows import (
    MINIMUM,
    TRIM,
    Floats,
    RowDetector,
    Shapes,
    nearest,
    shares,
    stored,
)
from monitor.errors import ConfigError
from monitor.types import Array, State

WANDER = 20.0
QUARTERS = 4
__all__ = ["MINIMUM", "Mahalanobis", "shrunk_covariance", "whitening_of"]


class Mahalanobis(RowDetector):
    """Scores the distance of an example from the training examples' mean, in units of their
    spread and by dimension: the root mean square of the whitened example, about 1 if normal.

    Each dimension is first put on a robust scale (median, interquartile range). The whitening is
    the symmetric one, so every whitened dimension belongs to one original dimension and the
    channels' shares are exact (Garthwaite and Koch, "Evaluating the contributions of individual
    variables to a quadratic form", 2016). `trim` is the share of training examples that are left
    out of a second estimate because the first found them farthest away.

    Machines drift: what moved from one quarter of the training time to the next will move farther.
    `wander` times the covariance of the quarters' means is added to that of the examples, so that
    such directions count less. Examples are taken to be in the order of time.
    """

    view: ClassVar[str] = "statistics"

    def __init__(self, shape: Sequence[int], *, trim: float = TRIM, wander: float = WANDER) -> None:
        super().__init__(shape, trim=trim)
        if not isinstance(wander, int | float) or not 0 <= wander <= 1e3:
            raise ConfigError(f"wander is {wander!r}; numbers from 0 to 1000 are valid")
        self.wander = wander

    def contributions(self, x: Array) -> Array:
        """The share of each channel in the squared score: `(N, *shape) -> (N, C)`."""
        squares = self._whitened(self._standard(x), self._trained()) ** 2
        return shares(squares.reshape(len(x), self.shape[0], prod(self.shape[1:])).sum(axis=2))

    def _estimate(self, z: Floats) -> State:
        mean, whitening = whitening_of(z)
        distance = (((z - mean) @ whitening) ** 2).sum(axis=1)
        usual = z[np.sort(nearest(distance, self.trim))]
        mean, whitening = whitening_of(usual, self.wander * _between_quarters(usual))
        return stored(mean=mean, whitening=whitening)

    def _scored(self, arrays: State, z: Array) -> Array:
        distance: Array = np.sqrt((self._whitened(z, arrays) ** 2).mean(axis=1))
        return distance

    def _shapes(self, state: State) -> Shapes:
        return {"mean": (self.size,), "whitening": (self.size, self.size)}

    def _whitened(self, z: Array, arrays: State) -> Array:
        return product(z - arrays["mean"], arrays["whitening"])


@compiled
def product(rows: Array, matrix: Array) -> Array:
    """`(N, d), (d, k) -> (N, k)`, each row alone: a BLAS rounds by a row's place among others."""
    result = np.zeros((rows.shape[0], matrix.shape[1]), np.float32)
    for n in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            for j in range(matrix.shape[1]):
                result[n, j] += rows[n, i] * matrix[i, j]
    return result


def shrunk_covariance(z: Floats) -> Floats:
    """The Ledoit-Wolf estimate for rows with mean 0: `(N, d) -> (d, d)`.

    The sample covariance and a multiple of the identity, mixed in the proportion that is
    closest to the truth on average. For large data of few dimensions it is the former.
    """
    count, size = z.shape
    sample = z.T @ z / count
    level = np.trace(sample) / size
    distance = ((sample - level * np.eye(size)) ** 2).sum() / size
    squared = z**2
    error = ((squared.T @ squared).sum() / count - (sample**2).sum()) / (count * size)
    share = min(error, distance) / distance if distance > 0 else 0.0
    mixed: Floats = (1 - share) * sample + share * level * np.eye(size)
    return mixed


def _between_quarters(z: Floats) -> Floats:
    """The covariance of the means of four stretches of time: `(N, d) -> (d, d)`."""
    means = np.stack([part.mean(axis=0) for part in np.array_split(z, QUARTERS)])
    apart = means - means.mean(axis=0)
    covariance: Floats = apart.T @ apart / QUARTERS
    return covariance


def whitening_of(z: Floats, beside: Floats | float = 0.0) -> tuple[Floats, Floats]:
    """Mean and symmetric whitening matrix, the inverse square root of the covariance, to which
    `beside` `(d, d)` is added.
    """
    mean = z.mean(axis=0)
    values, vectors = np.linalg.eigh(shrunk_covariance(z - mean) + beside)
    floor = max(values[-1] * 1e-6, 1e-12)
    whitening: Floats = (vectors / np.sqrt(np.maximum(values, floor))) @ vectors.T
    return mean, whitening
