"""A small fleet to train on: three sensors of different levels, two channels each."""

from __future__ import annotations

import numpy as np

from monitor.recipe import Recipe
from monitor.types import Array

SHAPE = (2, 32)
QUICK = {
    "conv_ae": {"epochs": 2, "widths": [8], "latent": 6},
    "deep_svdd": {"epochs": 2, "widths": [8], "latent": 6},
    "mahalanobis": {},
}


def recipe(detector: str = "mahalanobis", **changes: object) -> Recipe:
    """What to train, quickly."""
    plain = {
        "detector": detector,
        "name": "pumps",
        "shape": SHAPE,
        "channels": ("x", "y"),
        "rate": 100,
        "params": QUICK.get(detector, {}),
    }
    return Recipe(**{**plain, **changes})  # type: ignore[arg-type]


def windows(count: int, level: float = 0.0, seed: int = 0) -> Array:
    """`(count, 2, 32)` of noisy waves about a level."""
    random = np.random.default_rng(seed)
    wave = np.sin(np.arange(SHAPE[1]) / 3 + random.uniform(0, 6, (count, 2, 1)))
    return np.asarray(level + 3 * wave + random.normal(0, 0.5, wave.shape), np.float32)


def fleet(count: int = 60) -> dict[str, Array]:
    """Windows of three pumps."""
    return {f"pump-{i}": windows(count, 100.0 * i, seed=i) for i in range(3)}
