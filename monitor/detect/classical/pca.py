"""Principal components: what leaves the plane of normal windows, and what goes too far in it.

Jackson and Mudholkar, "Control procedures for residuals associated with principal component
analysis", Technometrics 21 (1979), for Q beside Hotelling's T2; their sum in units of each one's
own level after Yue and Qin, Industrial & Engineering Chemistry Research 40 (2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from monitor.detect.classical.crosswise import DrawnDetector, crosswise, whole
from monitor.detect.classical.mahalanobis import product
from monitor.detect.classical.rows import (
    TRIM,
    Floats,
    Shapes,
    nearest,
    need_positive,
    shares,
    stored,
)
from monitor.errors import ConfigError
from monitor.types import Array, State

_SMALLEST_RESIDUAL = 1e-3
_SMALLEST_VARIANCE = 1e-9


class PrincipalComponents(DrawnDetector):
    """Scores the squared error Q of rebuilding an example from the leading principal components,
    and its distance T2 from the mean within them; each over its median for normal examples that
    were not learned. The score is the root of their mean, about 1 for a normal example.

    `variance` is the share of the variance that the components keep, at most `components` of
    them; `trim` is the share of training examples that are left out because they score highest.
    It learns from `most` of them, drawn with `seed`. Raises ConfigError for values that cannot be
    used.
    """

    view: ClassVar[str] = "window"

    def __init__(
        self,
        shape: Sequence[int],
        *,
        variance: float = 0.99,
        components: int = 256,
        trim: float = TRIM,
        most: int = 2000,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, trim=trim, most=most, seed=seed)
        if not isinstance(variance, int | float) or not 0 < variance < 1:
            raise ConfigError(f"variance is {variance!r}; numbers between 0 and 1 are valid")
        self.variance = variance
        self.components = whole("components", components, 1)

    def contributions(self, x: Array) -> Array:
        """The share of each channel in the squared score: `(N, *shape) -> (N, C)`."""
        arrays = self._trained()
        residual, along = self._parts(arrays, self._standard(x))
        inside = product(along, np.ascontiguousarray(arrays["components"].T))
        level = arrays["level"]
        squares = residual**2 / level[0] + inside**2 / level[1]
        return shares(squares.reshape(len(x), self.shape[0], prod(self.shape[1:])).sum(axis=2))

    def _estimate(self, z: Floats) -> State:
        rows = self._drawn(z)
        outside = crosswise(rows, self._learned, self._both)
        kept = np.sort(nearest((outside / self._level(outside)).sum(axis=1), self.trim))
        return {**self._learned(rows[kept]), **stored(level=self._level(outside[kept]))}

    def _level(self, both: Floats) -> Floats:
        """What is normal for Q and T2, and at least what rounding makes of nothing."""
        level: Floats = np.maximum(np.median(both, axis=0), self.size * _SMALLEST_RESIDUAL**2)
        return level

    def _learned(self, z: Floats) -> State:
        mean = z.mean(axis=0)
        values, vectors = _principal(z - mean)
        count = int(np.searchsorted(np.cumsum(values) / values.sum(), self.variance)) + 1
        count = max(min(count, self.components, len(values) - 1), 1)
        return stored(mean=mean, components=vectors[:, :count], spread=np.sqrt(values[:count]))

    def _scored(self, arrays: State, z: Array) -> Array:
        score: Array = np.sqrt((self._both(arrays, z) / arrays["level"]).mean(axis=1))
        return score

    def _both(self, arrays: State, z: Array) -> Array:
        """Q and T2: `(N, d) -> (N, 2)`."""
        residual, along = self._parts(arrays, z)
        return np.stack([(residual**2).sum(axis=1), (along**2).sum(axis=1)], axis=1)

    def _parts(self, arrays: State, z: Array) -> tuple[Array, Array]:
        """What is left of each row, and where it is along the components, in their spreads."""
        components = arrays["components"]
        centred = z - arrays["mean"]
        places = product(centred, components)
        residual = centred - product(places, np.ascontiguousarray(components.T))
        return residual, np.asarray(places / arrays["spread"], np.float32)

    def _shapes(self, state: State) -> Shapes:
        count = max(state["components"].shape[1], 1)
        own = {"mean": (self.size,), "components": (self.size, count)}
        return {**own, "spread": (count,), "level": (2,)}

    def _check(self, arrays: State) -> None:
        super()._check(arrays)
        need_positive(arrays, "spread", "level")


def _principal(z: Floats) -> tuple[Floats, Floats]:
    """Variances, the largest first, and directions in the columns: `(N, d) -> (r,), (d, r)`."""
    count, size = z.shape
    if count >= size:
        values, vectors = np.linalg.eigh(z.T @ z / count)
    else:
        values, left = np.linalg.eigh(z @ z.T / count)
        vectors = z.T @ left / np.sqrt(np.maximum(values, _SMALLEST_VARIANCE) * count)
    order = np.argsort(values)[::-1]
    return np.maximum(values[order], _SMALLEST_VARIANCE), vectors[:, order]
