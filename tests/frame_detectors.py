"""What is asked of every detector of the patches of frames: defects found, and where."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score

from monitor.detect import build
from monitor.types import Array
from simulators.cameras import Cameras, Shot

SIDE = 128
SHAPE = (3, SIDE, SIDE)
FAULTS = ("scratch", "missing_hole", "missing_screw", "foreign_object")
_CONVEYOR = Cameras(seed=3, size=(SIDE, SIDE))
_EACH = 5


class Found(NamedTuple):
    """AUROC of frames and of pixels."""

    image: float
    pixel: float


def frames(shots: list[Shot]) -> Array:
    """Pictures as a detector sees them: `(N, 3, SIDE, SIDE)` in about -1 to 1."""
    pictures = np.stack([shot.picture for shot in shots]).astype(np.float32)
    return np.ascontiguousarray(((pictures - 127) / 128).transpose(0, 3, 1, 2))


@cache
def learned() -> Array:
    """A minute of parts in good order."""
    return frames(list(_CONVEYOR.frames(0, 60)))


@cache
def shown() -> tuple[Array, Array]:
    """Later frames, and their pixels with faults: good ones, and some with each fault."""
    shots = list(_CONVEYOR.frames(100, 100 + _EACH * len(FAULTS)))
    for fault in FAULTS:
        shots += _CONVEYOR.only(fault, 200, 200 + _EACH).frames(200, 200 + _EACH)
    return frames(shots), np.stack([shot.mask for shot in shots]).astype(np.float32)


def made(name: str, **params: Any) -> Any:
    """One with a small memory."""
    return build(name, SHAPE, **({"memory": 300} if name == "patchcore" else {}), **params)


@cache
def trained(name: str) -> Any:
    """One that has learned; the caller must not change it."""
    detector = made(name)
    detector.fit(learned())
    return detector


def found_by(detector: Any) -> Found:
    """How well it tells parts with faults, and the pixels of faults, from others."""
    x, masks = shown()
    labels = masks.any(axis=(1, 2))
    pixel = roc_auc_score(masks.ravel(), detector.heat_maps(x).ravel())
    return Found(float(roc_auc_score(labels, detector.score(x))), float(pixel))


def shuffled(detector: Any) -> Found:
    """The same with scores that have nothing to do with the frames."""
    random = np.random.default_rng(0)

    class Chance:
        def score(self, x: Array) -> Array:
            return np.asarray(random.permutation(detector.score(x)))

        def heat_maps(self, x: Array) -> Array:
            return np.asarray(random.permutation(detector.heat_maps(x).ravel()))

    return found_by(Chance())


def spoiled() -> Array:
    """The training frames with a fault in two of them."""
    x = learned().copy()
    x[[20, 40]] = shown()[0][-2:]
    return x
