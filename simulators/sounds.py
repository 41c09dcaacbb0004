"""Machines as a microphone hears them, -1 to 1, and what can be heard to go wrong with them.

At severity 1, in units of a machine's usual loudness (`scale`, the root mean square):

    bearing_clicks   each ball that passes the damage clicks: 4 high, at 3 kHz, for a millisecond
    imbalance_hum    a hum at the shaft's speed and twice that, which grows to 1.5 within the first
                     quarter of the fault
    belt_squeal      a tone of 1.9 to 2.5 kHz, 0.7 high, that comes and goes each few turns
    cavitation       crackling: bursts of broad noise of a few ms each, 1.2 high
    missing_strokes  two of three strokes of a valve, at random, do not happen

Like the machines of `signals.py` they can be asked for any stretch in any pieces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from monitor.errors import ConfigError
from simulators.noise import Floats, Places, key_of, ringing, uniform, white
from simulators.signals import BEARING_ORDER, TURN, Machine

LOWEST_RATE = 8000.0
_GROWTH = 0.25
_BURST = 0.004  # s


class _Heard(ABC):
    """What all have in common: one microphone, a shaft whose speed wanders by half a percent, and
    the noise of the hall. Not a machine itself: a subclass has `_voice`.
    """

    channels: tuple[str, ...] = ("sound",)
    kinds: tuple[str, ...] = ("bearing_clicks", "imbalance_hum", "belt_squeal")
    number = 0

    def __init__(self, seed: int, number: int, rate: float) -> None:
        if not rate >= LOWEST_RATE:
            raise ConfigError(
                f"rate {rate:g} Hz: machines that are heard need {LOWEST_RATE:g} Hz or more"
            )
        self.rate, self.key = rate, key_of(seed, number, self.number)
        random = np.random.default_rng([seed, number, self.number])
        self._shaft = random.uniform(21.0, 29.0)
        self._swing = random.uniform(7.0, 15.0), random.uniform(0.0, TURN)
        self.loudness = random.uniform(0.85, 1.15)
        self._tune(random)

    def angle(self, time: Floats) -> Floats:
        """As `Machine.angle`."""
        period, phase = self._swing
        wander = 0.005 * period / TURN * np.sin(TURN * time / period + phase)
        return np.asarray(TURN * self._shaft * (time + wander))

    def signal(self, place: Places) -> Floats:
        """As `Machine.signal`."""
        time = place / self.rate
        hall = 0.004 * white(self.key, place) + 0.006 * ringing(self.key + 1, place, 0.01)
        return np.asarray(self.loudness * self._voice(place, time) + hall)[None]

    @abstractmethod
    def _tune(self, random: np.random.Generator) -> None:
        """Draw what is particular to this machine."""

    @abstractmethod
    def _voice(self, place: Places, time: Floats) -> Floats:
        """The machine alone, `(n,)`."""


class Motor(_Heard):
    """An electric motor that drives a gear: hum of the mains (100 Hz), the shaft's harmonics, the
    mesh of the teeth, louder once a turn, and a little roughness.
    """

    scale: tuple[float, ...] = (0.077,)
    number = 11

    def _tune(self, random: np.random.Generator) -> None:
        self._teeth = int(random.integers(17, 30))
        self._phases = random.uniform(0.0, TURN, 12)

    def _voice(self, place: Places, time: Floats) -> Floats:
        angle = self.angle(time)
        hum = _tones(TURN * 100.0 * time, (0.05, 0.03, 0.015), self._phases[:3])
        shaft = _tones(angle, (0.03, 0.02, 0.015, 0.01), self._phases[3:7])
        mesh = _tones(self._teeth * angle, (0.04, 0.02, 0.01), self._phases[7:10])
        mesh *= 1.0 + 0.4 * np.sin(angle + self._phases[10])
        rough = 0.02 * ringing(self.key + 2, place, 2400.0 / self.rate)
        return np.asarray(hum + shaft + mesh + rough)


class Blower(_Heard):
    """A fan: tones of the passing blades in a broad rush of air, which they modulate."""

    scale: tuple[float, ...] = (0.068,)
    number = 12

    def _tune(self, random: np.random.Generator) -> None:
        self._blades = int(random.integers(5, 10))
        self._phases = random.uniform(0.0, TURN, 6)

    def _voice(self, place: Places, time: Floats) -> Floats:
        angle = self.angle(time)
        passing = self._blades * angle
        blades = _tones(passing, (0.03, 0.02, 0.012, 0.006), self._phases[:4])
        shaft = 0.01 * np.sin(angle + self._phases[4])
        deep = ringing(self.key + 2, place, 250.0 / self.rate)
        rush = ringing(self.key + 3, place, 1200.0 / self.rate)
        air = (0.045 * deep + 0.04 * rush) * (1.0 + 0.25 * np.sin(passing + self._phases[5]))
        return np.asarray(blades + shaft + air)


class Valve(_Heard):
    """A valve that opens and closes about three times a second, with a click each, and hisses
    while it is open.
    """

    scale: tuple[float, ...] = (0.05,)
    kinds: tuple[str, ...] = ("cavitation", "missing_strokes")
    number = 13

    def _tune(self, random: np.random.Generator) -> None:
        self._strokes = random.uniform(0.10, 0.14)  # for each turn of the shaft that drives it
        self._pitch = random.uniform(1500.0, 2200.0)
        self._open = random.uniform(0.35, 0.5)

    def stroke(self, time: Floats) -> Places:
        """The number of the stroke at each time, `(n,)`."""
        return np.floor(self._strokes * self.angle(time) / TURN).astype(np.int64)

    def strokes(self, place: Places, time: Floats) -> Floats:
        """All that a stroke makes heard, `(n,)`; one differs a little from the next."""
        passed = self._strokes * self.angle(time) / TURN
        number = np.floor(passed).astype(np.int64)
        since = (passed - number) / (self._strokes * self._shaft)  # s
        shut = since - self._open / (self._strokes * self._shaft)
        strength = 0.85 + 0.3 * uniform(self.key + 4, number)
        clicks = 0.45 * _click(since, self._pitch) + 0.6 * _click(shut, 1.4 * self._pitch)
        hiss = 0.03 * white(self.key + 5, place) * ((since > 0.005) & (shut < 0))
        return np.asarray(strength * (clicks + hiss))

    def _voice(self, place: Places, time: Floats) -> Floats:
        flow = 0.01 * ringing(self.key + 2, place, 600.0 / self.rate)
        return np.asarray(self.strokes(place, time) + flow)


SOUNDS: dict[str, type[Motor] | type[Blower] | type[Valve]] = {
    "motor": Motor,
    "blower": Blower,
    "valve": Valve,
}


def _tones(angle: Floats, sizes: Sequence[float], phases: Floats) -> Floats:
    """A tone and its harmonics."""
    out = np.zeros(len(angle))
    for order, (size, phase) in enumerate(zip(sizes, phases, strict=True), start=1):
        out += size * np.sin(order * angle + phase)
    return out


def _click(since: Floats, pitch: float) -> Floats:
    """A ring of some ms, `since` seconds after its beginning; 0 before."""
    late = np.maximum(since, 0.0)
    return np.asarray((since >= 0) * np.exp(-late / 0.006) * np.sin(TURN * pitch * late))


def _growth(extent: Places, place: Places) -> Floats:
    """0 at the start, 1 after the first quarter."""
    length = max(1.0, _GROWTH * float(extent[1] - extent[0]))
    return np.asarray(np.minimum(1.0, (place - extent[0]) / length))


def _bearing(machine: Machine, extent: Places, place: Places, spread: Floats) -> Floats:
    turned = BEARING_ORDER * machine.angle(place / machine.rate) / TURN
    number = np.floor(turned).astype(np.int64)
    since = (turned - number) / (BEARING_ORDER * 25.0)  # s, at about the shaft's speed
    strength = 0.7 + 0.6 * uniform(machine.key + 8, number)
    ring = np.exp(-since / 0.001) * np.sin(TURN * 3000.0 * since)
    return np.asarray(4.0 * spread * (strength * ring))


def _imbalance(machine: Machine, extent: Places, place: Places, spread: Floats) -> Floats:
    angle = machine.angle(place / machine.rate)
    hum = np.sin(angle) + 0.6 * np.sin(2 * angle + 1.0)
    return np.asarray(1.5 * spread * (hum * _growth(extent, place)))


def _squeal(machine: Machine, extent: Places, place: Places, spread: Floats) -> Floats:
    """Slip comes each four turns, for half of them; the tone wavers with the shaft."""
    angle = machine.angle(place / machine.rate)
    pitch = 1900.0 + 600.0 * uniform(machine.key + 9, extent[:1])[0]
    tone = np.sin(TURN * pitch * place / machine.rate + 6.0 * np.sin(angle))
    slip = np.clip(0.5 + 2.0 * np.sin(angle / 4.0), 0.0, 1.0)
    return np.asarray(0.7 * spread * (tone * slip))


def _cavitation(machine: Machine, extent: Places, place: Places, spread: Floats) -> Floats:
    slot = np.floor(place / (_BURST * machine.rate)).astype(np.int64)
    burst = 3.0 * np.maximum(uniform(machine.key + 10, slot) - 0.6, 0.0)
    crackle = ringing(machine.key + 11, place, 0.2) + white(machine.key + 12, place)
    return np.asarray(1.2 * spread * (burst * crackle))


def _missing(machine: Machine, extent: Places, place: Places, spread: Floats) -> Floats:
    assert isinstance(machine, Valve)
    time = place / machine.rate
    lost = uniform(machine.key + 13, machine.stroke(time)) < 2 / 3
    return np.asarray(-machine.loudness * lost * machine.strokes(place, time))[None]


SOUND_FAULTS: dict[str, Callable[[Machine, Places, Places, Floats], Floats]] = {
    "bearing_clicks": _bearing,
    "imbalance_hum": _imbalance,
    "belt_squeal": _squeal,
    "cavitation": _cavitation,
    "missing_strokes": _missing,
}
"""(machine, first and last place of the fault, the places wanted, loudness `(1, 1)`) -> what to
add `(1, n)`."""
