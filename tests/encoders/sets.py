"""What encoders are compared on: a recorded water circuit, and simulated machines with faults.

A case is normal windows to train on, and scaled windows of known kind to score, by the name of what
is to be found.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from monitor.features.scaling import fit_scaling, scale
from monitor.types import Array
from simulators.faults import Fault
from simulators.fleet import Fleet

ROOT = Path(__file__).parents[2]
SKAB = Path(os.environ.get("MONITOR_DATA", ROOT / "../shared/data")) / "skab" / "data"
TRAINING_ROWS, LENGTH, HOP = 400, 30, 5
RATE, SECONDS, SAMPLES = 128.0, 240.0, 256
KINDS = ("spike", "drift", "stuck", "bearing_impacts", "imbalance")
SEVERITY = 0.3


class Case(NamedTuple):
    """`train` and `normal` are `(N, C, T)`, `faulty` by what is wrong in them."""

    name: str
    train: Array
    normal: Array
    faulty: dict[str, Array]


def water_circuit(every: int) -> Iterator[Case]:
    """SKAB: one case a file; the first 400 rows train, each later window is as its last row is."""
    for path in sorted(p for p in SKAB.glob("*/*.csv") if p.parent.name != "anomaly-free")[::every]:
        table = pd.read_csv(path, sep=";").drop(columns=["datetime", "changepoint"])
        anomaly = table.pop("anomaly").to_numpy()
        rows = table.to_numpy(np.float32).T
        train = _windows(rows[:, :TRAINING_ROWS], 2)
        rest = _windows(rows[:, TRAINING_ROWS:], HOP)
        odd = anomaly[TRAINING_ROWS + LENGTH - 1 :: HOP] > 0
        constants = fit_scaling(train)
        train, rest = _scaled(train, constants), _scaled(rest, constants)
        yield Case(f"{path.parent.name}/{path.stem}", train, rest[~odd], {"fault": rest[odd]})


def machines() -> Iterator[Case]:
    """A simulated rotor and a pump: each kind of fault at 0.3 of its size."""
    for kind in ("rotor", "pump"):
        fleet = Fleet(seed=5, count=1, kind=kind, rate=RATE)
        for sensor, made in fleet.machines.items():
            train = _recorded(fleet, sensor, 0.0, SECONDS)
            constants = fit_scaling(train)
            begin, end = SECONDS + 30, SECONDS + 90
            normal = _recorded(fleet, sensor, begin, end)
            faulty = {}
            for fault in (k for k in KINDS if k in made.kinds):
                broken = Fault(fault, sensor, begin, end, made.channels[:2], SEVERITY)
                bad = Fleet(seed=5, count=1, kind=kind, rate=RATE, faults=(broken,))
                faulty[fault] = _scaled(_recorded(bad, sensor, begin, end), constants)
            yield Case(sensor, _scaled(train, constants), _scaled(normal, constants), faulty)


def _recorded(fleet: Fleet, sensor: str, begin: float, end: float) -> Array:
    """Windows of 2 s each half second."""
    data = fleet.chunk(sensor, begin, end).data
    hop = SAMPLES // 4
    windows = sliding_window_view(data, SAMPLES, axis=1)[:, ::hop]
    return np.ascontiguousarray(windows.transpose(1, 0, 2), np.float32)


def _windows(rows: Array, hop: int) -> Array:
    windows = sliding_window_view(rows, LENGTH, axis=1)[:, ::hop]
    return np.ascontiguousarray(windows.transpose(1, 0, 2), np.float32)


def _scaled(x: Array, constants: Array) -> Array:
    return scale(x, np.repeat(constants[None], len(x), axis=0))
