"""The real broker, one for all test processes of a run."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from deploy.broker.broker import missing_tools
from monitor.connections import Kafka
from monitor.types import Partition
from tests.kafka.broker import Node, shared_node


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running Kafka; skips, or on a CI machine fails, where it cannot run."""
    if missing := missing_tools():
        reason = f"a real Kafka needs Java 17 and Maven; not found: {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    with shared_node(base / "kafka") as node:
        yield node


@dataclass
class Topic:
    """A topic of its own for a test, and both ends of it without any of our code."""

    name: str
    partitions: list[Partition]
    address: str
    producer: KafkaProducer

    def append(self, count: int) -> list[tuple[Partition, int]]:
        """Add records, spread over the partitions in turn."""
        turns = [self.partitions[i % len(self.partitions)] for i in range(count)]
        sent = [
            self.producer.send(self.name, value=b"%d" % i, key=b"k", partition=p.number)
            for i, p in enumerate(turns)
        ]
        return [(p, future.get(30).offset) for p, future in zip(turns, sent, strict=True)]

    def settings(self, group: str = "", start: str = "earliest", poll: int = 2000) -> Kafka:
        """For a source in a group of its own."""
        return Kafka.model_validate(
            {
                "bootstrap": [self.address],
                "group": group or self.name,
                "start": start,
                "session_timeout": 6,
                "max_poll_records": poll,
            }
        )


@pytest.fixture(scope="session")
def producer(broker: Node) -> Iterator[KafkaProducer]:
    """A plain producer."""
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all", linger_ms=5)
    yield producer
    producer.close()


@pytest.fixture(scope="session")
def admin(broker: Node) -> Iterator[KafkaAdminClient]:
    """A plain admin client."""
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    yield admin
    admin.close()


MakeTopic = Callable[..., Topic]


@pytest.fixture
def make_topic(broker: Node, producer: KafkaProducer, admin: KafkaAdminClient) -> MakeTopic:
    """Makes topics nobody else uses."""

    def make(partitions: int = 3, **configs: str) -> Topic:
        name = f"test-{uuid.uuid4().hex[:12]}"
        admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        numbers = [Partition(name, number) for number in range(partitions)]
        return Topic(name, numbers, broker.address, producer)

    return make


@pytest.fixture
def topic(make_topic: MakeTopic) -> Topic:
    """A topic of three partitions."""
    return make_topic()


@dataclass(frozen=True)
class Found:
    """A record as it lies in the log."""

    key: bytes | None
    value: bytes
    headers: dict[str, bytes]


def read_all(topic: Topic) -> list[Found]:
    """Everything that is in a topic now."""
    consumer = KafkaConsumer(bootstrap_servers=topic.address, auto_offset_reset="earliest")
    tps = [TopicPartition(*partition) for partition in topic.partitions]
    consumer.assign(tps)
    ends = consumer.end_offsets(tps)
    found: list[Found] = []
    while any(consumer.position(tp) < end for tp, end in ends.items()):
        for records in consumer.poll(timeout_ms=500).values():
            found += [Found(r.key, r.value, dict(r.headers)) for r in records]
    consumer.close()
    return found
