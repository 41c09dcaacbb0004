"""Kernel density estimate: where training examples are rare, an example is unusual.

Parzen, Annals of Mathematical Statistics 33 (1962); kernels as wide as neighbours are apart after
Loftsgaarden and Quesenberry, Annals of Mathematical Statistics 36 (1965).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.detect.classical.neighbours import pull, surprise
from monitor.detect.classical.rows import TRIM, Shapes, stored
from monitor.detect.classical.whitened import WhitenedDetector
from monitor.errors import ConfigError
from monitor.types import Array, State


class KernelDensity(WhitenedDetector):
    """Scores how much rarer than at best an example is by a sum of Gaussian kernels: the square
    root of -log of the ratio, so that it grows as a distance does, about 1 if normal.

    `bandwidth` is the kernels' width in whitened dimensions, in which neighbours are about 1 apart.
    Raises ConfigError for values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        bandwidth: float = 1.0,
        trim: float = TRIM,
        most: int = 2000,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, trim=trim, most=most, seed=seed)
        if not isinstance(bandwidth, int | float) or not 0.01 <= bandwidth <= 100:
            raise ConfigError(f"bandwidth is {bandwidth!r}; numbers from 0.01 to 100 are valid")
        self.bandwidth = bandwidth

    def _learned_white(self, rows: Array) -> State:
        return stored(memory=rows.T)

    def _raw_white(self, arrays: State, rows: Array) -> Array:
        return np.sqrt(surprise(rows, *self._kernels(arrays)))

    def _off(self, arrays: State, rows: Array) -> Array:
        return pull(rows, *self._kernels(arrays))

    def _kept_white(self, state: State) -> Shapes:
        return {"memory": (self.size, max(state["memory"].shape[1], 1))}

    def _kernels(self, arrays: State) -> tuple[Array, Array, float]:
        """The memory, and the weights and narrowness of its kernels."""
        count = arrays["memory"].shape[1]
        weight = np.full(count, -np.log(count), np.float32)
        return arrays["memory"], weight, 0.5 / self.bandwidth**2
