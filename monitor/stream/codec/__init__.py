"""Bytes -> samples: one decoder for each family of messages, chosen by a stream's settings.

Pure: no clock and no I/O. The formats are described byte by byte in docs/messages.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import orjson

from monitor.errors import ConfigError
from monitor.settings import StreamConfig
from monitor.stream.codec.audio import AudioCodec, encode_audio
from monitor.stream.codec.document import DocumentCodec
from monitor.stream.codec.float32 import Float32Codec, encode_float32
from monitor.stream.codec.frames import ImageCodec
from monitor.stream.codec.limits import check_parts
from monitor.stream.codec.packed import unpacked
from monitor.types import Record, Samples

__all__ = ["Codec", "encode_audio", "encode_float32", "make_codec"]


class Codec(Protocol):
    """What turns the messages of one stream into samples."""

    def decode(self, record: Record) -> Sequence[Samples]:
        """Usually one; the arrays are read-only. Raises DecodeError and nothing else."""
        ...


def make_codec(stream: StreamConfig) -> Codec:
    """The decoder of a stream's messages. Raises ConfigError where its settings contradict."""
    if stream.format.kind == "json":
        return DocumentCodec(stream, _json, "bad_json")
    if stream.format.kind == "msgpack":
        _msgpack(b"\xc0")  # so that the compiler is done before the first message
        return DocumentCodec(stream, _msgpack, "bad_msgpack")
    if stream.sensor.startswith("payload:"):
        raise ConfigError(
            f"sensor: {stream.sensor!r}: a message of format {stream.format.kind} carries no "
            "names; valid are key, topic, header:NAME, or format json or msgpack"
        )
    if stream.format.kind == "image":
        return ImageCodec(stream)
    return AudioCodec(stream) if stream.format.kind == "audio" else Float32Codec(stream)


def _json(data: bytes) -> object:
    check_parts(data.count(b"[") + data.count(b"{"))
    return orjson.loads(data)


def _msgpack(data: bytes) -> object:
    return unpacked(data)
