"""Streams, pipelines and records for tests, with as few words as possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from monitor.protocols import Online, Scorer
from monitor.settings import StreamConfig
from monitor.stream.codec import encode_float32, make_codec
from monitor.stream.lane import LaneSpec, OnlineSpec
from monitor.stream.partition import Stream
from monitor.stream.pipeline import Pipeline
from monitor.types import Array, Partition, Record, Result, Samples
from monitor.windowing import WindowConfig
from tests.core.detectors import Energy, Level

HERE = Partition("plant", 0)
USE = ["mahalanobis:any"]


def window(**changes: Any) -> WindowConfig:
    """Four samples of two channels, one a second."""
    plain = {"length": 4, "rate": 1, "channels": ["x", "y"]}
    return WindowConfig.model_validate(plain | changes)


def stream_config(**changes: Any) -> StreamConfig:
    """One rule for every sensor, windows as above; nested dicts replace whole sections."""
    plain: dict[str, Any] = {
        "topics": ["plant"],
        "window": {"length": 4, "rate": 1, "channels": ["x", "y"]},
        "models": [{"use": USE}],
        "threshold": {"window": 32, "quantile": 0.95, "warm_up": 4},
        "alert": {"raise": "2 of 3", "clear": "2 below 0.9"},
    }
    return StreamConfig.model_validate(plain | changes)


def level(shape: tuple[int, int], make: Callable[[tuple[int, int]], Online] = Level) -> OnlineSpec:
    """The online detector of `detectors.py`, or another one."""
    return OnlineSpec(make.__name__.lower(), lambda: make(shape), "window", make.__name__)


def stream(
    settings: StreamConfig | None = None,
    name: str = "vibration",
    scorers: Sequence[Scorer] | None = None,
    online: Sequence[OnlineSpec] | None = None,
) -> Stream:
    """Every rule gets the same detectors: `Energy` and `Level` unless others are given."""
    settings = settings or stream_config()
    shape = settings.window.shape
    trained: Sequence[Scorer] = [Energy(shape)] if scorers is None else scorers
    learning = [level(shape)] if online is None else online
    lanes = [
        LaneSpec(name, rule.match, settings, tuple(trained), tuple(learning))
        for rule in settings.models
    ]
    return Stream(name, settings, tuple(lanes))


def pipeline(*streams: Stream, opened: Sequence[Partition] = (HERE,)) -> Pipeline:
    """A pipeline of these streams with the codecs their settings name."""
    chosen = streams or (stream(),)
    made = Pipeline(chosen, {s.name: make_codec(s.settings) for s in chosen})
    for partition in opened:
        made.open(partition, None)
    return made


def message(start: float, data: Array | Sequence[Sequence[float]], channel: int = -1) -> bytes:
    """A binary message; the sensor's name is its key."""
    return encode_float32(Samples("", start, np.asarray(data, np.float32), channel))


def record(
    offset: int,
    start: float,
    data: Array | Sequence[Sequence[float]],
    sensor: str = "pump",
    where: Partition = HERE,
) -> Record:
    """A record with samples of one sensor."""
    return Record(where, offset, sensor.encode(), start, message(start, data))


def windows_of(levels: Sequence[float], sensor: str = "pump", first: int = 0) -> list[Record]:
    """One record for each window of four samples, `(2, 4)` of this level; offsets count up."""
    return [
        record(first + i, 4.0 * (first + i), np.full((2, 4), value, np.float32), sensor)
        for i, value in enumerate(levels)
    ]


Told = set[tuple[object, ...]]


def told(result: Result) -> dict[str, Told]:
    """All that a consumer can see of a result, comparable bit by bit."""
    return {
        "scores": {
            (*s[:6], float(s.raw).hex(), float(s.threshold).hex(), _frozen(s.labels))
            for s in result.scores
        },
        "alerts": {
            (*a[:11], _frozen(a.scores), _frozen(a.channels), _frozen(a.labels))
            for a in result.alerts
        },
        "rejected": {
            (r.record.partition, r.record.offset, r.stream, r.reason, r.detail)
            for r in result.rejected
        },
        "notices": set(map(tuple, result.notices)),
    }


def _frozen(mapping: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, repr(value)) for key, value in mapping.items()))
