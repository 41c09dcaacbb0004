"""Small pictures of a textured plate with a hole, and what may be wrong with it."""

from __future__ import annotations

import numpy as np

from monitor.types import Array

SIDE = 32


def plates(count: int, seed: int = 0, side: int = SIDE) -> Array:
    """Plates with stripes of any phase, a hole at about the same place, and grain, in about -1 to
    1: `(count, 1, side, side)`.
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] * (SIDE / side)
    phase = random.uniform(0, 2 * np.pi, (count, 1, 1))
    picture = 0.3 * np.sin(rows * 0.9 + phase) + 0.2
    middle = random.normal((20, 12), 0.7, (count, 2))[:, :, None, None]
    hole = (rows - middle[:, 0]) ** 2 + (columns - middle[:, 1]) ** 2 < 25
    picture = np.where(hole, -0.8, picture) + random.normal(0, 0.05, (count, side, side))
    return picture[:, None].astype(np.float32)


def scratched(x: Array, seed: int = 1) -> tuple[Array, Array]:
    """The same plates with a bright scratch in each, and where: `(N, 1, H, W), (N, H, W)`."""
    random = np.random.default_rng(seed)
    side = x.shape[2]
    mask = np.zeros((len(x), side, side), bool)
    for n in range(len(x)):
        top, left = random.integers(1, side // 2, 2)
        for step in range(side // 3):
            mask[n, top + step, left + step // 2 : left + step // 2 + 2] = True
    return np.where(mask[:, None], np.float32(0.9), x).astype(np.float32), mask


def without_hole(count: int, seed: int = 2) -> Array:
    """Plates whose hole was not punched: `(count, 1, SIDE, SIDE)`."""
    random = np.random.default_rng(seed)
    rows = np.mgrid[:SIDE, :SIDE][0]
    phase = random.uniform(0, 2 * np.pi, (count, 1, 1))
    picture = 0.3 * np.sin(rows * 0.9 + phase) + 0.2
    picture = picture + random.normal(0, 0.05, (count, SIDE, SIDE))
    return np.asarray(picture[:, None], np.float32)
