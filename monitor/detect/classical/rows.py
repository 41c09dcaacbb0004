"""Examples as rows on a robust scale, and arrays that are kept: what classical detectors share.

A detector of rows says what it estimates from standardised rows, how it scores one, and which
arrays it keeps; shapes, checks, labels, state and restore are the same for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError, ModelError
from monitor.types import Array, State

MINIMUM = 16
TRIM = 0.05
_CLIP = 1e4

Floats = NDArray[np.float64]
Shapes = Mapping[str, tuple[int, ...]]


class RowDetector(ABC):
    """What detectors of rows have in common. Not a detector itself: a subclass has `_estimate`,
    `_scored` and `_shapes`.

    Each dimension of an example is put on a robust scale (median, interquartile range) and
    clipped. `trim` is the share of the training examples that the subclass may leave out because
    they are farthest away.
    """

    view: ClassVar[str] = "statistics"
    frame_view: ClassVar[str] = "pixels"
    refits: ClassVar[bool] = True

    def __init__(self, shape: Sequence[int], *, trim: float = TRIM) -> None:
        if not shape or min(shape) < 1:
            raise ConfigError(f"shape {tuple(shape)} is not valid; each side must be at least 1")
        if not isinstance(trim, int | float) or not 0 <= trim < 0.5:
            raise ConfigError(f"trim is {trim!r}; numbers from 0 to under 0.5 are valid")
        self.shape = tuple(int(side) for side in shape)
        self.size = prod(self.shape)
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
        scaling = robust_scaling(rows)
        z = standardised(rows, scaling).astype(np.float64)
        self._arrays = {**scaling, **self._estimate(z)}

    def score(self, x: Array) -> Array:
        """`(N, *shape) -> (N,)`. Raises ModelError before training and for another shape."""
        return self._scored(self._trained(), self._standard(x))

    def state(self) -> State:
        """Every array of the estimate. Raises ModelError before training."""
        return {key: value.copy() for key, value in self._trained().items()}

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit."""
        scaling = {"median": (self.size,), "scale": (self.size,)}
        try:
            shapes = {**scaling, **self._shapes(state)}
        except (KeyError, IndexError) as error:
            raise ModelError(f"arrays {sorted(state)} do not fit: {error}") from error
        arrays = checked(state, shapes)
        self._check(arrays)
        self._arrays = arrays

    @abstractmethod
    def _estimate(self, z: Floats) -> State:
        """What is learned from standardised rows `(N, d)`."""

    @abstractmethod
    def _scored(self, arrays: State, z: Array) -> Array:
        """The scores `(N,)` of standardised rows `(N, d)`, each row alone to the last bit."""

    @abstractmethod
    def _shapes(self, state: State) -> Shapes:
        """The arrays of `_estimate`, and their shapes; what is of any length is as in `state`."""

    def _check(self, arrays: State) -> None:
        """Raises ModelError where arrays of the right shapes hold values that cannot be."""
        need_positive(arrays, "scale")

    def _standard(self, x: Array) -> Array:
        return standardised(self._flat(x), self._trained())

    def _flat(self, x: Array) -> Array:
        if x.shape[1:] != self.shape:
            raise ModelError(f"examples have shape {x.shape[1:]}; valid is {self.shape}")
        return np.ascontiguousarray(x, np.float32).reshape(len(x), self.size)

    def _trained(self) -> State:
        if not self._arrays:
            name = type(self).__name__
            raise ModelError(f"{name} has no estimate yet: call fit or restore first")
        return self._arrays


def robust_scaling(rows: Array) -> State:
    """`median` and `scale` of each dimension: `(N, d) -> (d,)` each.

    The scale is the interquartile range over 1.349, at least a tenth of the standard deviation
    and at least a thousandth of the median, so that a dimension at rest is divided by something
    sane.
    """
    low, median, high = np.quantile(rows.astype(np.float64), (0.25, 0.5, 0.75), axis=0)
    scale = np.maximum((high - low) / 1.349, rows.std(axis=0, dtype=np.float64) / 10)
    scale = np.maximum(scale, np.maximum(1e-3 * np.abs(median), 1e-6))
    return stored(median=median, scale=scale)


def standardised(rows: Array, scaling: State) -> Array:
    """Rows on the scale of the training examples, clipped: `(N, d) -> (N, d)`."""
    with np.errstate(over="ignore"):  # infinity is clipped like any other large value
        z = (rows - scaling["median"]) / scaling["scale"]
    return np.clip(z, -_CLIP, _CLIP)


def stored(**arrays: NDArray[Any] | Sequence[float]) -> State:
    """Numbers as a state keeps them: float32."""
    return {name: np.ascontiguousarray(value, np.float32) for name, value in arrays.items()}


def checked(state: State, shapes: Shapes) -> State:
    """Copies of finite float32 arrays of these names and shapes; ModelError for anything else."""
    if state.keys() != shapes.keys():
        raise ModelError(f"arrays {sorted(state)} do not fit; valid are {sorted(shapes)}")
    for name, shape in shapes.items():
        found = state[name]
        if found.dtype != np.float32 or found.shape != shape or not np.isfinite(found).all():
            raise ModelError(
                f"{name!r} is {found.dtype} {found.shape}; valid is finite float32 {shape}"
            )
    return {name: np.array(state[name]) for name in shapes}


def need_positive(arrays: State, *names: str) -> None:
    """Raises ModelError where one of these arrays is empty or holds values that are not over 0."""
    for name in names:
        if not arrays[name].size or (arrays[name] <= 0).any():
            raise ModelError(f"{name!r} is empty or holds values that are not over 0")


def nearest(distance: Floats, trim: float) -> NDArray[np.int64]:
    """The places of all but the share `trim` with the largest distances, the nearest first."""
    order: NDArray[np.int64] = np.argsort(distance, kind="stable")
    return order[: len(distance) - int(trim * len(distance))]


def shares(parts: Array) -> Array:
    """Each row's parts by their sum, all 0 where that is 0: `(N, C) -> (N, C)`."""
    total = parts.sum(axis=1, keepdims=True)
    found: Array = parts / (total + (total == 0))
    return found
