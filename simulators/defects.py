"""What can go wrong before a camera, and with it; each picture's pixels that show it are known.

At severity 1:

    scratch         a curved line across the metal, half as long as the part
    missing_hole    one hole was not drilled
    missing_screw   one screw is not there: its smaller hole is
    foreign_object  a nut, a chip of wood, a plastic cap or a bit of cable lies on belt or part
    lighting        the light grows weaker by up to a third, most on one side, in the first quarter
    occlusion       an arm in a glove reaches in and covers a third of the picture
    covered         something is before the lens: a dim picture without contents
    dark            the light is off
    frozen          the camera sends the same picture again and again

The first four are of the parts: each picture has another one, at another place. Severity multiplies
width and contrast of scratches, the size of objects, the loss of light; the others know none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.conveyor import Plane, Scene, Spot, covered
from simulators.noise import Floats

Mask = NDArray[np.bool_]
GROWTH = 0.25
OBJECTS = np.array(
    [[0.40, 0.41, 0.43], [0.62, 0.47, 0.30], [0.16, 0.34, 0.62], [0.60, 0.17, 0.15]], np.float32
)
GLOVE = np.array([0.52, 0.40, 0.26], np.float32)
CLOTH = np.array([0.17, 0.16, 0.15], np.float32)
VISIBLE = 0.3


class Sight(NamedTuple):
    """A picture in the making: `colours` `(H, W, 3)`, 0 to 1, are changed in place. `u`, `v` are
    places on the part, `places` where its drawing was looked up, `below` the belt; `lots` are this
    picture's random numbers in (0, 1), `progress` how much of the fault is over.
    """

    scene: Scene
    colours: Plane
    below: Plane
    u: Plane
    v: Plane
    places: NDArray[np.int64]
    lots: Floats
    progress: float
    severity: float

    def paint(self, share: Plane, colour: Plane) -> Mask:
        """Lay a colour over so large a share of each pixel; the mask is where it can be seen."""
        self.colours[:] += share[:, :, None] * (colour - self.colours)
        return np.asarray(share > VISIBLE)


def _scratch(sight: Sight) -> Mask:
    metal, lots, severity = sight.scene.drawing.metal, sight.lots, sight.severity
    middle = metal[int(lots[0] * len(metal))]
    angle, bend = np.float32(np.pi * lots[1]), np.float32(lots[2] - 0.5)
    half = np.float32(0.25 + 0.2 * lots[3])
    right, down = sight.u - middle[0], sight.v - middle[1]
    along = np.cos(angle) * right + np.sin(angle) * down
    across = np.cos(angle) * down - np.sin(angle) * right - bend * along**2
    width = np.float32(max(0.012 * severity, 0.5 * sight.scene.pixel))
    line = np.maximum(np.abs(across) - width, np.abs(along) - half)
    face = sight.scene.drawing.whole[:, 3][sight.places] < 0.02
    share = covered(line, sight.scene.pixel) * face
    bright = np.float32(1 + min(1.0, 0.35 * severity)) * sight.colours
    return sight.paint(share, np.where(across[:, :, None] > 0, bright, 0.7 * sight.colours))


def _missing_hole(sight: Sight) -> Mask:
    spot = _one_of(sight.scene.design.holes, sight.lots[0])
    bare = sight.scene.drawing.bare[sight.places][:, :, :3]
    return sight.paint(_round(sight, spot, 1.3), bare)


def _missing_screw(sight: Sight) -> Mask:
    spot = _one_of(sight.scene.design.screws, sight.lots[0])
    bare = sight.scene.drawing.bare[sight.places][:, :, :3]
    mask = sight.paint(_round(sight, spot, 1.1), bare)
    sight.paint(_round(sight, spot, 0.6), 0.3 * sight.below)
    return mask


def _foreign_object(sight: Sight) -> Mask:
    lots, scene = sight.lots, sight.scene
    right = scene.x[None, :] - np.float32(1.5 * (lots[0] - 0.5))
    down = scene.y[:, None] - np.float32(1.5 * (lots[1] - 0.5))
    angle = np.float32(np.pi * lots[2])
    size = np.sqrt(sight.severity)
    long, short = (np.float32(size * each) for each in (0.09 + 0.08 * lots[3], 0.06))
    along = np.cos(angle) * right + np.sin(angle) * down
    across = np.cos(angle) * down - np.sin(angle) * right
    kind = int(lots[4] * len(OBJECTS))
    if kind == 0:  # a nut: six edges and a hole
        edge = np.maximum(np.abs(across), np.float32(0.866) * np.abs(along) + 0.5 * np.abs(across))
        outside = np.maximum(edge - 0.8 * long, 0.4 * long - np.hypot(along, across))
    else:
        far = np.hypot(along / long, across / short)
        outside = (far - 1) * short
    shade = np.float32(0.9) - np.float32(1.5) * (right + down)
    return sight.paint(covered(outside, scene.pixel), shade[:, :, None] * OBJECTS[kind])


def _lighting(sight: Sight) -> Mask:
    grown = min(1.0, sight.progress / GROWTH)
    side = 2 * np.pi * float(sight.lots[-1])
    towards = np.cos(side) * sight.scene.x[None, :] + np.sin(side) * sight.scene.y[:, None]
    loss = np.clip(grown * sight.severity * (0.22 + 0.15 * towards), 0, 0.95)
    sight.colours[:] *= (1 - loss)[:, :, None].astype(np.float32)
    return np.asarray(loss > 0.05)


def _occlusion(sight: Sight) -> Mask:
    scene, lots = sight.scene, sight.lots
    side = 2 * np.pi * lots[0]
    right, down = np.float32(np.cos(side)), np.float32(np.sin(side))
    along = right * scene.x[None, :] + down * scene.y[:, None]
    across = right * scene.y[:, None] - down * scene.x[None, :] - np.float32(0.6 * lots[1] - 0.3)
    reach = np.maximum(np.float32(0.3 * lots[2] - 0.1) - along, 0)
    outside = np.hypot(across, reach) - np.float32(0.38)
    fold = 1 - np.float32(0.9) * across**2 + np.float32(0.06) * np.sin(along * 25 + 3 * across)
    cloth = (fold[:, :, None] * GLOVE).astype(np.float32)
    return sight.paint(covered(outside, 2 * scene.pixel), cloth)


def _covered(sight: Sight) -> Mask:
    sight.colours[:] = CLOTH
    return np.ones(sight.u.shape, np.bool_)


def _dark(sight: Sight) -> Mask:
    sight.colours[:] *= np.float32(0.02)
    return np.ones(sight.u.shape, np.bool_)


def _one_of(spots: tuple[Spot, ...], lot: float) -> Spot:
    return spots[int(lot * len(spots))]


def _round(sight: Sight, spot: Spot, times: float) -> Plane:
    """How much of each pixel lies in a circle round a spot of the part."""
    away = np.hypot(sight.u - np.float32(spot.u), sight.v - np.float32(spot.v))
    return covered(away - np.float32(times * spot.radius), sight.scene.pixel)


DEFECTS: dict[str, Callable[[Sight], Mask]] = {
    "scratch": _scratch,
    "missing_hole": _missing_hole,
    "missing_screw": _missing_screw,
    "foreign_object": _foreign_object,
    "lighting": _lighting,
    "occlusion": _occlusion,
    "covered": _covered,
    "dark": _dark,
}
FROZEN = "frozen"
KINDS = (*DEFECTS, FROZEN)
