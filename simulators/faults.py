"""What can go wrong with a simulated machine: labelled, seeded, and by how much.

At severity 1, in units of a channel's usual spread (`Machine.scale`):

    spike            two short impulses a second, 8 high, up or down
    drift            the reading moves by 6 within the first quarter of the fault, then stays off
    stuck            the reading stays exactly what it was
    dropout          nothing is measured: NaN in some channels; where all are concerned, silence
    bearing_impacts  each ball that passes the damage rings the housing, 4 high, loudest once a
                     turn (outer-race frequency: 3.57 times the shaft's)
    imbalance        vibration at the shaft's speed grows by 1.6 within the first quarter (it is
                     about 1.2 in good order)

Severity multiplies the size; `stuck` and `dropout` know none. What can be heard to go wrong is told
in `sounds.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError
from simulators.noise import Floats, Places, uniform
from simulators.signals import BEARING_ORDER, TURN, Machine
from simulators.sounds import SOUND_FAULTS

GROWTH = 0.25
SPIKES = 2.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one sensor from `start` up to `end` (s since the epoch) on some channels."""

    kind: str
    sensor: str
    start: float
    end: float
    channels: tuple[str, ...]
    severity: float = 1.0

    def touches(self, begin: float, end: float) -> bool:
        """Whether any of it lies in a stretch of time."""
        return self.start < end and begin < self.end


Injector = Callable[[Machine, Places, Places, Floats], Floats]
"""(machine, first and last place of the fault, the places wanted, spread `(c, 1)`) -> what to add
`(c, n)`."""


def inject(fault: Fault, machine: Machine, begin: float, place: Places, data: Floats) -> None:
    """Change the clean `data` `(C, n)` at the sample numbers `place`; `begin` is number 0's time.

    Raises ConfigError for a kind or a channel that the machine does not have.
    """
    rows = _rows(fault, machine)
    first = _number(fault.start - begin, machine.rate)
    last = _number(fault.end - begin, machine.rate)
    inside = np.flatnonzero((place >= first) & (place < last))
    if not len(inside):
        return
    spread = np.array(machine.scale)[rows, None]
    extent = np.array([first, last], dtype=np.int64)
    wanted = place[inside]
    if fault.kind == "stuck":
        data[np.ix_(rows, inside)] = machine.signal(extent[:1])[rows]
    elif fault.kind == "dropout":
        data[np.ix_(rows, inside)] = np.nan
    else:
        change = _ADDED[fault.kind](machine, extent, wanted, spread)
        data[np.ix_(rows, inside)] += fault.severity * change


def _rows(fault: Fault, machine: Machine) -> NDArray[np.int64]:
    if fault.kind not in machine.kinds:
        raise ConfigError(f"fault {fault.kind!r}: valid are {', '.join(machine.kinds)}")
    unknown = [name for name in fault.channels if name not in machine.channels]
    if unknown or not fault.channels:
        raise ConfigError(
            f"fault {fault.kind!r} on channels {list(fault.channels)}: valid are "
            f"{', '.join(machine.channels)}"
        )
    return np.array([machine.channels.index(name) for name in fault.channels], dtype=np.int64)


def _number(time: float, rate: float) -> int:
    """The first sample at or after a time."""
    return int(np.ceil(round(time * rate, 6)))


def _growth(extent: Places, place: Places) -> Floats:
    """0 at the start, 1 after the first quarter."""
    length = max(1.0, GROWTH * float(extent[1] - extent[0]))
    return np.asarray(np.minimum(1.0, (place - extent[0]) / length))


def _spike(machine: Machine, extent: Places, place: Places, spread: Floats) -> Floats:
    """In each half second one impulse at a place and with a sign of its own."""
    slot = np.floor((place - extent[0]) / machine.rate * SPIKES).astype(np.int64)
    width = machine.rate / SPIKES
    key = machine.key + 8
    nth = slot + extent[0]
    after = (place - extent[0]) - np.ceil((slot + 0.8 * uniform(key, nth)) * width)
    sign = np.where(uniform(key + 1, nth) < 0.5, -1.0, 1.0)
    shape = np.where(after == 0, 1.0, np.where(after == 1, -0.5, 0.0))
    return np.asarray(8.0 * spread * (sign * shape))


def _drift(machine: Machine, extent: Places, place: Places, spread: Floats) -> Floats:
    sign = 1.0 if uniform(machine.key + 10, extent[:1])[0] < 0.5 else -1.0
    return np.asarray(sign * 6.0 * spread * _growth(extent, place))


def _impacts(machine: Machine, extent: Places, place: Places, spread: Floats) -> Floats:
    """A decaying ring after each passage; its strength follows the load zone of the bearing."""
    angle = machine.angle(place / machine.rate)
    passed = BEARING_ORDER * angle / TURN
    since = passed - np.floor(passed)
    strength = 0.8 + 0.4 * uniform(machine.key + 11, np.floor(passed).astype(np.int64))
    zone = 0.75 + 0.25 * np.cos(angle)
    ring = np.exp(-4.0 * since) * np.cos(TURN * 2.3 * since)
    return np.asarray(4.0 * spread * (strength * zone * ring))


def _imbalance(machine: Machine, extent: Places, place: Places, spread: Floats) -> Floats:
    """A heavy spot circles with the shaft: a quarter turn between neighbouring directions."""
    angle = machine.angle(place / machine.rate)
    turned = angle[None, :] + TURN / 4 * np.arange(len(spread))[:, None]
    return np.asarray(1.6 * spread * np.sin(turned) * _growth(extent, place))


_ADDED: dict[str, Injector] = {
    "spike": _spike,
    "drift": _drift,
    "bearing_impacts": _impacts,
    "imbalance": _imbalance,
    **SOUND_FAULTS,
}
