"""The times that messages carry: numbers in four units, ISO 8601 text, msgpack time stamps."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgpack

from monitor.errors import DecodeError
from monitor.stream.codec.telling import told
from monitor.types import Record

HEADER = "time"
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_LONGEST = 40


def seconds_of(value: Any, unit: str) -> float:
    """Seconds since the epoch; text without a zone is UTC. DecodeError `bad_time` for no time."""
    if isinstance(value, msgpack.Timestamp):
        return float(value.to_unix())
    if unit == "iso" and isinstance(value, str):
        return _iso(value)
    if unit != "iso" and type(value) in (int, float) and math.isfinite(value):
        return float(value / _PER_SECOND[unit])
    wanted = "ISO 8601 text" if unit == "iso" else f"a number of {unit}"
    raise DecodeError("bad_time", f"the time is {told(value)}, not {wanted}")


def _iso(text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise DecodeError(
            "bad_time", f"the time is {told(text)}, not like 2026-01-31T12:00:00.5Z"
        ) from error


def start_of(record: Record) -> float:
    """The time of a message that is a file: what its header `time` says, seconds since the epoch as
    text, or else the log's time stamp. DecodeError `bad_time` where the header is no number.
    """
    for key, value in record.headers:
        if key == HEADER and value is not None:
            try:
                return float(value[:_LONGEST])
            except ValueError as error:
                raise DecodeError(
                    "bad_time", f"the header {HEADER!r} is {told(value)}, not seconds since 1970"
                ) from error
    return record.time
