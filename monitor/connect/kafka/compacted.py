"""A compacted topic: of each key the newest value stays, older ones go in time.

kafka-python's admin client makes and checks the topic, a producer writes to partitions by number,
and a consumer without a group reads from an offset on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from kafka import KafkaConsumer, KafkaProducer, TopicPartition, errors

from monitor.connect.kafka.admin import TopicFacts, compacted_topic
from monitor.connect.kafka.client import connection, said
from monitor.connect.kafka.odd_headers import tolerate_odd_headers
from monitor.connect.kafka.outgoing import discard
from monitor.connect.kafka.reach import reach
from monitor.connections import Kafka
from monitor.errors import ConfigError, SourceError, StateError

# A batch larger than the topic allows is refused: room for its head, the key and the lengths.
_HEAD = 2048
_TURN = 0.5
_REST = 3
_PRODUCER = {
    "acks": "all",
    # See delivery.py. One request at a time keeps the order within a partition.
    "enable_idempotence": False,
    "max_in_flight_requests_per_connection": 1,
    "max_request_size": 64 * 1024 * 1024,
    "allow_auto_create_topics": False,
    "bootstrap_timeout_ms": 10_000,
    "metrics_enabled": False,
}
_CONSUMER = {
    "group_id": None,
    "enable_auto_commit": False,
    "auto_offset_reset": "earliest",
    "allow_auto_create_topics": False,
    "fetch_max_wait_ms": 50,
    "max_partition_fetch_bytes": 4 * 1024 * 1024,
    "bootstrap_timeout_ms": 10_000,
    "metrics_enabled": False,
}


class Message(NamedTuple):
    """What to write; without a value the key is forgotten in time."""

    partition: int
    key: bytes
    value: bytes | None


class Entry(NamedTuple):
    """What lies at an offset; without a value the key was given up."""

    offset: int
    key: bytes
    value: bytes | None


class CompactedTopic:
    """Reads and writes a topic, which is made where it is missing.

    Making one raises SourceError where no broker lets us in, ConfigError where the topic is not
    compacted or cannot be made. `timeout` is how long an answer is waited for, s.
    """

    def __init__(self, broker: Kafka, name: str, *, timeout: float = 10.0) -> None:
        self.name = name
        self._where = f"topic {name} at Kafka {', '.join(broker.bootstrap)}"
        self._timeout = timeout
        self._resting_until = 0.0
        tolerate_odd_headers()
        reach(broker)
        facts = compacted_topic(broker, name, timeout)
        self.partitions = facts.partitions
        self.largest = _largest(facts, self._where)
        milliseconds = int(timeout * 1000)
        waits = {
            "max_block_ms": milliseconds,
            "request_timeout_ms": milliseconds,
            "delivery_timeout_ms": milliseconds,
        }
        with self._unreadable():
            self._consumer = KafkaConsumer(**connection(broker), **_CONSUMER)
            self._producer = KafkaProducer(**connection(broker), **_PRODUCER, **waits)

    def write(self, messages: Sequence[Message]) -> list[int]:
        """Write in order and wait for all replicas; returns the offsets.

        Raises StateError where not everything is known to be written. After no answer in time it is
        raised at once for a while: whoever writes for one partition after the other would wait for
        each of them.
        """
        left = self._resting_until - time.monotonic()
        if left > 0:
            raise StateError(f"{self._where} did not answer; not asked again for {left:.0f} s")
        until = time.monotonic() + self._timeout
        try:
            sent = [
                self._producer.send(self.name, value=m.value, key=m.key, partition=m.partition)
                for m in messages
            ]
            return [f.get(max(0.0, until - time.monotonic())).offset for f in sent]
        except errors.KafkaError as error:
            if isinstance(error, errors.RetriableError):
                self._resting_until = time.monotonic() + _REST * self._timeout
            raise StateError(f"cannot write to {self._where}: {said(error)}") from error

    def end(self, partition: int) -> int:
        """The offset of the next entry. Raises SourceError where the broker does not say."""
        tp = TopicPartition(self.name, partition)
        with self._unreadable():
            found = self._consumer.end_offsets([tp], timeout_ms=int(self._timeout * 1000))
            return int(found[tp])

    def read(self, partition: int, start: int) -> Iterator[Entry]:
        """What lies from an offset on, up to the end at the moment of asking.

        Raises SourceError where that cannot be read, or nothing comes for too long.
        """
        end = self.end(partition)
        tp = TopicPartition(self.name, partition)
        with self._unreadable():
            self._consumer.assign([tp])
            self._consumer.seek(tp, start)
        until = time.monotonic() + self._timeout
        while (at := self._position(tp)) < end:
            found = self._poll(tp)
            yield from (Entry(r.offset, r.key or b"", r.value) for r in found if r.offset < end)
            if found or self._position(tp) > at:
                until = time.monotonic() + self._timeout
            elif time.monotonic() > until:
                why = f"nothing at offset {at} within {self._timeout:g} s"
                raise SourceError(f"cannot read {self._where}: {why}", retriable=True)

    def close(self) -> None:
        """End both clients; what is not written by now is given up."""
        self._consumer.close(timeout_ms=1000)
        discard(self._producer)

    def _poll(self, tp: TopicPartition) -> list[Any]:
        with self._unreadable():
            try:
                found = self._consumer.poll(timeout_ms=int(_TURN * 1000))
            except errors.RetriableError:
                return []
        return list(found.get(tp, ()))

    def _position(self, tp: TopicPartition) -> int:
        with self._unreadable():
            return int(self._consumer.position(tp, timeout_ms=int(self._timeout * 1000)))

    @contextmanager
    def _unreadable(self) -> Iterator[None]:
        try:
            yield
        except errors.KafkaError as error:
            passing = isinstance(error, errors.RetriableError | errors.KafkaTimeoutError)
            why = f"cannot read {self._where}: {said(error)}"
            raise SourceError(why, retriable=passing) from error


def _largest(facts: TopicFacts, where: str) -> int:
    """Bytes that one value may have."""
    most = facts.max_message_bytes - _HEAD
    if most < _HEAD:
        raise ConfigError(
            f"snapshots.topic: {where} takes messages of up to {facts.max_message_bytes} bytes "
            f"only; set its max.message.bytes to {2 * _HEAD} or more, such as the default 1048588"
        )
    return most
