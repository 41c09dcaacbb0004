"""JSON and msgpack: the same tree of maps and lists, with the places of things in the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

from monitor.errors import ConfigError, DecodeError
from monitor.settings import StreamConfig
from monitor.stream.codec.limits import Shaper, check_size
from monitor.stream.codec.naming import checked, namer
from monitor.stream.codec.numbers import matrix, row
from monitor.stream.codec.paths import ABSENT, Path
from monitor.stream.codec.telling import listed, told
from monitor.stream.codec.times import seconds_of
from monitor.types import Array, Record, Samples


class DocumentCodec:
    """Decodes what `parse` makes of the bytes; `reason` is the word for bytes it cannot read."""

    def __init__(self, stream: StreamConfig, parse: Callable[[bytes], object], reason: str) -> None:
        paths = stream.format.paths
        self._parse, self._reason, self._unit = parse, reason, paths.time_unit
        self._shaper = Shaper(stream.window, stream.limits)
        self._most = stream.limits.message
        self._most_samples = stream.limits.samples
        self._time = None if paths.time is None else Path(paths.time)
        self._channel = None if paths.channel is None else Path(paths.channel)
        self._values = None if paths.values is None else Path(paths.values)
        self._each = _ordered(paths.channels or {}, stream.window.channels, self._values is None)
        kind, _, path = stream.sensor.partition(":")
        self._sensor = Path(path) if kind == "payload" else None
        self._name = namer(stream.sensor)

    def decode(self, record: Record) -> list[Samples]:
        """As `Codec.decode`."""
        document = self._document(record.value)
        sensor = self._sensor_of(record, document)
        channel = self._channel_of(document)
        data = self._data(document, channel)
        data.flags.writeable = False
        return [self._shaper.samples(sensor, self._start(record, document), data, channel)]

    def _document(self, value: bytes) -> object:
        check_size(len(value) if value else 0, self._most)
        try:
            return self._parse(value)
        except (ValueError, msgpack.UnpackException, RecursionError, OverflowError) as error:
            told = " ".join(str(error).split())[:200]
            raise DecodeError(self._reason, f"{type(error).__name__}: {told}") from error

    def _sensor_of(self, record: Record, document: object) -> str:
        if self._sensor is None:
            return self._name(record)
        found = self._sensor.get(document)
        if isinstance(found, str):
            return checked(found)
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        raise DecodeError(
            "bad_sensor",
            f"path {self._sensor.text!r} leads to {type(found).__name__}, not to text or a number",
        )

    def _channel_of(self, document: object) -> int:
        if self._channel is None:
            return -1
        found = self._channel.get(document)
        name = str(found) if isinstance(found, str | int) else ""
        if name not in self._shaper.channels:
            raise DecodeError(
                "unknown_channel",
                f"channel {told(found)}; valid are {listed(self._shaper.channels)}",
            )
        return self._shaper.channels.index(name)

    def _data(self, document: object, channel: int) -> Array:
        if self._values is not None:
            count = len(self._shaper.channels) if channel < 0 else 1
            return matrix(self._values.get(document), count, self._most_samples)
        rows = [row(path.get(document), name, self._most_samples) for name, path in self._each]
        if len({len(values) for values in rows}) > 1:
            lengths = [len(values) for values in rows]
            raise DecodeError(
                "wrong_shape", f"the channels have {lengths} samples, not equally many"
            )
        return np.stack(rows)

    def _start(self, record: Record, document: object) -> float:
        found: Any = ABSENT if self._time is None else self._time.find(document)
        return record.time if found is ABSENT or found is None else seconds_of(found, self._unit)


def _ordered(paths: dict[str, str], channels: list[str], needed: bool) -> list[tuple[str, Path]]:
    """The path of each channel, in the order of the window."""
    if needed and set(paths) != set(channels):
        raise ConfigError(
            f"format.paths.channels names {sorted(paths)}; it must name exactly the window's "
            f"channels {sorted(channels)}"
        )
    return [(name, Path(paths[name])) for name in channels] if needed else []
