"""Drawn faces, with and without glasses: a set that is split by an attribute.

They are simulated. What varies among all of them: place, size and tilt of the head, skin, hair and
its length, distance and size of the eyes, the mouth, the light, and grain. What half of the judged
ones have besides is glasses, whose pixels are known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.offline.reproduce.image_sets import ImageSet, Pixels

SIDE = 48
TRAINED, JUDGED = 1500, 250
GRAIN = 3.0

Plane = NDArray[np.float64]
Mask = NDArray[np.bool_]


def faces(trained: int = TRAINED, judged: int = JUDGED, seed: int = 0) -> ImageSet:
    """Faces without glasses to learn from; to judge, as many others without as with."""
    random = np.random.default_rng(seed)
    plain = [face(random) for _ in range(trained + judged)]
    worn = [face(random, glasses=True) for _ in range(judged)]
    shown = np.stack([picture for picture, _ in [*plain, *worn]])[:, None]
    masks = np.stack([mask for _, mask in [*plain[trained:], *worn]])
    classes = ["plain"] * judged + ["glasses"] * judged
    normal = frozenset({"plain"})
    return ImageSet("faces", shown[:trained], shown[trained:], classes, normal, masks)


def face(random: np.random.Generator, *, glasses: bool = False) -> tuple[Pixels, Mask]:
    """One face `(48, 48)`, and where its glasses are."""
    u, v = _on_head(random)
    eyes, size = random.uniform(0.3, 0.42), random.uniform(0.06, 0.09)
    picture = np.full(u.shape, random.uniform(20, 60))
    skin, hair = random.uniform(130, 220), random.uniform(20, 110)
    picture[(u / 1.12) ** 2 + ((v + 0.12) / random.uniform(1.1, 1.5)) ** 2 < 1] = hair
    picture[(u / 0.85) ** 2 + ((v - 0.1) / 1.02) ** 2 < 1] = skin
    for side in (-1, 1):
        eye = ((u - side * eyes) / 1.6) ** 2 + v**2
        picture[eye < (1.5 * size) ** 2] = 235
        picture[(u - side * eyes) ** 2 + v**2 < size**2] = 30
        brow = np.abs(v + 0.24 + 0.3 * (np.abs(u) - eyes) ** 2) < 0.035
        picture[brow & (np.abs(u - side * eyes) < 0.2)] = hair
    picture[(np.abs(u) < 0.07) & (np.abs(v - 0.3) < 0.06)] = 0.8 * skin
    bend = random.uniform(-0.6, 0.6)
    mouth = np.abs(v - 0.62 + bend * (u**2 - 0.05)) < random.uniform(0.03, 0.07)
    picture[mouth & (np.abs(u) < random.uniform(0.22, 0.34))] = 0.55 * skin
    mask = _frame_of_glasses(u, v, eyes, random) if glasses else np.zeros(u.shape, np.bool_)
    picture[mask] = random.uniform(10, 60) if glasses else 0
    return _photographed(picture, u, random), mask


def _on_head(random: np.random.Generator) -> tuple[Plane, Plane]:
    """Each pixel's place on the head: right and down, in half heads."""
    rows, columns = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE * 2 - 1
    scale, tilt = random.uniform(0.6, 0.75), np.deg2rad(random.uniform(-8, 8))
    right, down = random.uniform(-0.08, 0.08, 2)
    x, y = (columns - right) / scale, (rows - down) / scale
    return np.cos(tilt) * x + np.sin(tilt) * y, np.cos(tilt) * y - np.sin(tilt) * x


def _frame_of_glasses(u: Plane, v: Plane, eyes: float, random: np.random.Generator) -> Mask:
    """Two round or square rims, a bridge, and the ends of the temples."""
    radius, width = random.uniform(0.2, 0.27), random.uniform(0.05, 0.08)
    square = random.random() < 0.5
    worn = (np.abs(v) < width / 2) & (np.abs(u) < 0.85) & (np.abs(u) > eyes + radius)
    worn |= (np.abs(v) < width / 2) & (np.abs(u) < eyes - radius)
    for side in (-1, 1):
        x = u - side * eyes
        far = np.maximum(np.abs(x), np.abs(v)) if square else np.hypot(x, v)
        worn |= np.abs(far - radius) < width / 2
    return np.asarray(worn)


def _photographed(picture: Plane, u: Plane, random: np.random.Generator) -> Pixels:
    """With light from one side, and grain."""
    light = 1 + random.uniform(-0.2, 0.2) * np.clip(u, -1, 1)
    seen = picture * light + random.normal(0, GRAIN, picture.shape)
    return np.clip(seen, 0, 255).astype(np.uint8)
