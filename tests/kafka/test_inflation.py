"""A batch that inflates to gigabytes must neither fill the memory nor hold up a partition."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import lz4.frame
import pytest
import zstandard
from kafka import KafkaProducer
from kafka.record import MemoryRecords, default_records
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from monitor.connect.kafka import inflation
from monitor.connect.kafka.inflation import HEADER, TooLargeError, bound_inflation
from tests.kafka.conftest import MakeTopic
from tests.kafka.reading import member
from tests.kafka.reading import read as read_records

MIB = 1024 * 1024
CODECS = {"gzip": 1, "lz4": 3, "zstd": 4}
PATCHED = ("gzip_decode", "lz4_decode", "zstd_decode")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    kept = {name: getattr(default_records, name) for name in PATCHED}
    method = DefaultRecordBatch._maybe_uncompress
    bound_inflation()
    yield
    DefaultRecordBatch._maybe_uncompress = method
    for name, function in kept.items():
        setattr(default_records, name, function)


def batch(compression: int, *values: bytes) -> bytes:
    made = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 2**31 - 1)
    for offset, value in enumerate(values):
        made.append(offset, 1000, b"key", value, [])
    return bytes(made.build())


def read(data: bytes) -> list[Any]:
    return list(MemoryRecords(data).next_batch())


@pytest.mark.parametrize("name", CODECS)
def test_what_is_not_too_large_is_read_as_ever(name: str) -> None:
    values = [b"a" * 5 * MIB, b"", b"c"]
    assert [record.value for record in read(batch(CODECS[name], *values))] == values


@pytest.mark.parametrize("name", CODECS)
def test_a_batch_that_is_too_large_is_one_empty_record_that_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflation, "MOST_INFLATED", MIB)
    data = batch(CODECS[name], b"a", bytes(40 * MIB), b"c")
    tracemalloc.start()
    (record,) = read(data)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10 * MIB
    assert (record.offset, record.key, record.value) == (0, None, None)
    assert record.headers == [(HEADER, b"3 records, over 1048576 bytes when inflated")]


@pytest.mark.parametrize(
    ("inflate", "deflate"),
    [
        (inflation.gunzip, gzip.compress),
        (inflation.unlz4, lz4.frame.compress),
        (inflation.unzstd, zstandard.compress),
    ],
)
def test_streams_of_several_parts_are_joined_and_bounded_together(
    inflate: Callable[[bytes], bytes],
    deflate: Callable[[bytes], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inflation, "MOST_INFLATED", 1000)
    parts = deflate(bytes(500)) + deflate(b"b" * 500)
    assert inflate(parts) == bytes(500) + b"b" * 500
    with pytest.raises(TooLargeError):
        inflate(parts + deflate(b"c"))


@pytest.mark.kafka
@pytest.mark.parametrize("name", CODECS)
def test_a_partition_goes_on_behind_such_a_batch(
    name: str, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inflation, "MOST_INFLATED", MIB)
    topic = make_topic(1)
    topic.append(1)
    large = KafkaProducer(
        bootstrap_servers=topic.address, compression_type=name, max_request_size=2**30
    )
    large.send(topic.name, bytes(8 * MIB), key=b"k").get(30)
    large.close()
    topic.append(1)
    first, skipped, last = read_records(member(topic).start(), 3)
    assert (first.value, skipped.value, last.value) == (b"0", b"", b"0")
    assert [header for header, _ in skipped.headers] == [HEADER]
    assert (first.offset, skipped.offset, last.offset) == (0, 1, 2)
