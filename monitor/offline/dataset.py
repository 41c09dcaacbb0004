"""Recordings -> labelled windows for each sensor, cut by the same code as live ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monitor.connect.recording.frames import is_picture
from monitor.connect.recording.player import chunks
from monitor.connect.recording.reading import SUFFIXES, Recording, read_recordings
from monitor.connect.recording.sounds import is_sound, may_be_of
from monitor.connect.recording.table import DELIMITERS
from monitor.errors import ConfigError
from monitor.features.front import front
from monitor.offline.labels import Event, Truth, check_sensors, read_labels, truth_in
from monitor.settings import Config, StreamConfig
from monitor.stream.window import Windower
from monitor.types import Array
from monitor.windowing import CameraConfig

Recorded = Mapping[str, Sequence[Recording]]  # by the name of the stream


class SensorWindows(NamedTuple):
    """The windows of one sensor in the order of time: data `(N, C, T)`, ends `(N,)` in s since the
    epoch, labels `(N,)` as in `Truth.of_windows`.
    """

    data: Array
    ends: NDArray[np.float64]
    labels: NDArray[np.int8]


def read_recorded(
    config: Config, paths: Iterable[Path], time_column: str | None = None
) -> Recorded:
    """Read the recordings of each stream; streams that nothing was recorded of are left out.

    Where the configuration has several streams, a file belongs to each whose channels it has.
    Raises ConfigError for a file that cannot be used, or belongs to none.
    """
    if len(config.streams) == 1:
        ((name, stream),) = config.streams.items()
        return {name: read_recordings(paths, stream, time_column)}
    files = _files(paths)
    parts = {
        name: [file for file in files if _has_channels(file, stream)]
        for name, stream in config.streams.items()
    }
    if lost := [f for f in files if not any(f in part for part in parts.values())]:
        wanted = "; ".join(
            f"{n}: {', '.join(s.window.channels)}" for n, s in config.streams.items()
        )
        raise ConfigError(f"{lost[0]}: has the channels of no stream; they need {wanted}")
    return {
        name: read_recordings(part, config.streams[name], time_column)
        for name, part in parts.items()
        if part
    }


def read_labelled(
    config: Config, paths: Iterable[Path], labels: Path | None, time_column: str | None = None
) -> tuple[Recorded, Sequence[Event] | None]:
    """Recordings, and what a file of labels tells of them; None without one.

    Raises ConfigError for either that cannot be used, and for labels of sensors not recorded.
    """
    recorded = read_recorded(config, paths, time_column)
    events = read_labels(labels) if labels else None
    if labels and events:
        check_sensors(labels, events, (r.sensor for each in recorded.values() for r in each))
    return recorded, events


def windows_of(recordings: Iterable[Recording], stream: StreamConfig) -> dict[str, SensorWindows]:
    """Every window of each sensor, as the pipeline would cut it, with what the recordings' own
    labels say of it.
    """
    found = by_sensor(recordings)
    return {sensor: _windows(recorded, stream) for sensor, recorded in found.items()}


def by_sensor(recordings: Iterable[Recording]) -> dict[str, list[Recording]]:
    """The recordings of each sensor, in the order of time."""
    found: dict[str, list[Recording]] = {}
    for recording in sorted(recordings, key=lambda r: float(r.time[0])):
        found.setdefault(recording.sensor, []).append(recording)
    return found


def of_rule(
    windows: Mapping[str, SensorWindows], stream: StreamConfig, rule: int
) -> dict[str, SensorWindows]:
    """Those of the sensors that get the detectors of one rule."""
    return {sensor: own for sensor, own in windows.items() if stream.rule_of(sensor) == rule}


def _windows(recordings: Sequence[Recording], stream: StreamConfig) -> SensorWindows:
    window = stream.window
    runs = list(chunks(recordings, window))
    cut = Windower(window).push([0] * len(runs), runs)
    truths = [truth_in(recording, window.rate) for recording in recordings]
    whole = Truth(
        tuple(event for truth in truths for event in truth.events),
        tuple(stretch for truth in truths for stretch in truth.unknown),
    )
    ends = cut.starts + window.samples / window.rate
    return SensorWindows(front(window)(cut.data), ends, whole.of_windows(cut.starts, window))


def _files(paths: Iterable[Path]) -> list[Path]:
    """Every recording, those of a folder in the order of their names."""
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES)
        found.update(dict.fromkeys(inside if path.is_dir() else [path]))
    if not found:
        raise ConfigError(f"no recordings are named; valid endings: {', '.join(SUFFIXES)}")
    return list(found)


def _has_channels(path: Path, stream: StreamConfig) -> bool:
    """Whether a file looks as if it were of a stream: by its columns, or an array's shape."""
    wanted = stream.window.channels
    if is_picture(path) or isinstance(stream.window, CameraConfig):
        return is_picture(path) and isinstance(stream.window, CameraConfig)
    if is_sound(path):
        return may_be_of(path, stream.window)
    try:
        if path.suffix.lower() == ".npy":
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
            return len(wanted) in (shape if len(shape) > 1 else (1,))
        return set(wanted) <= set(_columns(path))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ConfigError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error


def _columns(path: Path) -> list[str]:
    if path.suffix.lower() == ".parquet":
        return [str(name) for name in pq.read_schema(path).names]
    with path.open(encoding="utf-8-sig") as file:
        head = file.readline()
    return [name.strip().strip('"') for name in head.split(max(DELIMITERS, key=head.count))]
