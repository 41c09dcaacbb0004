"""What a message may not exceed, as the stream's settings say."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import orjson
import pytest

from monitor.errors import DecodeError
from monitor.settings import Limits
from monitor.stream.codec import make_codec
from monitor.types import Record
from tests.core.builders import HERE, message, pipeline, record, stream, stream_config


def body(kind: str, size: int) -> bytes:
    """A message of two channels."""
    data = np.ones((2, size), np.float32)
    if kind == "float32":
        return message(1.0, data)
    packed: bytes = (orjson.dumps if kind == "json" else msgpack.packb)({"values": data.tolist()})
    return packed


def refused(kind: str, size: int, **limits: Any) -> str:
    """The reason, or nothing where the message is fine."""
    codec = make_codec(stream_config(format=kind, limits=limits))
    try:
        codec.decode(Record(HERE, 0, b"pump", 1.0, body(kind, size)))
    except DecodeError as error:
        return f"{error.reason}: {error.detail}"
    return ""


KINDS = ["float32", "json", "msgpack"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_of_more_numbers_than_the_limit_is_refused(kind: str) -> None:
    assert refused(kind, 50, samples=100) == ""
    told = "too_many_samples: the message has 102 numbers; limits.samples is 100"
    assert refused(kind, 51, samples=100) == told


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_of_more_bytes_than_the_limit_is_refused_unread(kind: str) -> None:
    size = len(body(kind, 50))
    assert refused(kind, 50, message=size) == ""
    told = f"too_large: the message has {size} bytes; limits.message is {size - 1}"
    assert refused(kind, 50, message=size - 1) == told


def test_a_binary_message_of_the_greatest_size_is_within_the_samples() -> None:
    limits = Limits()
    assert limits.message // 4 <= limits.samples


def test_what_is_over_a_limit_is_counted_and_the_next_message_is_used() -> None:
    each = pipeline(stream(stream_config(limits={"samples": 8})))
    fine, large = np.ones((2, 4), np.float32), np.ones((2, 5), np.float32)
    result = each.process([record(0, 0.0, large), record(1, 4.0, fine)])
    assert [r.reason for r in result.rejected] == ["too_many_samples"]
    assert each.counts["messages_invalid", "vibration", "too_many_samples"] == 1
    assert {score.offset for score in result.scores} == {1}
