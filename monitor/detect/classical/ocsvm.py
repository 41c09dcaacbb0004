"""One-class support vector machine: a border around the training examples.

Schoelkopf, Platt, Shawe-Taylor, Smola and Williamson, "Estimating the support of a high-dimensional
distribution", Neural Computation 13 (2001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.svm import OneClassSVM as Machine

from monitor.detect.classical.neighbours import pull, surprise
from monitor.detect.classical.rows import TRIM, Shapes, stored
from monitor.detect.classical.whitened import WhitenedDetector
from monitor.errors import ConfigError
from monitor.types import Array, State


class OneClassSVM(WhitenedDetector):
    """Scores how little of the support vectors' Gaussian kernels reaches an example: the square
    root of -log of their weighted sum, about 1 if normal.

    That puts examples into the order of the machine's decision function, and goes on where the
    function itself is flat, far outside. `nu` is the share of the training examples that may lie
    outside the border, `gamma` the narrowness of the kernels for whitened examples, times 1 / d.
    It learns from `most` training examples. Raises ConfigError for values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        nu: float = 0.05,
        gamma: float = 1.0,
        trim: float = TRIM,
        most: int = 2000,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, trim=trim, most=most, seed=seed)
        if not isinstance(nu, int | float) or not 1e-3 <= nu <= 0.9:
            raise ConfigError(f"nu is {nu!r}; numbers from 0.001 to 0.9 are valid")
        if not isinstance(gamma, int | float) or not 1e-3 <= gamma <= 1e3:
            raise ConfigError(f"gamma is {gamma!r}; numbers from 0.001 to 1000 are valid")
        self.nu, self.gamma = nu, gamma

    def _learned_white(self, rows: Array) -> State:
        machine = Machine(gamma=self.gamma / self.size, nu=self.nu).fit(rows.astype(np.float64))
        weight = machine.dual_coef_[0]
        return stored(memory=machine.support_vectors_.T, log_weight=np.log(weight / weight.sum()))

    def _raw_white(self, arrays: State, rows: Array) -> Array:
        return np.sqrt(surprise(rows, *self._kernels(arrays)))

    def _off(self, arrays: State, rows: Array) -> Array:
        return pull(rows, *self._kernels(arrays))

    def _kept_white(self, state: State) -> Shapes:
        count = max(state["memory"].shape[1], 1)
        return {"memory": (self.size, count), "log_weight": (count,)}

    def _kernels(self, arrays: State) -> tuple[Array, Array, float]:
        """The support vectors, and the weights and narrowness of their kernels."""
        return arrays["memory"], arrays["log_weight"], self.gamma / self.size
