"""A header's name that is no text must not hold up a partition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from monitor.connect.kafka import odd_headers
from monitor.connect.kafka.odd_headers import tolerate_odd_headers
from tests.kafka.conftest import MakeTopic
from tests.kafka.reading import member
from tests.kafka.reading import read as read_records

Headers = Sequence[tuple[str, bytes | None]]


class Odd(str):
    """A name that is written as other bytes than it shows."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfea"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before, DefaultRecordBatch._read_msg = DefaultRecordBatch._read_msg, odd_headers._strict
    yield
    DefaultRecordBatch._read_msg = before


def batch(*headers: Headers, compression: int = 0) -> bytes:
    """A record for each, as a broker would give it."""
    made = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 1_000_000)
    for offset, each in enumerate(headers):
        made.append(offset, 1000 + offset, b"key", b"value %d" % offset, list(each))
    return bytes(made.build())


def read(data: bytes) -> list[Any]:
    found = MemoryRecords(data).next_batch()
    return [(r.offset, r.key, r.value, list(r.headers)) for r in found]


@pytest.mark.parametrize("compression", [0, 1])
def test_a_name_that_is_not_utf8_is_read_and_what_follows_too(compression: int) -> None:
    data = batch([("a", b"1")], [("b", None), (Odd("x"), b"2")], [("c", b"3")], [])
    tolerate_odd_headers()
    assert read(data) == [
        (0, b"key", b"value 0", [("a", b"1")]),
        (1, b"key", b"value 1", [("b", None), ("\\xff\\xfea", b"2")]),
        (2, b"key", b"value 2", [("c", b"3")]),
        (3, b"key", b"value 3", []),
    ]


def test_without_that_the_client_stops_at_it() -> None:
    with pytest.raises(CorruptRecordError, match="UnicodeDecodeError"):
        read(batch([("a", b"1")], [(Odd("x"), b"2")]))


def test_a_record_that_is_damaged_is_still_refused() -> None:
    data = bytearray(batch([(Odd("x"), b"2")]))
    data[-2] += 4  # the header is said to be longer than the record
    tolerate_odd_headers()
    with pytest.raises(CorruptRecordError):
        read(bytes(data))


@pytest.mark.kafka
def test_a_partition_goes_on_behind_such_a_record(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    for headers in ([("a", b"1")], [(Odd("x"), b"2")], []):
        topic.producer.send(topic.name, b"v", key=b"k", headers=headers)
    topic.producer.flush()
    found = read_records(member(topic).start(), 3)
    assert [r.headers for r in found] == [(("a", b"1"),), (("\\xff\\xfea", b"2"),), ()]
