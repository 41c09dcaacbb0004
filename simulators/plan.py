"""A plan of what goes wrong: how many faults each sensor gets, when, and of which kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

import numpy as np

from monitor.errors import ConfigError
from simulators.faults import Fault


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


class Sensors(NamedTuple):
    """Who can have faults: what they are called together, their names, and the kinds of faults."""

    kind: str
    names: tuple[str, ...]
    faults: tuple[str, ...]


def planned(
    sensors: Sensors, span: tuple[float, float], plan: Plan, random: np.random.Generator
) -> Iterator[Fault]:
    """Each sensor's time is cut into equal parts with one fault in each; the kinds go round.

    Raises ConfigError where they do not fit between the two times, or a kind is not possible.
    """
    begin, end = span
    part = (end - begin) / max(1, plan.per_machine)
    if not 0 < plan.shortest <= plan.longest <= part - 2 * plan.recovery:
        raise ConfigError(
            f"{plan.per_machine} faults of {plan.shortest:g} to {plan.longest:g} s on each machine "
            f"need {plan.per_machine * (plan.longest + 2 * plan.recovery):g} s with recovery; "
            f"there are {end - begin:g}"
        )
    deck = cycle(_shuffled(sensors, plan.kinds, random))
    for number in range(plan.per_machine):
        for sensor in sensors.names:
            length = random.uniform(plan.shortest, plan.longest)
            free = part - length - 2 * plan.recovery
            start = begin + number * part + plan.recovery + random.uniform(0.0, free)
            yield Fault(next(deck), sensor, start, start + length, (), plan.severity)


def _shuffled(sensors: Sensors, wanted: Sequence[str], random: np.random.Generator) -> list[str]:
    kinds = wanted or sensors.faults
    if unknown := [kind for kind in kinds if kind not in sensors.faults]:
        possible = ", ".join(sensors.faults)
        raise ConfigError(f"fault {unknown[0]!r}: a {sensors.kind} can have {possible}")
    return [kinds[i] for i in random.permutation(len(kinds))]
