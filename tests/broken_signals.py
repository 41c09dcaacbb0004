"""A machine's windows: a wave, and impacts locked to it; and four ways in which they break."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.protocols import Trainable
from monitor.types import Array

SHAPE = (2, 48)
PERIOD = 12
NOISE = 0.1


def machine(count: int, seed: int = 0) -> Array:
    """Channel 0 is a wave of any phase, channel 1 has one impact in each of its periods."""
    random = np.random.default_rng(seed)
    phase = np.arange(SHAPE[1]) + random.integers(0, PERIOD, (count, 1))
    impact = 3 * np.exp(-(phase % PERIOD) / 1.5)
    clean = np.stack([np.sin(2 * np.pi * phase / PERIOD), impact], axis=1)
    return np.asarray(clean + random.normal(0, NOISE, clean.shape), np.float32)


def with_phase_break(x: Array) -> Array:
    """The wave jumps by half a period in the middle of the window."""
    broken, half = x.copy(), SHAPE[1] // 2
    broken[:, 0, half:] = -x[:, 0, half:]
    return broken


def with_stuck_wave(x: Array) -> Array:
    """The wave's sensor repeats its value from a third of the window on."""
    broken, place = x.copy(), SHAPE[1] // 3
    broken[:, 0, place:] = x[:, 0, place : place + 1]
    return broken


def with_missing_impact(x: Array) -> Array:
    """Two periods of the channel of impacts hold noise alone."""
    broken, random = x.copy(), np.random.default_rng(7)
    gap = slice(PERIOD, 3 * PERIOD)
    broken[:, 1, gap] = random.normal(0, NOISE, broken[:, 1, gap].shape)
    return broken


def with_extra_impact(x: Array) -> Array:
    """The wave's channel has an impact."""
    broken = x.copy()
    broken[:, 0, 20:24] += np.array([2.5, 1.5, 0.8, 0.4], np.float32)
    return broken


def auroc(normal: Array, anomalous: Array) -> float:
    """The share of pairs in which the anomalous score is higher; ties count half."""
    above = (anomalous[:, None] > normal[None]).mean()
    return float(above + (anomalous[:, None] == normal[None]).mean() / 2)


def found(detector: Trainable, fault: Callable[[Array], Array]) -> float:
    """The AUROC of windows with a fault against others without."""
    normal, other = machine(200, seed=5), machine(200, seed=6)
    return auroc(detector.score(normal), detector.score(fault(other)))
