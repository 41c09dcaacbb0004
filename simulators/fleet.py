"""Many machines, a plan of what goes wrong with each, and their samples for any stretch of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, pairwise

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError
from monitor.types import Samples
from simulators.faults import Fault, inject
from simulators.signals import Machine, machine


@dataclass(frozen=True, slots=True)
class Plan:
    """How many faults each machine gets, how long they last and how long it recovers (s).

    `kinds` limits what happens; empty means all that the machines can have.
    """

    per_machine: int = 1
    shortest: float = 15.0
    longest: float = 25.0
    recovery: float = 20.0
    severity: float = 1.0
    kinds: tuple[str, ...] = ()


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
            f"{self.kind}-{number}": machine(self.kind, self.seed, number, self.rate)
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


def _measured(samples: Samples, rate: float) -> Iterator[Samples]:
    """The parts in which at least one channel has a value."""
    there = np.any(~np.isnan(samples.data), axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], there, [0]))))
    for first, last in edges.reshape(-1, 2):
        start = samples.start + float(first) / rate
        yield samples._replace(start=start, data=samples.data[:, first:last])


def _planned(fleet: Fleet, begin: float, end: float, plan: Plan) -> Iterator[Fault]:
    """Each machine's time is cut into equal parts with one fault in each; the kinds go round."""
    part = (end - begin) / max(1, plan.per_machine)
    if not 0 < plan.shortest <= plan.longest <= part - 2 * plan.recovery:
        raise ConfigError(
            f"{plan.per_machine} faults of {plan.shortest:g} to {plan.longest:g} s on each machine "
            f"need {plan.per_machine * (plan.longest + 2 * plan.recovery):g} s with recovery; "
            f"there are {end - begin:g}"
        )
    random = np.random.default_rng([fleet.seed, 99])
    deck = cycle(_shuffled(fleet, plan, random))
    for number in range(plan.per_machine):
        for sensor, made in fleet.machines.items():
            length = random.uniform(plan.shortest, plan.longest)
            free = part - length - 2 * plan.recovery
            start = begin + number * part + plan.recovery + random.uniform(0.0, free)
            kind = next(deck)
            channels = _channels(kind, made, random)
            yield Fault(kind, sensor, start, start + length, channels, plan.severity)


def _shuffled(fleet: Fleet, plan: Plan, random: np.random.Generator) -> list[str]:
    possible = next(iter(fleet.machines.values())).kinds
    kinds: Sequence[str] = plan.kinds or possible
    if unknown := [kind for kind in kinds if kind not in possible]:
        raise ConfigError(f"fault {unknown[0]!r}: a {fleet.kind} can have {', '.join(possible)}")
    return [kinds[i] for i in random.permutation(len(kinds))]


def _channels(kind: str, made: Machine, random: np.random.Generator) -> tuple[str, ...]:
    """Where a fault shows: machinery in all vibration, a sensor's own fault in one or two."""
    if kind == "dropout":
        return made.channels
    if kind in ("bearing_impacts", "imbalance"):
        return tuple(name for name in made.channels if name.startswith("vibration"))
    lively = [name for name in made.channels if kind != "stuck" or name != "temperature"]
    return tuple(lively[i] for i in sorted(random.permutation(len(lively))[:2]))
