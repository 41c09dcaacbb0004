"""Faults put into normal windows, to find out what a detector would notice.

They are kinds of change that machines and sensors show, in one channel each: a shift of level, a
drift, a spike, a frozen value, more noise, another size, another speed, and a channel that no
longer goes with the others. Their sizes are in units of what the channel usually does, from hard to
find to plain, so no detector is at either end for all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.types import Array

Generator = np.random.Generator


def seeded_faults(x: Array, seed: int = 0) -> dict[str, Array]:
    """A faulty copy of each of these scaled windows, by kind: `(N, C, T) -> (N, C, T)`.

    Half of the faults have begun before the window, the others begin in its first half; all stay
    to its end (but a spike lasts two samples). The same windows and seed give the same faults.
    """
    found = {}
    for place, (kind, change) in enumerate(KINDS.items()):
        random = np.random.default_rng((seed, place))
        faulty = np.array(x, np.float32)
        usual = np.maximum(x.std(axis=(0, 2)), 1e-3)
        for n in range(len(x)):
            channel = int(random.integers(x.shape[1]))
            half = x.shape[2] // 2
            begin = max(int(random.integers(-half, max(half, 1))), 0)
            other = x[int(random.integers(len(x))), channel, begin:]
            own = x[n, channel, begin:] / usual[channel]
            changed = change(own, other / usual[channel], random)
            faulty[n, channel, begin:] = changed * usual[channel]
        found[kind] = faulty
    return found


def _shift(own: Array, _: Array, random: Generator) -> Array:
    return own + _size(random, 0.5, 3.0)


def _drift(own: Array, _: Array, random: Generator) -> Array:
    return own + np.linspace(0, _size(random, 1.0, 5.0), len(own), dtype=np.float32)


def _spike(own: Array, _: Array, random: Generator) -> Array:
    changed = own.copy()
    at = int(random.integers(len(own)))
    changed[at : at + 2] += _size(random, 2.0, 8.0)
    return changed


def _stuck(own: Array, _: Array, random: Generator) -> Array:
    return np.full_like(own, own[0])


def _noise(own: Array, _: Array, random: Generator) -> Array:
    spread = abs(_size(random, 0.3, 1.5))
    return own + np.asarray(spread * random.standard_normal(len(own)), np.float32)


def _gain(own: Array, _: Array, random: Generator) -> Array:
    factor = random.uniform(1.3, 2.5) ** random.choice((-1, 1))
    changed: Array = own.mean() + np.float32(factor) * (own - own.mean())
    return changed


def _speed(own: Array, _: Array, random: Generator) -> Array:
    pace = random.uniform(1.2, 2.0) ** random.choice((-1, 1))
    times = np.arange(len(own)) * pace % max(len(own) - 1, 1)
    return np.asarray(np.interp(times, np.arange(len(own)), own), np.float32)


def _stranger(own: Array, other: Array, random: Generator) -> Array:
    """What the channel did at another time, when the others did something else."""
    return other


def _size(random: Generator, low: float, high: float) -> np.float32:
    return np.float32(random.uniform(low, high) * random.choice((-1, 1)))


KINDS: dict[str, Callable[[Array, Array, Generator], Array]] = {
    "shift": _shift,
    "drift": _drift,
    "spike": _spike,
    "stuck": _stuck,
    "noise": _noise,
    "gain": _gain,
    "speed": _speed,
    "stranger": _stranger,
}


def found_by(normal: Array, faulty: Array) -> float:
    """The share of pairs in which the faulty window scores higher, ties half: `(N,), (M,)`, the
    area under the ROC curve.
    """
    ascending = np.sort(normal)
    below = np.searchsorted(ascending, faulty, "left")
    upto = np.searchsorted(ascending, faulty, "right")
    return float((below + upto).mean() / (2 * len(normal)))
