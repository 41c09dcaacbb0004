"""Records whose headers have names that are not UTF-8.

A broker takes them, and kafka-python 3.0.12 cannot read one, nor get past it: a single record would
hold up its partition for ever.
"""

from __future__ import annotations

from typing import Any

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

_strict = DefaultRecordBatch._read_msg


def tolerate_odd_headers() -> None:
    """From now on consumers of this process read such names, with `\\xNN` for the odd bytes."""
    DefaultRecordBatch._read_msg = _read


def _read(batch: Any) -> Any:
    try:
        return _strict(batch)
    except UnicodeDecodeError:
        return _read_leniently(batch)


def _read_leniently(batch: Any) -> Any:
    """The same from a copy of this one record, whose text is decoded in any case."""
    whole, start = batch._buffer, batch._pos
    length, begin = decode_varint(whole, start)
    batch._buffer, batch._pos = _Lenient(whole[start : begin + length]), 0
    try:
        return _strict(batch)
    finally:
        batch._buffer, batch._pos = whole, begin + length


class _Lenient(bytearray):
    """Bytes of which every part can be decoded."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Lenient(found) if isinstance(key, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
