"""Recorded files for the player, without a configuration: channels and rate from the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monitor.connect.recording.reading import Recording, read_recordings
from monitor.connect.recording.sounds import heard_in, is_sound
from monitor.connect.recording.table import LABELS, SENSOR, read_frame
from monitor.connect.recording.times import NAMES, time_of
from monitor.errors import ConfigError
from monitor.settings import ModelRule, StreamConfig, Use
from monitor.windowing import WindowConfig
from simulators.faults import Fault

NO_CHANNELS = {*LABELS, *NAMES, SENSOR, "changepoint", "fault"}


def stream_of(
    path: Path,
    topic: str,
    channels: Sequence[str] = (),
    rate: float | None = None,
    time_column: str | None = None,
) -> StreamConfig:
    """A stream that fits a CSV or Parquet file: all columns of numbers, at the rate of its times;
    or a file of sound.

    `channels` and `rate` are taken as they are where given. Raises ConfigError where the file
    cannot tell.
    """
    if is_sound(path):
        heard = heard_in(path)
        channels = channels or [f"sound_{n}" for n in range(1, len(heard.data) + 1)]
        rate = rate or float(heard.rate)
    elif not channels or rate is None:
        frame = read_frame(path)
        numbers = [str(name) for name in frame.select_dtypes("number").columns]
        offered = [n for n in numbers if n.lower() not in NO_CHANNELS and n != time_column]
        channels = channels or offered
        rate = rate or _rate(path, time_of(path, frame.drop(columns=offered), time_column))
    if not channels:
        raise ConfigError(f"{path}: has no columns of numbers; name them by --channels")
    window = WindowConfig(length=2.0 / rate, rate=rate, channels=list(channels))
    rule = ModelRule(use=[Use(detector="online_iforest")])
    return StreamConfig(topics=[topic], window=window, models=[rule])


def read(
    paths: Sequence[Path], stream: StreamConfig, time_column: str | None = None
) -> tuple[list[Recording], list[Fault]]:
    """The recordings, and what their labels call anomalies."""
    recordings = read_recordings(paths, stream, time_column)
    period = 1.0 / stream.window.rate
    faults = [
        Fault("anomaly", recording.sensor, start, end, recording.channels)
        for recording in recordings
        for start, end in recording.anomalies(period)
    ]
    return recordings, faults


def _rate(path: Path, time: object) -> float:
    steps = np.diff(np.unique(np.asarray(time, dtype=np.float64)))
    if not len(steps):
        raise ConfigError(f"{path}: has one time only, so no rate; give it by --rate")
    rate = 1.0 / float(np.median(steps))
    return float(round(rate)) if abs(rate / max(1, round(rate)) - 1) < 0.01 else rate
