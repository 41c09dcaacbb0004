"""Random numbers that depend only on a key and a place, so any stretch can be made by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
_STEP = np.uint64(0x9E3779B97F4A7C15)


def key_of(seed: int, number: int, kind: int) -> int:
    """A key for machine `number` of a kind, with room for sixteen of its own beside it."""
    return int(np.random.SeedSequence([seed, number, kind]).generate_state(1)[0]) * 16


def uniform(key: int, place: Places) -> Floats:
    """`(n,)` in (0, 1): the hash splitmix64 of place and key (Steele, Lea, Flood, OOPSLA 2014)."""
    start = np.uint64(key * 0xD1342543DE82EF95 % 2**64)
    z = (place.astype(np.uint64) + np.uint64(1)) * _STEP + start
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Floats = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64)
    return (found + 0.5) * 2.0**-53


def white(key: int, place: Places) -> Floats:
    """`(n,)` standard normal numbers (Box and Muller)."""
    radius = np.sqrt(-2.0 * np.log(uniform(2 * key, place)))
    return radius * np.cos(2.0 * np.pi * uniform(2 * key + 1, place))


def ringing(key: int, place: Places, cycles: float, taps: int = 24) -> Floats:
    """`(n,)` noise of variance 1 from a resonance at `cycles` per sample that decays in 6 samples.

    `place` must be consecutive.
    """
    time = np.arange(taps)
    response = np.exp(-time / 6.0) * np.cos(2.0 * np.pi * cycles * time)
    response /= np.sqrt(np.sum(response**2))
    push = white(key, np.arange(place[0] - taps + 1, place[-1] + 1, dtype=np.int64))
    out = np.zeros(len(place))
    # A loop, not np.convolve, whose order of adding up depends on where the stretch begins.
    for tap, weight in enumerate(response):
        out += weight * push[taps - 1 - tap : taps - 1 - tap + len(place)]
    return out
