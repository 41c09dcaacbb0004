"""Batches that are small on the wire and huge in memory.

A broker limits the compressed batch: 1 MB of gzip may be 1 GB of zeros, of zstd 30 GB. kafka-python
3.0.12 inflates whatever comes, at once and in several copies. Meanwhile no heartbeat is sent, the
group expels the member, and the next owner meets the same batch.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any

import lz4.frame
import structlog
from kafka import codec
from kafka.record import default_records
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import encode_varint

log = structlog.get_logger()

MOST_INFLATED = 128 * 1024 * 1024
HEADER = "monitor-skipped"
_unbounded = DefaultRecordBatch._maybe_uncompress


class TooLargeError(Exception):
    """A batch is not inflated any further."""


def bound_inflation() -> None:
    """From now on consumers of this process pass over batches of more than MOST_INFLATED bytes; in
    place of their records comes a single empty one, which is refused, counted and told like others.
    """
    default_records.gzip_decode = gunzip
    default_records.lz4_decode = unlz4
    if codec.has_zstd():
        default_records.zstd_decode = unzstd
    DefaultRecordBatch._maybe_uncompress = _inflate


def _inflate(batch: Any) -> None:
    try:
        _unbounded(batch)
    except TooLargeError:
        told = f"{batch.records_count} records, over {MOST_INFLATED} bytes when inflated"
        log.warning("batch_too_large", offset=batch.base_offset, batch=told)
        batch._buffer, batch._pos = _stand_in(told.encode()), 0
        batch._num_records, batch._decompressed = 1, True


def _stand_in(told: bytes) -> bytearray:
    """A record at the batch's first offset without key and value, and a header that says why."""
    body = bytearray(b"\0")  # attributes
    name = HEADER.encode()
    for number in (0, 0, -1, -1, 1, len(name)):  # time, offset, key, value, headers
        encode_varint(number, body.append)
    body += name
    encode_varint(len(told), body.append)
    body += told
    whole = bytearray()
    encode_varint(len(body), whole.append)
    return whole + body


def gunzip(data: bytes) -> bytes:
    """As `kafka.codec.gzip_decode`. Raises TooLargeError."""
    return _members(data, lambda: zlib.decompressobj(31))


def unlz4(data: bytes) -> bytes:
    """As `kafka.codec.lz4_decode`. Raises TooLargeError."""
    return _members(data, lz4.frame.LZ4FrameDecompressor)


def unzstd(data: bytes) -> bytes:
    """As `kafka.codec.zstd_decode`. Raises TooLargeError."""
    made = codec.zstd.ZstdDecompressor()
    with made.stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
        return _checked(reader.read(MOST_INFLATED + 1))


def _members(data: bytes, make: Callable[[], Any]) -> bytes:
    """All parts of a compressed stream, which each end by themselves."""
    found = b""
    while data:
        member = make()
        found = _checked(found + member.decompress(bytes(data), MOST_INFLATED + 1 - len(found)))
        if not member.eof:
            raise ValueError("the compressed batch is cut short")
        data = member.unused_data
    return found


def _checked(found: bytes) -> bytes:
    if len(found) > MOST_INFLATED:
        raise TooLargeError
    return found
