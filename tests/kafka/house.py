"""A group's member that delivers in transactions, and what readers of committed records see."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from kafka import KafkaConsumer, TopicPartition

from monitor.connect.kafka.source import KafkaSource
from monitor.connect.kafka.transaction import ExactlyOnce
from monitor.connections import Kafka, KafkaTopics
from monitor.protocols import Sink
from monitor.testing import Member
from monitor.types import Record, Rejected
from tests.kafka.conftest import Topic

TIMEOUT = 10.0


def visible(topic: Topic) -> list[bytes]:
    """What a reader of committed records sees now."""
    consumer = KafkaConsumer(
        bootstrap_servers=topic.address,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    tps = [TopicPartition(*partition) for partition in topic.partitions]
    consumer.assign(tps)
    ends = consumer.end_offsets(tps)
    found: list[bytes] = []
    while any(consumer.position(tp) < end for tp, end in ends.items()):
        for records in consumer.poll(timeout_ms=200).values():
            found += [record.value for record in records]
    consumer.close()
    return found


def ids(topic: Topic) -> list[str]:
    return [json.loads(value)["id"] for value in visible(topic)]


def stands(topic: Topic) -> Sequence[int | None]:
    """The offsets that the group has committed."""
    consumer = KafkaConsumer(
        bootstrap_servers=topic.address, group_id=topic.name, isolation_level="read_committed"
    )
    offsets = [consumer.committed(TopicPartition(*p)) for p in topic.partitions]
    consumer.close()
    return offsets


def joined(topic: Topic, broker: Kafka | None = None) -> Member:
    """A member of the topic's group that holds something."""
    reader = Member(KafkaSource(broker or topic.settings(), [topic.name])).start()
    until = time.monotonic() + 40
    while not reader.position:
        assert time.monotonic() < until, "no partition came"
        reader.step()
    return reader


class House:
    """A member of a group, and its delivery to an `alerts` and a `dead` topic."""

    def __init__(self, inputs: Topic, alerts: Topic, dead: Topic) -> None:
        self.inputs, self.alerts, self.dead = inputs, alerts, dead
        (self.partition,) = inputs.partitions
        self.topics = KafkaTopics(alerts=alerts.name, dead_letters=dead.name)
        self.member = joined(inputs)
        self.source = self.member.source
        assert isinstance(self.source, KafkaSource)
        self.delivery = self.another()

    def another(self, beside: Sequence[Sink] = (), instance: str | None = None) -> ExactlyOnce:
        assert isinstance(self.source, KafkaSource)
        return ExactlyOnce(
            self.inputs.settings().model_copy(update={"instance": instance}),
            self.topics,
            self.source.membership,
            transaction_timeout=TIMEOUT,
            beside=beside,
        )

    def rejected(self, value: bytes, offset: int = 0) -> Rejected:
        record = Record(self.partition, offset, b"k", 1.0, value)
        return Rejected(record, "vibration", "truncated", "too short")
