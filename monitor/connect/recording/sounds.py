"""Recorded sound: WAV, FLAC and OGG files, of one microphone or of several sensors beside each
other.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from monitor.connect.recording.table import Table
from monitor.errors import ConfigError, DecodeError
from monitor.stream.codec.audio import Heard, check_installed, mixed, read_audio
from monitor.windowing import SoundConfig, Window

SOUNDS = (".wav", ".flac", ".ogg", ".oga")
_STAMPED = re.compile(r"(.*?)[ ._-]?(\d{8})[ T_-]?(\d{6})Z?", re.DOTALL)


def is_sound(path: Path) -> bool:
    """Whether a file's ending says that it is one."""
    return path.suffix.lower() in SOUNDS


def read_sound(path: Path, window: Window) -> Table:
    """A file with the channels of a stream, or of any number where the stream is of sound: they are
    then mixed. Its time begins with the one in its name, or at 0.

    Raises ConfigError for a file that cannot be read, or has another rate or other channels.
    """
    heard = heard_in(path)
    if heard.rate != window.rate:
        raise ConfigError(
            f"{path}: was sampled at {heard.rate} Hz; the stream's window.rate is {window.rate:g}"
        )
    data = mixed(heard.data) if isinstance(window, SoundConfig) else heard.data
    if len(data) != len(window.channels):
        raise ConfigError(
            f"{path}: has {len(data)} channels; the stream has {len(window.channels)}: "
            f"{', '.join(window.channels)}"
        )
    if not data.size:
        raise ConfigError(f"{path}: holds no samples")
    time = began(path.stem) + np.arange(data.shape[1]) / heard.rate
    return Table(time, data, tuple(window.channels))


def heard_in(path: Path) -> Heard:
    """What is in a file, whatever it is of. Raises ConfigError where it cannot be read."""
    check_installed()
    try:
        with path.open("rb") as file:
            return read_audio(file, sys.maxsize)
    except (OSError, MemoryError, DecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def may_be_of(path: Path, window: Window) -> bool:
    """Whether a file of sound may belong to a stream of such windows. Raises ConfigError where it
    cannot be read.
    """
    if isinstance(window, SoundConfig):
        return True
    heard = heard_in(path)
    return (heard.rate, len(heard.data)) == (window.rate, len(window.channels))


def sensor_in(name: str, path: Path) -> str:
    """The sensor's name: the file's `name` without the time at its end, if it has one; where
    nothing else is in it, the name of its folder.
    """
    if began(name) == 0:
        return name
    found = _STAMPED.fullmatch(name)
    return (found[1] if found else name).rstrip("/") or path.resolve().parent.name


def began(name: str) -> float:
    """The time at the end of a name, such as `pump-1_20260131_120000`, in s since the epoch (UTC);
    0 without one.
    """
    found = _STAMPED.fullmatch(name)
    try:
        stamp = datetime.strptime(f"{found[2]}{found[3]}+0000", "%Y%m%d%H%M%S%z") if found else None
    except ValueError:  # digits that are no date
        return 0.0
    return max(0.0, stamp.astimezone(UTC).timestamp()) if stamp else 0.0
