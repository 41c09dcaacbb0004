"""Simulated cameras over conveyors: a picture of each part that passes, faults, and their pixels.

cameras = Cameras(seed=1, count=2, size=(224, 224))
for shot in cameras.frames(0.0, 60.0): ...                                # in good order
for shot in cameras.only("scratch", 100.0, 130.0).frames(100.0, 130.0): ...  # a test set
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BytesIO
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monitor.errors import ConfigError
from simulators.conveyor import DESIGNS, Plane, Scene
from simulators.defects import DEFECTS, FROZEN, KINDS, Mask, Sight
from simulators.faults import Fault
from simulators.noise import key_of, uniform, white
from simulators.plan import Plan, Sensors, planned

Picture = NDArray[np.uint8]
GRAIN = 2.5  # standard deviation of the sensor's noise, in steps of 255
SHIFT, TURN, SWAY = 0.03, 3.0, 0.03  # of parts (half short sides, degrees) and of the light
BELT_SPEED = 0.9  # widths of the picture in a second
_LOTS = 16
_NOISE = 1 << 20


class Shot(NamedTuple):
    """One picture `(H, W, 3)` with the pixels `(H, W)` that show its fault.

    `label` is 1 where there is one, also where no pixel tells, as with a frozen camera; `fault` is
    its kind or "".
    """

    sensor: str
    time: float
    picture: Picture
    mask: Mask
    label: int
    fault: str


@dataclass(frozen=True)
class Cameras:
    """`count` cameras, each over a conveyor of its own, that send `rate` frames/s of `size` (width,
    height) pixels from `start` (s since the epoch) on.

    The same seed gives the same parts, pictures and faults, in any pieces. Raises ConfigError for
    a size, rate or fault that is not possible.
    """

    seed: int = 0
    count: int = 1
    size: tuple[int, int] = (224, 224)
    rate: float = 1.0
    start: float = 0.0
    faults: tuple[Fault, ...] = ()
    views: dict[str, View] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.count < 1 or not self.rate > 0 or min(self.size) < 16 or max(self.size) > 4096:
            raise ConfigError(
                f"{self.count} cameras of {self.size[0]} x {self.size[1]} pixels at {self.rate:g} "
                "frames/s: valid are 1 or more, 16 to 4096 a side, more than 0"
            )
        names = [f"camera-{number}" for number in range(1, self.count + 1)]
        made = {name: View(self.seed, number, self.size) for number, name in enumerate(names)}
        object.__setattr__(self, "views", made)
        for fault in self.faults:
            if fault.sensor not in made:
                raise ConfigError(f"fault of {fault.sensor!r}: valid are {', '.join(made)}")
            if fault.kind not in KINDS:
                raise ConfigError(f"fault {fault.kind!r}: valid are {', '.join(KINDS)}")

    @property
    def sensors(self) -> tuple[str, ...]:
        """The names of the cameras."""
        return tuple(self.views)

    def with_faults(self, begin: float, end: float, plan: Plan | None = None) -> Cameras:
        """The same with faults planned between two times. ConfigError if they do not fit."""
        sensors = Sensors("camera", self.sensors, KINDS)
        random = np.random.default_rng([self.seed, 98])
        return replace(self, faults=tuple(planned(sensors, (begin, end), plan or Plan(), random)))

    def only(self, kind: str, begin: float, end: float, severity: float = 1.0) -> Cameras:
        """The same with nothing but one fault, which each camera has between two times."""
        made = [Fault(kind, sensor, begin, end, (), severity) for sensor in self.sensors]
        return replace(self, faults=tuple(made))

    def frame(self, sensor: str, time: float) -> Shot:
        """The picture that a camera took last by a time."""
        number = int(np.floor(round((time - self.start) * self.rate, 6)))
        taken = self.start + number / self.rate
        fault = self._fault(sensor, taken)
        if fault is None:
            picture, mask = self.views[sensor].seen(number, number / self.rate)
            return Shot(sensor, taken, picture, mask, 0, "")
        if fault.kind == FROZEN:
            before = replace(self, faults=()).frame(sensor, fault.start)
            return before._replace(time=taken, label=1, fault=FROZEN)
        progress = (taken - fault.start) / (fault.end - fault.start)
        spoil = fault.kind, progress, fault.severity
        picture, mask = self.views[sensor].seen(number, number / self.rate, spoil)
        return Shot(sensor, taken, picture, mask, 1, fault.kind)

    def frames(self, begin: float, end: float) -> Iterator[Shot]:
        """What all cameras send from one time up to another, in the order of time."""
        first, last = (int(np.ceil(round((t - self.start) * self.rate, 6))) for t in (begin, end))
        for number in range(first, last):
            for sensor in self.sensors:
                yield self.frame(sensor, self.start + number / self.rate)

    def _fault(self, sensor: str, time: float) -> Fault | None:
        mine = (f for f in self.faults if f.sensor == sensor)
        return next((f for f in mine if f.start <= time < f.end), None)


class View:
    """What one camera sees; drawn when it is first looked through."""

    def __init__(self, seed: int, number: int, size: tuple[int, int]) -> None:
        self._key = key_of(seed, number, 7)
        self._design = sorted(DESIGNS)[number % len(DESIGNS)]
        self._size = size

    @cached_property
    def _scene(self) -> Scene:
        return Scene(self._key, self._design, self._size)

    @cached_property
    def _grain(self) -> Plane:
        count = max(_NOISE, 4 * self._size[0] * self._size[1])
        noise = white(self._key + 5, np.arange(count, dtype=np.int64))
        return (GRAIN * noise).astype(np.float32)

    def seen(
        self, number: int, time: float, spoil: tuple[str, float, float] | None = None
    ) -> tuple[Picture, Mask]:
        """Picture `number`, after the belt has run for `time` s, with a fault, how much of it is
        over, and its severity.
        """
        scene = self._scene
        lots = uniform(self._key, number * 2 * _LOTS + np.arange(2 * _LOTS, dtype=np.int64))
        u, v = _on_part(scene, lots)
        places = scene.looked_up(u, v)
        shown = scene.drawing.whole[places]
        below = scene.belt_at(BELT_SPEED * time)
        colours = shown[:, :, :3] + shown[:, :, 3:] * below
        mask = np.zeros(places.shape, np.bool_)
        if spoil is not None:
            kind, progress, severity = spoil
            rest = lots[_LOTS:].copy()
            rest[-1] = uniform(self._key + 6, np.zeros(1, np.int64))[0]  # the same in all pictures
            sight = Sight(scene, colours, below, u, v, places, rest, progress, severity)
            mask = DEFECTS[kind](sight)
        colours *= scene.light * np.float32(1 + SWAY * (2 * lots[3] - 1))
        return self._exposed(colours, lots[4]), mask

    def _exposed(self, colours: Plane, lot: float) -> Picture:
        """Pixels with the noise of the sensor."""
        first = int(lot * (len(self._grain) - colours.size))
        pixels = colours * np.float32(255)
        pixels += self._grain[first : first + colours.size].reshape(colours.shape)
        pixels += np.float32(0.5)
        return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


def _on_part(scene: Scene, lots: NDArray[np.float64]) -> tuple[Plane, Plane]:
    """The place on the part `(H, W)` that each pixel shows: no part lies quite as another."""
    right, down, turned = (2 * lots[:3] - 1) * (SHIFT, SHIFT, np.deg2rad(TURN))
    x, y = scene.x[None, :] - np.float32(right), scene.y[:, None] - np.float32(down)
    cos, sin = np.float32(np.cos(turned)), np.float32(np.sin(turned))
    return np.asarray(cos * x + sin * y), np.asarray(cos * y - sin * x)


def encoded(picture: Picture, form: Literal["jpeg", "png"] = "jpeg") -> bytes:
    """A picture as the value of a message."""
    file = BytesIO()
    if form == "jpeg":
        Image.fromarray(picture).save(file, "JPEG", quality=90)
    else:
        Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()
