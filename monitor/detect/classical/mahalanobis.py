"""Mahalanobis distance of the window statistics: the baseline each other detector must beat.

Hotelling's T2 with the shrunk covariance of Ledoit and Wolf, "A well-conditioned estimator for
large-dimensional covariance matrices", J. Multivariate Analysis 88 (2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.errors import ConfigError, ModelError
from monitor.types import Array, State

MINIMUM = 16
_CLIP = 1e4
_TRIM = 0.05

Floats = NDArray[np.float64]


class Mahalanobis:
    """Scores the distance of an example from the training examples' mean, in units of their
    spread and by dimension: the root mean square of the whitened example, about 1 if normal.

    Each dimension is first put on a robust scale (median, interquartile range). The whitening is
    the symmetric one, so every whitened dimension belongs to one original dimension and the
    channels' shares are exact (Garthwaite and Koch, "Evaluating the contributions of individual
    variables to a quadratic form", 2016). `trim` is the share of training examples that are left
    out of a second estimate because the first found them farthest away.
    """

    view: ClassVar[str] = "statistics"

    def __init__(self, shape: Sequence[int], *, trim: float = _TRIM) -> None:
        if not shape or min(shape) < 1:
            raise ConfigError(f"shape {tuple(shape)} is not valid; each side must be at least 1")
        if not isinstance(trim, int | float) or not 0 <= trim < 0.5:
            raise ConfigError(f"trim is {trim!r}; numbers from 0 to under 0.5 are valid")
        self.shape = tuple(int(side) for side in shape)
        self.trim = trim
        self._arrays: State = {}

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Estimate from `(N, *shape)`; labelled anomalies are left out.

        Raises ModelError for examples that are too few, not finite or of another shape.
        """
        rows = self._flat(x)
        if y is not None:
            rows = rows[np.asarray(y) <= 0]
        if len(rows) < MINIMUM:
            raise ModelError(f"{len(rows)} examples are not anomalies; at least {MINIMUM} needed")
        if not np.isfinite(rows).all():
            raise ModelError("the training examples hold NaN or infinity; leave those windows out")
        low, median, high = np.quantile(rows.astype(np.float64), (0.25, 0.5, 0.75), axis=0)
        scale = np.maximum((high - low) / 1.349, rows.std(axis=0, dtype=np.float64) / 10)
        scale = np.maximum(scale, np.maximum(1e-3 * np.abs(median), 1e-6))
        self._keep(median, scale, np.zeros(len(scale)), np.eye(len(scale)))
        z = self._standard(rows).astype(np.float64)
        mean, whitening = whitening_of(z)
        distance = (((z - mean) @ whitening) ** 2).sum(axis=1)
        nearest = np.argsort(distance, kind="stable")[: len(z) - int(self.trim * len(z))]
        self._keep(median, scale, *whitening_of(z[nearest]))

    def score(self, x: Array) -> Array:
        """`(N, *shape) -> (N,)`. Raises ModelError before training and for another shape."""
        squares = self._whitened(x) ** 2
        distance: Array = np.sqrt(squares.mean(axis=1))
        return distance

    def contributions(self, x: Array) -> Array:
        """The share of each channel in the squared score: `(N, *shape) -> (N, C)`."""
        squares = self._whitened(x) ** 2
        parts = squares.reshape(len(x), self.shape[0], prod(self.shape[1:])).sum(axis=2)
        total = parts.sum(axis=1, keepdims=True)
        shares: Array = parts / (total + (total == 0))
        return shares

    def state(self) -> State:
        """Scaling, mean and whitening. Raises ModelError before training."""
        self._need_training()
        return {key: value.copy() for key, value in self._arrays.items()}

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit."""
        size = prod(self.shape)
        wanted = {name: (size,) for name in ("median", "scale", "mean")}
        shapes: dict[str, tuple[int, ...]] = {**wanted, "whitening": (size, size)}
        if state.keys() != shapes.keys():
            raise ModelError(f"arrays {sorted(state)} do not fit; valid are {sorted(shapes)}")
        for name, shape in shapes.items():
            found = state[name]
            if found.dtype != np.float32 or found.shape != shape or not np.isfinite(found).all():
                raise ModelError(
                    f"{name!r} is {found.dtype} {found.shape}; valid is finite float32 {shape}"
                )
        if (state["scale"] <= 0).any():
            raise ModelError("'scale' holds values that are not over 0")
        self._arrays = {name: np.array(state[name]) for name in shapes}

    def _whitened(self, x: Array) -> Array:
        self._need_training()
        centred = self._standard(self._flat(x)) - self._arrays["mean"]
        return _product(centred, self._arrays["whitening"])

    def _standard(self, rows: Array) -> Array:
        with np.errstate(over="ignore"):  # infinity is clipped like any other large value
            z = (rows - self._arrays["median"]) / self._arrays["scale"]
        return np.clip(z, -_CLIP, _CLIP)

    def _flat(self, x: Array) -> Array:
        if x.shape[1:] != self.shape:
            raise ModelError(f"examples have shape {x.shape[1:]}; valid is {self.shape}")
        return np.ascontiguousarray(x, np.float32).reshape(len(x), prod(self.shape))

    def _keep(self, median: Floats, scale: Floats, mean: Floats, whitening: Floats) -> None:
        arrays: dict[str, Any] = dict(median=median, scale=scale, mean=mean, whitening=whitening)
        self._arrays = {name: value.astype(np.float32) for name, value in arrays.items()}

    def _need_training(self) -> None:
        if not self._arrays:
            raise ModelError("Mahalanobis has no estimate yet: call fit or restore first")


@compiled
def _product(rows: Array, matrix: Array) -> Array:
    """`(N, d), (d, d) -> (N, d)`, each row alone: a BLAS rounds by a row's place among others."""
    result = np.zeros(rows.shape, np.float32)
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


def whitening_of(z: Floats) -> tuple[Floats, Floats]:
    """Mean and symmetric whitening matrix, the inverse square root of the covariance."""
    mean = z.mean(axis=0)
    values, vectors = np.linalg.eigh(shrunk_covariance(z - mean))
    floor = max(values[-1] * 1e-6, 1e-12)
    whitening: Floats = (vectors / np.sqrt(np.maximum(values, floor))) @ vectors.T
    return mean, whitening
