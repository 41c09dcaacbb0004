"""Examples for tests of the classical detectors, and what their scores are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.detect import build
from monitor.detect.classical.rows import standardised
from monitor.detect.classical.whitened import white
from monitor.types import Array

SHAPE = (2, 4)
TRAINED = ("gmm", "iforest", "kde", "knn", "lof", "ocsvm", "pca")
WHITENED = tuple(name for name in TRAINED if name != "pca")


def correlated(count: int, seed: int = 0) -> Array:
    """Examples whose numbers go together."""
    random = np.random.default_rng(seed)
    mix = np.eye(8) + np.random.default_rng(99).normal(0, 0.5, (8, 8))
    return np.asarray((random.normal(size=(count, 8)) @ mix + 5).reshape(count, *SHAPE), np.float32)


def two_modes(count: int, seed: int = 0) -> Array:
    """Two modes of operation, far apart, in turns of 25 examples."""
    random = np.random.default_rng(seed)
    mode = np.arange(count) // 25 % 2
    x = random.normal(0, 0.3, (count, *SHAPE)) + np.where(mode, 4.0, -4.0)[:, None, None]
    return np.asarray(x, np.float32)


def fitted(name: str, x: Array, **params: Any) -> Any:
    """A detector of the table that has learned from `x`."""
    made = build(name, x.shape[1:], **params)
    made.fit(x)
    return made


def whitened(detector: Any, x: Array) -> Array:
    """What a detector of whitened rows makes of examples: `(N, *shape) -> (N, d)`."""
    state = detector.state()
    return white(state, standardised(x.reshape(len(x), -1), state))
