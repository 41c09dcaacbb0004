"""Topics as they lie in the log: made, read to their end, and how far a group has come."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from monitor.types import Partition
from tests.chaos.feed import STREAMS
from tests.chaos.settings import OUTPUTS, Topics

# Event time is decades ahead, and a broker refuses that unless told.
_AHEAD = {"message.timestamp.after.max.ms": str(2**62)}


@dataclass(frozen=True)
class Entry:
    """A record as it lies in the log."""

    place: Partition
    offset: int
    key: bytes | None
    value: bytes
    headers: Mapping[str, bytes]


class Log:
    """A cluster, seen from outside without any of the product's code."""

    def __init__(self, bootstrap: Sequence[str], copies: int) -> None:
        self._bootstrap, self._copies = list(bootstrap), copies
        self._admin = self._new_admin()

    def _new_admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self._bootstrap, request_timeout_ms=5000)

    def make_topics(self, topics: Topics, partitions: int) -> None:
        """Those that are read, and those that each of the two runs writes."""
        read = [topics.read(stream) for stream in STREAMS]
        written = [topics.written(run, out) for run in ("chaos", "undisturbed") for out in OUTPUTS]
        made = [(name, partitions) for name in read] + [(name, 2) for name in written]
        self._admin.create_topics(
            [NewTopic(name, count, self._copies, topic_configs=_AHEAD) for name, count in made]
        )

    def read(self, topic: str, *, committed_only: bool = False) -> list[Entry]:
        """All that is in a topic now, partition by partition."""
        level = "read_committed" if committed_only else "read_uncommitted"
        consumer = KafkaConsumer(bootstrap_servers=self._bootstrap, isolation_level=level)
        try:
            return _read(consumer, topic)
        finally:
            consumer.close()

    def wait_until_closed(self, topics: Iterable[str], seconds: float) -> bool:
        """Until no transaction is open; one of a process that was killed has to time out."""
        until = time.monotonic() + seconds
        names = list(topics)
        while self._ends(names, "read_committed") != self._ends(names, "read_uncommitted"):
            if time.monotonic() > until:
                return False
            time.sleep(0.2)
        return True

    def ends(self, topics: Iterable[str]) -> dict[Partition, int]:
        """The offset that each partition's next record will get."""
        return self._ends(list(topics), "read_uncommitted")

    def _ends(self, topics: Sequence[str], level: str) -> dict[Partition, int]:
        consumer = KafkaConsumer(bootstrap_servers=self._bootstrap, isolation_level=level)
        try:
            tps = [tp for topic in topics for tp in _partitions(consumer, topic)]
            return {Partition(*tp): end for tp, end in consumer.end_offsets(tps).items()}
        finally:
            consumer.close()

    def committed(self, group: str) -> dict[Partition, int]:
        """How far a group has come; nothing while nobody can say."""
        try:
            found = self._admin.list_group_offsets(group)[group]
        except KafkaError:
            self._renew()
            return {}
        return {Partition(*tp): known.offset for tp, known in found.items() if known.offset >= 0}

    def _renew(self) -> None:
        """The client remembers who a group's coordinator was, also where that is another now."""
        with suppress(KafkaError):
            renewed = self._new_admin()
            self._admin.close()
            self._admin = renewed

    def close(self) -> None:
        self._admin.close()


def _partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]


def _read(consumer: KafkaConsumer, topic: str) -> list[Entry]:
    tps = _partitions(consumer, topic)
    consumer.assign(tps)
    consumer.seek_to_beginning(*tps)
    ends = consumer.end_offsets(tps)
    found: dict[TopicPartition, list[Entry]] = {tp: [] for tp in tps}
    while any(consumer.position(tp) < end for tp, end in ends.items()):
        for tp, batch in consumer.poll(timeout_ms=500, max_records=5000).items():
            found[tp] += [
                Entry(Partition(*tp), r.offset, r.key, r.value or b"", dict(r.headers))
                for r in batch
            ]
    return [entry for entries in found.values() for entry in entries]
