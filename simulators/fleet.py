"""Many machines, a plan of what goes wrong with each, and their samples for any stretch of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError
from monitor.types import Samples
from simulators.faults import Fault, inject
from simulators.plan import Plan, Sensors, planned
from simulators.signals import MACHINES, Machine
from simulators.sounds import SOUNDS

__all__ = ["Fleet", "Plan"]


@dataclass(frozen=True)
class Fleet:
    """`count` machines of one kind at `rate` Hz, in operation from `start` (s since the epoch) on.

    The same seed gives the same machines, samples and faults, on any computer and in any pieces.
    Raises ConfigError for a kind, rate or fault that is not possible.
    """

    seed: int = 0
    count: int = 6
    kind: str = "rotor"
    rate: float = 128.0
    start: float = 0.0
    faults: tuple[Fault, ...] = ()
    machines: dict[str, Machine] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"machines: {self.count}: one or more are valid")
        made = {
            f"{self.kind}-{number}": _machine(self.kind, self.seed, number, self.rate)
            for number in range(1, self.count + 1)
        }
        object.__setattr__(self, "machines", made)
        for fault in self.faults:
            if fault.sensor not in made:
                raise ConfigError(f"fault of {fault.sensor!r}: valid are {', '.join(made)}")

    @property
    def sensors(self) -> tuple[str, ...]:
        """The names of the machines."""
        return tuple(self.machines)

    @property
    def channels(self) -> tuple[str, ...]:
        """What is measured on each of them."""
        return next(iter(self.machines.values())).channels

    def with_faults(self, begin: float, end: float, plan: Plan | None = None) -> Fleet:
        """The same fleet with faults planned between two times. ConfigError if they do not fit."""
        return replace(self, faults=tuple(_planned(self, begin, end, plan or Plan())))

    def chunk(self, sensor: str, begin: float, end: float) -> Samples:
        """Everything of one machine from `begin` up to `end`; NaN where nothing is measured."""
        first, last = self._number(begin), self._number(end)
        place = np.arange(first, last, dtype=np.int64)
        made = self.machines[sensor]
        data = made.signal(place) if len(place) else np.zeros((len(made.channels), 0))
        for fault in self.faults:
            if fault.sensor == sensor and fault.touches(begin, end):
                inject(fault, made, self.start, place, data)
        return Samples(sensor, self.start + first / self.rate, data.astype(np.float32))

    def labels(self, sensor: str, begin: float, end: float) -> NDArray[np.int8]:
        """`(n,)`: 1 for each sample of `chunk` that lies in a fault, else 0."""
        first, last = self._number(begin), self._number(end)
        time = self.start + np.arange(first, last) / self.rate
        marked = np.zeros(len(time), np.int8)
        for fault in self.faults:
            if fault.sensor == sensor:
                marked[(time >= fault.start) & (time < fault.end)] = 1
        return marked

    def samples(self, begin: float, end: float, seconds: float = 0.5) -> Iterator[Samples]:
        """What all machines send between two times, in time order, `seconds` a message.

        Where nothing is measured nothing is sent.
        """
        steps = np.append(np.arange(begin, end, seconds), end)
        for a, b in pairwise(steps):
            for sensor in self.sensors:
                yield from _measured(self.chunk(sensor, float(a), float(b)), self.rate)

    def _number(self, time: float) -> int:
        """The first sample at or after a time."""
        return int(np.ceil(round((time - self.start) * self.rate, 6)))


def _machine(kind: str, seed: int, number: int, rate: float) -> Machine:
    known: dict[str, Callable[[int, int, float], Machine]] = {**MACHINES, **SOUNDS}
    if kind not in known:
        raise ConfigError(f"machine kind {kind!r}: valid are {', '.join(known)}")
    return known[kind](seed, number, rate)


def _measured(samples: Samples, rate: float) -> Iterator[Samples]:
    """The parts in which at least one channel has a value."""
    there = np.any(~np.isnan(samples.data), axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], there, [0]))))
    for first, last in edges.reshape(-1, 2):
        start = samples.start + float(first) / rate
        yield samples._replace(start=start, data=samples.data[:, first:last])


def _planned(fleet: Fleet, begin: float, end: float, plan: Plan) -> Iterator[Fault]:
    random = np.random.default_rng([fleet.seed, 99])
    kinds = next(iter(fleet.machines.values())).kinds
    sensors = Sensors(fleet.kind, fleet.sensors, kinds)
    for fault in planned(sensors, (begin, end), plan, random):
        channels = _channels(fault.kind, fleet.machines[fault.sensor], random)
        yield replace(fault, channels=channels)


def _channels(kind: str, made: Machine, random: np.random.Generator) -> tuple[str, ...]:
    """Where a fault shows: machinery in all vibration, a sensor's own fault in one or two."""
    if kind == "dropout":
        return made.channels
    if kind in ("bearing_impacts", "imbalance"):
        return tuple(name for name in made.channels if name.startswith("vibration"))
    lively = [name for name in made.channels if kind != "stuck" or name != "temperature"]
    return tuple(lively[i] for i in sorted(random.permutation(len(lively))[:2]))
