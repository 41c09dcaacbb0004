"""Machines in good order: what their sensors would measure, as pure functions of place and seed.

Everything is in closed form or hashed from the sample's number, so a machine can be asked for any
stretch, in any pieces, and always gives the same samples.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from monitor.errors import ConfigError
from simulators.noise import Floats, Places, key_of, ringing, white

LOWEST_RATE = 64.0
BEARING_ORDER = 3.57
TURN = 2.0 * np.pi


class Machine(Protocol):
    """A simulated machine: `channels`, and the usual spread of each in good order (`scale`)."""

    channels: tuple[str, ...]
    scale: tuple[float, ...]
    kinds: tuple[str, ...]
    rate: float
    key: int

    def signal(self, place: Places) -> Floats:
        """`(n,)` consecutive sample numbers `-> (C, n)`."""
        ...

    def angle(self, time: Floats) -> Floats:
        """The shaft's angle in radians after `time` seconds."""
        ...


class _Load:
    """How hard a machine works, 0 to 1: three slow swings, as of demand in a plant."""

    def __init__(self, random: np.random.Generator) -> None:
        self._periods = random.uniform([6.0, 10.0, 16.0], [9.0, 14.0, 22.0])
        self._phases = random.uniform(0.0, TURN, 3)
        self._weights = np.array([0.20, 0.18, 0.12])

    def at(self, time: Floats) -> Floats:
        """The load itself."""
        return 0.5 + self._swings(time, 0.0)

    def smoothed(self, time: Floats, lag: float) -> Floats:
        """The load as something with a time constant of `lag` seconds follows it."""
        return 0.5 + self._swings(time, lag)

    def excess(self, time: Floats) -> Floats:
        """The integral of load - 0.5, in seconds."""
        out = np.zeros(len(time))
        for period, phase, weight in zip(self._periods, self._phases, self._weights, strict=True):
            out -= weight * period / TURN * np.cos(TURN * time / period + phase)
        return out

    def _swings(self, time: Floats, lag: float) -> Floats:
        out = np.zeros(len(time))
        for period, phase, weight in zip(self._periods, self._phases, self._weights, strict=True):
            late = TURN * lag / period
            swing = np.sin(TURN * time / period + phase - np.arctan(late))
            out += weight / np.sqrt(1.0 + late**2) * swing
        return out


class RotatingMachine:
    """A motor with a shaft on rolling bearings: vibration in two directions (mm/s), current (A),
    temperature (degrees C).

    The shaft turns at 6 to 9 Hz and slips by up to 1 % under load; vibration is its first three
    harmonics, a weak bearing tone at 3.57 times its speed, and noise from a resonance.
    """

    channels: tuple[str, ...] = ("vibration_x", "vibration_y", "current", "temperature")
    scale: tuple[float, ...] = (0.9, 0.7, 0.65, 0.2)
    kinds: tuple[str, ...] = (
        *("spike", "drift", "stuck", "dropout", "bearing_impacts", "imbalance"),
    )

    def __init__(self, seed: int, number: int, rate: float) -> None:
        self.rate, self.key = _checked(rate), key_of(seed, number, 1)
        random = np.random.default_rng([seed, number, 1])
        self._load = _Load(random)
        self._shaft = random.uniform(6.0, 9.0)
        self._phases = random.uniform(0.0, TURN, (2, 4))
        self._size = random.uniform(0.9, 1.1, 2) * [1.0, 0.8]
        self._current = random.uniform(9.0, 13.0)
        self._temperature = random.uniform(50.0, 60.0)
        self._drift = random.uniform(0.0, TURN)

    def angle(self, time: Floats) -> Floats:
        """As `Machine.angle`."""
        return TURN * self._shaft * (time - 0.02 * self._load.excess(time))

    def signal(self, place: Places) -> Floats:
        """As `Machine.signal`."""
        time = place / self.rate
        load, angle = self._load.at(time), self.angle(time)
        vibration = [self._vibration(axis, place, angle, load) for axis in (0, 1)]
        ripple = 0.25 * np.sin(angle + self._phases[0, 3])
        current = self._current + 3.0 * load + ripple + 0.15 * white(self.key + 2, place)
        return np.stack([*vibration, current, self._warmth(time, place)])

    def _vibration(self, axis: int, place: Places, angle: Floats, load: Floats) -> Floats:
        first, second, third, bearing = self._phases[axis]
        shaft = np.sin(angle + first + axis * TURN / 4)
        shaft += 0.4 * np.sin(2 * angle + second) + 0.2 * np.sin(3 * angle + third)
        hum = 0.15 * np.sin(BEARING_ORDER * angle + bearing)
        rough = 0.4 * (0.8 + 0.4 * load) * ringing(self.key + axis, place, 0.35)
        return np.asarray(self._size[axis] * ((0.85 + 0.3 * load) * shaft + hum + rough))

    def _warmth(self, time: Floats, place: Places) -> Floats:
        """Follows the load slowly, and the day; noise of the sensor."""
        day = 0.1 * np.sin(TURN * time / 300.0 + self._drift)
        load = 4.0 * self._load.smoothed(time, 20.0)
        return self._temperature + load + day + 0.15 * white(self.key + 3, place)


class Pump:
    """A pump that switches between two duties: flow (m3/h), pressure (bar), current (A),
    temperature (degrees C).

    Pressure falls with the square of the flow, current follows the work done, and the blades of
    the wheel ripple in both flow and pressure.
    """

    channels: tuple[str, ...] = ("flow", "pressure", "current", "temperature")
    scale: tuple[float, ...] = (7.5, 0.35, 1.9, 0.2)
    kinds: tuple[str, ...] = ("spike", "drift", "stuck", "dropout")

    def __init__(self, seed: int, number: int, rate: float) -> None:
        self.rate, self.key = _checked(rate), key_of(seed, number, 2)
        random = np.random.default_rng([seed, number, 2])
        self._load = _Load(random)
        self._period = random.uniform(8.0, 12.0)
        self._start = random.uniform(0.0, TURN)
        self._shaft = random.uniform(6.0, 9.0)
        self._head = random.uniform(5.5, 6.5)
        self._temperature = random.uniform(35.0, 45.0)

    def angle(self, time: Floats) -> Floats:
        """As `Machine.angle`."""
        return TURN * self._shaft * time

    def signal(self, place: Places) -> Floats:
        """As `Machine.signal`."""
        time = place / self.rate
        blades = np.sin(3.0 * self.angle(time))
        flow = 30.0 + 16.0 * self._duty(time) + 3.0 * self._load.at(time)
        pressure = self._head - 6e-4 * flow**2 + 0.06 * blades
        current = 3.0 + 0.05 * flow * pressure + 0.1 * flow + 0.1 * white(self.key + 2, place)
        day = 0.1 * np.sin(TURN * time / 300.0 + self._start)
        warmth = self._temperature + 4.0 * self._load.smoothed(time, 20.0) + day
        return np.stack(
            [
                flow + 0.4 * blades + 0.5 * ringing(self.key, place, 0.1),
                pressure + 0.04 * white(self.key + 1, place),
                current,
                warmth + 0.15 * white(self.key + 3, place),
            ]
        )

    def _duty(self, time: Floats) -> Floats:
        """0 or 1 most of the time; a change takes about a second."""
        return 0.5 + 0.5 * np.tanh(4.0 * np.sin(TURN * time / self._period + self._start))


MACHINES: dict[str, type[RotatingMachine] | type[Pump]] = {
    "rotor": RotatingMachine,
    "pump": Pump,
}


def _checked(rate: float) -> float:
    if not rate >= LOWEST_RATE:
        raise ConfigError(f"rate {rate:g} Hz: the machines need {LOWEST_RATE:g} Hz or more")
    return rate
