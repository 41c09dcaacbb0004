"""Which sensor a record is of: from its key, its topic, a header, or a place in the payload."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from monitor.errors import DecodeError
from monitor.stream.codec.telling import listed
from monitor.types import Record

MAX_NAME = 200
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
Namer = Callable[[Record], str]


def namer(sensor: str) -> Namer:
    """How `key`, `topic` or `header:NAME` gives the name; a record without a key is its topic's."""
    kind, _, header = sensor.partition(":")
    if kind == "topic":
        return _by_topic
    return _by_header(header) if kind == "header" else _by_key


def checked(name: str) -> str:
    """The same name, if it has 1 to 200 characters and no control character among them."""
    if not 1 <= len(name) <= MAX_NAME:
        raise DecodeError(
            "bad_sensor", f"the sensor's name has {len(name)} characters; valid are 1 to {MAX_NAME}"
        )
    if found := _FORBIDDEN.search(name):
        raise DecodeError(
            "bad_sensor",
            f"the sensor's name {name!a} has the control character {found[0]!a}",
        )
    return name


@lru_cache(maxsize=16_384)
def _decoded(raw: bytes) -> str:
    try:
        return checked(raw.decode())
    except UnicodeDecodeError as error:
        raise DecodeError("bad_sensor", f"the sensor's name {raw[:40]!r} is not UTF-8") from error


def _by_key(record: Record) -> str:
    return record.partition.topic if record.key is None else _decoded(record.key)


def _by_topic(record: Record) -> str:
    return record.partition.topic


def _by_header(header: str) -> Namer:
    def name(record: Record) -> str:
        for key, value in record.headers:
            if key == header and value is not None:
                return _decoded(value)
        found = listed(sorted({ascii(key) for key, _ in record.headers})) or "none"
        raise DecodeError("bad_sensor", f"no header {header!r} names the sensor; there is {found}")

    return name
