"""What is streamed: many sensors, each with a window of 256 samples every second.

Window `i` is the same for whoever asks: its sensor, start and samples follow from its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from monitor.stream.codec import encode_float32
from monitor.types import Array, Partition, Record, Samples, Slots

STREAM = "bench"
PARTITION = Partition(STREAM, 0)
LENGTH = RATE = 256
BEGIN = 1_700_000_000.0
_SEED = 20240
_HARMONICS = 4


class Item(NamedTuple):
    """One window of the stream, not yet encoded; `sensor` is a number, `shape` its samples' place
    in the pool.
    """

    number: int
    sensor: int
    shape: int
    start: float


@dataclass(frozen=True)
class Workload:
    """`sensors` machines that share a pool of `pool` different windows, all normal."""

    sensors: int
    pool: int

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the sensors."""
        return tuple(f"machine-{number:04d}" for number in range(self.sensors))

    @cached_property
    def windows(self) -> Array:
        """The pool `(P, 1, 256)`."""
        return simulated(np.random.default_rng(_SEED), self.pool)

    def training(self, windows: int) -> Mapping[str, Array]:
        """Other windows of the same kind for up to 16 of the sensors, `(n, 1, 256)` each."""
        rng = np.random.default_rng(_SEED + 1)
        names = self.names[:16]
        return {name: simulated(rng, -(-windows // len(names))) for name in names}

    def items(self, begin: int, count: int) -> Iterator[Item]:
        """Windows from number `begin` on: every second each sensor once, in random order."""
        number, end = begin, begin + count
        while number < end:
            second, place = divmod(number, self.sensors)
            order, shapes = self._second(second)
            for sensor, shape in zip(order[place:], shapes[place:], strict=True):
                if number == end:
                    return
                yield Item(number, sensor, shape, BEGIN + second)
                number += 1

    def record(self, item: Item) -> Record:
        """The window as a binary message."""
        name = self.names[item.sensor]
        value = encode_float32(Samples(name, item.start, self.windows[item.shape]))
        return Record(PARTITION, item.number, name.encode(), item.start + 1.0, value)

    def text(self, item: Item) -> bytes:
        """The same window as JSON; numbers are as short as they can be without loss."""
        head = f'{{"sensor":"{self.names[item.sensor]}","time":{item.start},"values":['
        return head.encode() + self._texts[item.shape] + b"]}"

    @cached_property
    def _texts(self) -> list[bytes]:
        """Each window of the pool as the shortest decimals that give the same float32 back."""
        return [",".join(map(str, window[0])).encode() for window in self.windows]

    def _second(self, second: int) -> tuple[list[int], list[int]]:
        rng = np.random.default_rng((_SEED, second))
        shapes: Slots = rng.integers(self.pool, size=self.sensors)
        return rng.permutation(self.sensors).tolist(), shapes.tolist()


def simulated(rng: np.random.Generator, count: int) -> Array:
    """Vibration of a healthy machine: harmonics of a shaft whose speed varies a little, and noise;
    `(count, 1, 256)`.
    """
    t = np.arange(LENGTH) / RATE
    speed = rng.uniform(19, 21, (count, 1, 1))
    orders = np.arange(1, _HARMONICS + 1)
    phases = rng.uniform(0, 2 * np.pi, (count, _HARMONICS, 1))
    gains = rng.uniform(0.8, 1.2, (count, _HARMONICS, 1)) / orders[:, None]
    waves = gains * np.sin(2 * np.pi * speed * orders[:, None] * t + phases)
    noise = 0.2 * rng.standard_normal((count, LENGTH))
    return np.asarray((waves.sum(1) + noise)[:, None], np.float32)
