"""Recorded pictures: PNG and JPEG files as the frames of cameras.

A folder of pictures is a camera. Where a folder `good` is among its sisters, as in the usual data
sets for inspection (`bottle/train/good`, `bottle/test/scratch`, ...), they are the kinds of parts
that one camera saw: those in any other folder than `good` are anomalous.
"""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.connect.recording.sounds import began
from monitor.connect.recording.table import Table
from monitor.errors import ConfigError, DecodeError
from monitor.settings import StreamConfig
from monitor.stream.codec.frames import read_frame
from monitor.types import Array
from monitor.windowing import CameraConfig, Window

PICTURES = (".png", ".jpg", ".jpeg")
GOOD = ("good", "normal", "ok")
PARTS = ("train", "test", "val", "valid", "validation")
MASKS = "ground_truth"


class Frames(NamedTuple):
    """The frames of one camera in the order of time: `table.data` is `(C, n * H * W)`, one frame
    after the other; `path` is the folder that all are in.
    """

    sensor: str
    table: Table
    path: Path


class _Place(NamedTuple):
    """Which camera a picture is of, and its label: 1 for an anomaly, -1 where no folder says."""

    sensor: str
    label: int


def is_picture(path: Path) -> bool:
    """Whether a file's ending says that it is one."""
    return path.suffix.lower() in PICTURES


def read_frames(files: Sequence[Path], stream: StreamConfig) -> list[Frames]:
    """Pictures as the frames of a stream of cameras, each cut, scaled and coloured as live ones.

    A frame's time is that at the end of its name, such as `part_20260131_120000`, where every
    picture of the camera has one; else they follow each other at the stream's rate, good ones
    first, in the order of their names. Raises ConfigError for what cannot be read.
    """
    window = _camera(files[0], stream.window)
    cameras: dict[str, list[tuple[int, Path]]] = {}
    for file, place in zip(files, _places(files), strict=True):
        cameras.setdefault(place.sensor, []).append((place.label, file))
    return [_of_one(name, found, window, stream) for name, found in sorted(cameras.items())]


def _of_one(
    sensor: str, found: list[tuple[int, Path]], window: CameraConfig, stream: StreamConfig
) -> Frames:
    found = sorted(found, key=lambda each: (max(each[0], 0), str(each[1])))
    times = np.array([began(file.stem) for _, file in found])
    if (times > 0).all():
        order = np.argsort(times, kind="stable").tolist()
        found, times = [found[i] for i in order], times[order]
    else:
        times = np.arange(len(found)) / window.rate
    _check_times(found, times)
    read = [_read(file, window, stream.limits.pixels) for _, file in found]
    labels = np.array([label for label, _ in found], np.int8)
    known = None if (labels < 0).all() else labels
    table = Table(times, np.concatenate(read, axis=1), tuple(window.channels), known)
    return Frames(sensor, table, Path(commonpath([file for _, file in found])))


def _places(files: Sequence[Path]) -> list[_Place]:
    """Camera and label of each picture, by the names of the folders it is in."""
    resolved = [file.resolve() for file in files]
    sorted_ones = {f.parent.parent for f in resolved if f.parent.name.lower() in GOOD}
    # A test set may have no good part: it belongs to the training set beside it.
    sorted_ones |= {f.parent.parent for f in resolved if f.parent.parent.name.lower() in PARTS}
    return [_place(file, by_kind=file.parent.parent in sorted_ones) for file in resolved]


def _place(file: Path, *, by_kind: bool) -> _Place:
    folder = file.parent
    if not by_kind:
        return _Place(folder.name, -1)
    root = folder.parent
    sensor = root.parent.name if root.name.lower() in PARTS else root.name
    return _Place(sensor or root.name, int(folder.name.lower() not in GOOD))


def _read(file: Path, window: CameraConfig, most: int) -> Array:
    try:
        with file.open("rb") as picture:
            return read_frame(picture, window, most)
    except (OSError, DecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error


def _check_times(found: Sequence[tuple[int, Path]], times: NDArray[np.float64]) -> None:
    repeated = np.flatnonzero(np.diff(times) <= 0)
    if len(repeated):
        one, other = (found[int(repeated[0]) + i][1] for i in (0, 1))
        raise ConfigError(f"{other}: has the same time in its name as {one.name}")


def _camera(file: Path, window: Window) -> CameraConfig:
    if not isinstance(window, CameraConfig):
        raise ConfigError(
            f"{file}: is a picture, but the stream's window.input is {window.input}; pictures need "
            "frames"
        )
    return window
