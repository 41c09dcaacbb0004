"""Small recordings of machines with a labelled fault, and configurations to run them with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor.connect.recording.reading import Recording
from monitor.settings import Config
from monitor.types import Array, Slots, State

RATE = 16.0
START = 1_767_225_600.0
CHANNELS = ("x", "y")


class Loudness:
    """An online detector without a memory: the largest absolute value of a window."""

    view = "window"

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def score_learn(self, slots: Slots, x: Array, cut: Array) -> Array:
        loudest: Array = np.abs(x).max(axis=(1, 2))
        return loudest

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        pass

    def forget(self, slots: Slots) -> None:
        pass


class Deaf(Loudness):
    """Hears nothing: every window has the same score."""

    def score_learn(self, slots: Slots, x: Array, cut: Array) -> Array:
        return np.ones(len(x), np.float32)


def recording(
    sensor: str = "pump-1",
    seconds: float = 120.0,
    faults: Sequence[tuple[float, float]] = (),
    *,
    start: float = START,
    labelled: bool = True,
    path: Path | None = None,
) -> Recording:
    """Noise, eight times as loud while a fault lasts; faults in s after the start."""
    seed = sum(sensor.encode()) + int(start)
    time = start + np.arange(round(seconds * RATE)) / RATE
    data = np.random.default_rng(seed).uniform(-1, 1, (2, len(time))).astype(np.float32)
    labels = np.zeros(len(time), np.int8)
    for begin, end in faults:
        labels[(time >= start + begin) & (time < start + end)] = 1
    data[:, labels == 1] *= 8
    told = labels if labelled else None
    return Recording(sensor, time, data, CHANNELS, told, path or Path(f"{sensor}.csv"))


def write_csv(folder: Path, recorded: Recording) -> Path:
    """The recording as a file, with its labels if it has any."""
    columns = {"time": recorded.time, **dict(zip(recorded.channels, recorded.data, strict=True))}
    if recorded.labels is not None:
        columns["anomaly"] = recorded.labels
    path = folder / f"{recorded.sensor}.csv"
    rows = np.column_stack(list(columns.values()))
    np.savetxt(path, rows, fmt="%.17g", delimiter=",", header=",".join(columns), comments="")
    return path


def config(use: Sequence[Any] = ("tests.recorded:Loudness",), **stream: Any) -> Config:
    """One stream `machines` with windows of 1 s each 0.5 s; keywords replace its sections."""
    return Config.model_validate(
        {
            "source": {"recordings": {"paths": ["unused"]}},
            "streams": {"machines": stream_of(use, **stream)},
        }
    )


def stream_of(use: Sequence[Any] = ("tests.recorded:Loudness",), **other: Any) -> dict[str, Any]:
    """The section of one stream."""
    sections: Mapping[str, Any] = {
        "topics": ["plant"],
        "format": "json",
        "window": {"length": "1s", "hop": "0.5s", "rate": RATE, "channels": list(CHANNELS)},
        "models": [{"use": list(use)}],
        "threshold": {"quantile": 0.99, "warm_up": 20, "window": 64, "margin": 1.5},
        "alert": {"raise": "2 of 3", "clear": "3 below 0.9"},
    }
    return {**sections, **other}
