"""What a camera over a conveyor sees in good order: a woven belt, and metal parts with holes and
screws.

Places on a part are `(u, v)` in half short sides of the picture, from the part's middle, to the
right and down. Each part is drawn once, at twice the camera's resolution; a picture looks its
pixels up there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.noise import uniform, white

Plane = NDArray[np.float32]
EXTENT = 1.05
FINENESS = 2.0
METAL = np.array([0.60, 0.62, 0.65], np.float32)
BRASS = np.array([0.66, 0.53, 0.27], np.float32)
RUBBER = np.array([0.20, 0.24, 0.22], np.float32)
LIGHT = (-0.6, -0.8)


class Spot(NamedTuple):
    """A hole or a screw of a part."""

    u: float
    v: float
    radius: float


class Design(NamedTuple):
    """A kind of part: how far places are outside its edge (less than 0 inside), and what it has."""

    outside: Callable[[Plane, Plane], Plane]
    holes: tuple[Spot, ...]
    screws: tuple[Spot, ...]
    turned: bool  # rather than brushed


def _disc(u: Plane, v: Plane) -> Plane:
    return np.asarray(np.hypot(u, v) - np.float32(0.66), np.float32)


def _plate(u: Plane, v: Plane) -> Plane:
    """A rectangle with round corners."""
    beyond_u = np.abs(u) - np.float32(0.72 - 0.14)
    beyond_v = np.abs(v) - np.float32(0.50 - 0.14)
    corner = np.hypot(np.maximum(beyond_u, 0), np.maximum(beyond_v, 0))
    return np.asarray(corner + np.minimum(np.maximum(beyond_u, beyond_v), 0) - np.float32(0.14))


def _around(first: float) -> tuple[Spot, ...]:
    """Three places on a circle."""
    angles = first + np.arange(3) * 2 * np.pi / 3
    return tuple(Spot(0.43 * np.cos(a), 0.43 * np.sin(a), 0.085) for a in angles.tolist())


DESIGNS = {
    "disc": Design(_disc, (Spot(0.0, 0.0, 0.18), *_around(0.0)), _around(np.pi / 3), turned=True),
    "bracket": Design(
        _plate,
        (Spot(-0.5, -0.3, 0.09), Spot(0.5, 0.3, 0.09), Spot(0.0, 0.0, 0.15)),
        (Spot(0.5, -0.3, 0.09), Spot(-0.5, 0.3, 0.09)),
        turned=False,
    ),
}


class Drawing(NamedTuple):
    """A part as it is looked up, `(places, 4)`: red, green, blue of what is seen, and how much of
    the belt below. `bare` is without holes and screws, `metal` the places `(n, 2)` of its face.
    """

    whole: Plane
    bare: Plane
    metal: Plane
    side: int


class Scene:
    """One camera's conveyor; `size` is (width, height). The same key makes the same scene."""

    def __init__(self, key: int, design: str, size: tuple[int, int]) -> None:
        width, height = size
        self.design = DESIGNS[design]
        self.pixel = 2.0 / min(size)
        self.x = (np.arange(width, dtype=np.float32) + np.float32(0.5 - width / 2)) * self.pixel
        self.y = (np.arange(height, dtype=np.float32) + np.float32(0.5 - height / 2)) * self.pixel
        self.drawing = _drawn(key, self.design, min(size))
        self.belt = _woven(key + 1, size)
        far = self.x[None, :] ** 2 + self.y[:, None] ** 2
        self.light = (1.06 - np.float32(0.12) * far / far.max())[:, :, None].astype(np.float32)

    def looked_up(self, u: Plane, v: Plane) -> NDArray[np.int64]:
        """The places `(H, W)` of the drawing that `(u, v)` show."""
        side = self.drawing.side
        to_place = np.float32(side / (2 * EXTENT))
        row, column = ((a * to_place + np.float32(side / 2)).astype(np.int64) for a in (v, u))
        return np.clip(row, 0, side - 1) * side + np.clip(column, 0, side - 1)

    def belt_at(self, travelled: float) -> Plane:
        """The belt `(H, W, 3)` after it has moved so many pictures' widths."""
        period = self.belt.shape[1]
        first = int(travelled * len(self.x)) % period
        columns = (first + np.arange(len(self.x))) % period
        return np.asarray(np.take(self.belt, columns, axis=1)[:, :, None] * RUBBER)


def covered(outside: Plane, pixel: float) -> Plane:
    """How much of each pixel a shape covers whose edge is so far away."""
    return np.asarray(np.clip(np.float32(0.5) - outside / np.float32(pixel), 0, 1), np.float32)


def _drawn(key: int, design: Design, short: int) -> Drawing:
    side = int(np.ceil(EXTENT * short * FINENESS))
    line = ((np.arange(side) + 0.5) * (2 * EXTENT / side) - EXTENT).astype(np.float32)
    u, v = np.meshgrid(line, line)
    pixel = 2.0 / short
    outside = design.outside(u, v)
    inside = covered(outside, pixel)[:, :, None]
    bare = np.zeros((side, side, 4), np.float32)
    behind = design.outside(u - np.float32(0.04), v - np.float32(0.06)) / np.float32(3)
    bare[:, :, 3] = 1 - 0.45 * covered(np.asarray(behind), pixel * 2)  # shadow
    face = _face(key, design, (u, v), outside)
    bare[:, :, :3] = inside * face
    bare[:, :, 3] *= 1 - inside[:, :, 0]
    whole = bare.copy()
    for spot in design.holes:
        _drill(whole, (u, v), spot, pixel)
    for spot in design.screws:
        _screw(whole, (u, v), spot, pixel)
    plain = (outside < -0.08) & (np.abs(whole - bare).max(axis=2) == 0)
    metal = np.stack([u[plain], v[plain]], axis=1)
    return Drawing(whole.reshape(-1, 4), bare.reshape(-1, 4), metal, side)


def _face(key: int, design: Design, places: tuple[Plane, Plane], outside: Plane) -> Plane:
    """Worked metal, brighter on edges that face the light."""
    u, v = places
    along = np.hypot(u, v) if design.turned else v
    lines = white(key + 2, np.arange(256)).astype(np.float32)
    grain = np.float32(0.03) * lines[(along * 90 + 128).astype(np.int64) % 256]
    down, right = np.gradient(outside)
    steep = np.hypot(down, right) + np.float32(1e-9)
    facing = (right * LIGHT[0] + down * LIGHT[1]) / steep
    edge = np.exp(-((outside / np.float32(0.035)) ** 2)) * facing
    return np.asarray((1 + grain + np.float32(0.25) * edge)[:, :, None] * METAL, np.float32)


def _drill(drawn: Plane, places: tuple[Plane, Plane], spot: Spot, pixel: float) -> None:
    """A hole: a bright rim, and the belt in the dark below."""
    away = np.hypot(places[0] - spot.u, places[1] - spot.v) - spot.radius
    drawn[:, :, :3] *= (1 + 0.15 * np.exp(-((away / np.float32(0.02)) ** 2)))[:, :, None]
    open_ = covered(away, pixel)[:, :, None]
    drawn *= 1 - open_
    drawn[:, :, 3] += 0.35 * open_[:, :, 0]


def _screw(drawn: Plane, places: tuple[Plane, Plane], spot: Spot, pixel: float) -> None:
    """A brass head with a cross in it."""
    right, down = places[0] - spot.u, places[1] - spot.v
    away = np.hypot(right, down) - spot.radius
    shade = 1 + np.float32(0.8) * (right * LIGHT[0] + down * LIGHT[1])
    arms = np.minimum(np.abs(right + down), np.abs(right - down)) / np.float32(1.414) - 0.012
    cross = np.maximum(arms, away + np.float32(0.3 * spot.radius))
    shade *= 1 - np.float32(0.6) * covered(cross, pixel)
    head = covered(away, pixel)[:, :, None]
    drawn[:, :, :3] += head * (shade[:, :, None] * BRASS - drawn[:, :, :3])


def _woven(key: int, size: tuple[int, int]) -> Plane:
    """A belt four pictures long `(H, 4 W)`, which joins where it ends: ribs, threads and dirt."""
    width, height = size
    length = 4 * width
    rib = 2 * np.pi * round(64 * length / (4 * min(size))) / length
    column, row = np.arange(length) * rib, np.arange(height)[:, None] * rib
    ribs = np.sin(column + row) * np.sin(column - row)
    places = np.arange(height * length, dtype=np.int64)
    threads = (uniform(key, places) - 0.5).reshape(height, length)
    coarse = white(key + 3, np.arange(6 * 24)).reshape(6, 24)
    dirt = np.repeat(np.repeat(coarse, -(-length // 24), axis=1), -(-height // 6), axis=0)
    made = 1 + 0.12 * ribs + 0.16 * threads + 0.03 * _smoothed(dirt[:height, :length], width // 8)
    return made.astype(np.float32)


def _smoothed(plane: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """The mean over `reach` neighbours in both directions, round the ends."""
    for axis in (0, 1):
        steps = range(-(reach // 2), reach // 2 + 1)
        plane = np.mean([np.roll(plane, step, axis) for step in steps], axis=0)
    return plane
