"""The binary format: a header of 24 bytes, then little-endian float32, channel after channel.

The cheapest one: decoding makes no copy of the samples.
"""

from __future__ import annotations

import math
from struct import Struct

import numpy as np

from monitor.errors import DecodeError
from monitor.settings import StreamConfig
from monitor.stream.codec.limits import MAX_CHANNELS, Shaper, check_size
from monitor.stream.codec.naming import namer
from monitor.stream.codec.telling import listed
from monitor.types import Record, Samples

HEADER = Struct("<4sBBHHHId")
MAGIC = b"MF32"
VERSION = 1
ALL_CHANNELS = 0xFFFF
_LITTLE = np.dtype("<f4")


def encode_float32(samples: Samples) -> bytes:
    """One message; a NaN `start` leaves the time to the log. Raises ValueError for no `(C, n)`."""
    data = samples.data
    if data.ndim != 2 or not 1 <= data.shape[0] <= MAX_CHANNELS or not data.shape[1]:
        raise ValueError(f"samples have shape {data.shape}, not (1 to {MAX_CHANNELS}, 1 or more)")
    channel = ALL_CHANNELS if samples.channel < 0 else samples.channel
    head = HEADER.pack(MAGIC, VERSION, 0, channel, data.shape[0], 0, data.shape[1], samples.start)
    return head + np.ascontiguousarray(data, _LITTLE).tobytes()


class Float32Codec:
    """Decodes the binary format of one stream."""

    def __init__(self, stream: StreamConfig) -> None:
        self._name = namer(stream.sensor)
        self._shaper = Shaper(stream.window, stream.limits)
        self._most = stream.limits.message

    def decode(self, record: Record) -> list[Samples]:
        """As `Codec.decode`."""
        value = record.value
        size = len(value) if value else 0
        if not HEADER.size <= size <= self._most:
            check_size(size, self._most)
            _refuse_short(value)
        magic, version, flags, channel, rows, reserved, count, start = HEADER.unpack_from(value)
        if magic != MAGIC or version != VERSION or flags or reserved:
            _refuse_header(magic, version, flags, reserved)
        if size != HEADER.size + 4 * rows * count:
            _refuse_length(size, rows, count)
        if channel == ALL_CHANNELS:
            channel = -1
        elif channel >= len(self._shaper.channels):
            _refuse_channel(channel, self._shaper.channels)
        data = np.frombuffer(value, _LITTLE, offset=HEADER.size).reshape(rows, count)
        time = record.time if math.isnan(start) else start
        return [self._shaper.samples(self._name(record), time, data, channel)]


def _refuse_short(value: bytes) -> None:
    if not MAGIC.startswith(value[:4]):
        _refuse_header(value[:4], VERSION, 0, 0)
    raise DecodeError("truncated", f"{len(value)} bytes; the header alone has {HEADER.size}")


def _refuse_header(magic: bytes, version: int, flags: int, reserved: int) -> None:
    if magic != MAGIC:
        raise DecodeError("bad_magic", f"the message starts with {magic!r}, not {MAGIC!r}")
    raise DecodeError(
        "bad_magic",
        f"version {version}, flags {flags}, reserved {reserved}; valid are {VERSION}, 0, 0",
    )


def _refuse_length(found: int, rows: int, count: int) -> None:
    wanted = HEADER.size + 4 * rows * count
    reason = "truncated" if found < wanted else "trailing"
    raise DecodeError(
        reason, f"{found} bytes; {rows} channels of {count} float32 and a header make {wanted}"
    )


def _refuse_channel(channel: int, channels: tuple[str, ...]) -> None:
    raise DecodeError(
        "unknown_channel",
        f"channel {channel}; valid are 0 to {len(channels) - 1} ({listed(channels)}), "
        f"or {ALL_CHANNELS} for all",
    )
