"""Recorded data from files: CSV, Parquet, NumPy arrays, sound and pictures, for training, replay
and evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.connect.recording.frames import MASKS, PICTURES, is_picture, read_frames
from monitor.connect.recording.sounds import SOUNDS, is_sound, read_sound, sensor_in
from monitor.connect.recording.table import Table, read_table
from monitor.errors import ConfigError
from monitor.settings import StreamConfig
from monitor.types import Array
from monitor.windowing import CameraConfig, Window

SUFFIXES = (".csv", ".npy", ".parquet", *SOUNDS, *PICTURES)
RATE_TOLERANCE = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What was recorded of one sensor: `time` is `(n,)` in s since the epoch, rising; `data` is
    `(C, n)`, or `(C, n * H * W)` of a camera, one frame after the other.

    `labels` are `(n,)`: 1 for an anomaly, 0 for normal, -1 for unknown; None where the file has
    none.
    """

    sensor: str
    time: NDArray[np.float64]
    data: Array
    channels: tuple[str, ...]
    labels: NDArray[np.int8] | None
    path: Path

    def anomalies(self, period: float) -> list[tuple[float, float]]:
        """Start and end of each stretch labelled 1; its last sample lasts `period` seconds."""
        if self.labels is None:
            return []
        marked = np.concatenate(([0], (self.labels == 1).astype(np.int8), [0]))
        edges = np.flatnonzero(np.diff(marked)).reshape(-1, 2)
        return [(float(self.time[a]), float(self.time[b - 1]) + period) for a, b in edges]


def read_recordings(
    paths: Iterable[Path], stream: StreamConfig, time_column: str | None = None
) -> list[Recording]:
    """Read files, and all that lies in folders, as recordings of the channels of a stream.

    A sensor is called what the column `sensor` says, else by its file's name without the ending;
    where two files share it, by folder and name. A time at the end of the name of a file of sound
    is when it begins, and no part of the sensor's name. Raises ConfigError, in one line, for
    whatever cannot be used.
    """
    files = _files(paths)
    pictures = [file for file in files if is_picture(file)]
    found = [_recording(*each) for each in _cameras(pictures, stream)]
    files = [file for file in files if file not in pictures]
    _check_kind(files, stream.window)
    for path, name in zip(files, _names(files), strict=True):
        if is_sound(path):
            found.append(_recording(read_sound(path, stream.window), sensor_in(name, path), path))
            continue
        table = read_table(path, stream.window, time_column)
        found += [_recording(part, sensor or name, path) for sensor, part in table.by_sensor()]
    for recording in found:
        if not isinstance(stream.window, CameraConfig):
            _check_time(recording, stream.window)
    return found


def _cameras(pictures: Sequence[Path], stream: StreamConfig) -> Iterator[tuple[Table, str, Path]]:
    for each in read_frames(pictures, stream) if pictures else ():
        yield each.table, each.sensor, each.path


def _check_kind(files: Sequence[Path], window: Window) -> None:
    if files and isinstance(window, CameraConfig):
        raise ConfigError(
            f"{files[0]}: is no picture, but the stream's window.input is frames; valid endings: "
            f"{', '.join(PICTURES)}"
        )


def _recording(table: Table, sensor: str, path: Path) -> Recording:
    return Recording(sensor, table.time, table.data, table.channels, table.labels, path)


def _files(paths: Iterable[Path]) -> list[Path]:
    """Every file once, those of a folder in the order of their names."""
    found: dict[Path, Path] = {}
    for path in paths:
        inside = _inside(path) if path.is_dir() else [path]
        found.update({file.resolve(): file for file in inside})
    if not found:
        raise ConfigError("no recordings are named; give files or folders")
    return list(found.values())


def _inside(folder: Path) -> list[Path]:
    every = (f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    files = sorted(f for f in every if MASKS not in f.relative_to(folder).parts)
    if not files:
        raise ConfigError(f"{folder}: holds no recording; valid endings: {', '.join(SUFFIXES)}")
    return files


def _names(files: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths, equally long for all, that tell the files apart."""
    if not files:
        return []
    stems = [file.resolve().with_suffix("").parts for file in files]
    for depth in range(1, max(map(len, stems)) + 1):
        names = ["/".join(parts[-depth:]) for parts in stems]
        if len(set(names)) == len(names):
            return names
    twice = next(name for name in names if names.count(name) > 1)
    raise ConfigError(f"{twice}: two recordings differ only in their ending; name one of them")


def _check_time(recording: Recording, window: Window) -> None:
    """Time must rise, at about the rate of the stream."""
    steps = np.diff(recording.time)
    if len(steps) and not np.all(steps > 0):
        row = int(np.argmin(steps > 0))
        kind = "repeats" if steps[row] == 0 else "goes back"
        raise ConfigError(
            f"{recording.path}: sensor {recording.sensor!r}: time {kind} at sample {row + 2} "
            f"({recording.time[row]:.6f} s, then {recording.time[row + 1]:.6f} s); sort the rows "
            "by time and remove repeats"
        )
    if len(steps) < 2:
        return
    rate = 1.0 / float(np.median(steps))
    if not abs(rate / window.rate - 1.0) <= RATE_TOLERANCE:
        raise ConfigError(
            f"{recording.path}: sensor {recording.sensor!r} was sampled at about {rate:g} Hz; "
            f"the stream's window.rate is {window.rate:g}"
        )
