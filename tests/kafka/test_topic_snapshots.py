"""Snapshots in a topic of a real broker, with compaction really running."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from monitor.connect.kafka.admin import PARTITIONS, SETTINGS
from monitor.connect.kafka.compacted import CompactedTopic, Message
from monitor.connect.kafka.snapshots import TopicSnapshots
from monitor.connections import Kafka
from monitor.errors import ConfigError, StateError
from monitor.testing import check_snapshots, same_state
from monitor.types import Partition, State
from tests.kafka.broker import PASSWORDS, Node
from tests.kafka.conftest import MakeTopic, Topic, read_all

pytestmark = pytest.mark.kafka

HERE = Partition("plant", 3)
AT_ONCE = {
    "cleanup.policy": "compact",
    "segment.ms": "1000",
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "1000",
    "delete.retention.ms": "100",
}


def state(number: int, size: int = 1_500_000) -> State:
    """Too random to be packed: three pieces."""
    return {"noise": np.random.default_rng(number).integers(0, 256, size, np.uint8)}


def settings(node: Node) -> Kafka:
    return Kafka(bootstrap=[node.address], group="monitor")


@pytest.fixture
def name() -> str:
    return f"snapshots-{uuid.uuid4().hex[:12]}"


class Opener:
    """Opens stores on one topic, and closes them at the end of the test."""

    def __init__(self, broker: Kafka, name: str, stack: ExitStack) -> None:
        self.broker, self.name, self.stack = broker, name, stack

    def __call__(self, keep: int = 3) -> TopicSnapshots:
        topic = CompactedTopic(self.broker, self.name)
        snapshots = TopicSnapshots(topic, "monitor", keep)
        self.stack.callback(snapshots.close)
        return snapshots


@pytest.fixture
def opened(broker: Node, name: str) -> Iterator[Opener]:
    with ExitStack() as stack:
        yield Opener(settings(broker), name, stack)


@pytest.fixture
def shrinking(
    make_topic: MakeTopic, broker: Node, admin: KafkaAdminClient
) -> Iterator[tuple[Topic, Opener]]:
    """A topic that is compacted within seconds."""
    # The node looks for something to compact every 15 s; this can only be set for all topics.
    (node,) = admin.describe_cluster()["brokers"]
    often = {"log.cleaner.backoff.ms": "300"}
    admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, str(node["broker_id"]), often)])
    topic = make_topic(3, **AT_ONCE)
    with ExitStack() as stack:
        yield topic, Opener(settings(broker), topic.name, stack)


def loadable(snapshots: TopicSnapshots) -> list[int]:
    found = []
    for offset in snapshots.offsets(HERE):
        try:
            got = snapshots.load(HERE, offset)
        except StateError:
            continue
        assert same_state(got, state(offset)), "a mixture"
        found.append(offset)
    return found


def pieces(topic: Topic) -> list[list[object]]:
    """The keys of the pieces that are in the log, also of those that were given up."""
    keys = [json.loads(found.key) for found in read_all(topic) if found.key]
    return [key for key in keys if key and key[0] == "piece"]


def test_a_missing_topic_is_made_compacted(
    opened: Opener, admin: KafkaAdminClient, name: str
) -> None:
    opened()
    (made,) = admin.describe_topics([name])
    assert len(made["partitions"]) == PARTITIONS
    asked = ConfigResource(ConfigResourceType.TOPIC, name)
    found = admin.describe_configs([asked], config_filter="all")["topic"][name]
    assert {key: found[key]["value"] for key in SETTINGS} == SETTINGS
    opened()  # it is there now


def test_it_keeps_the_promises_of_snapshots(opened: Opener, producer: KafkaProducer) -> None:
    """Few stores, since each one starts clients; `offsets` reads anew in any case."""
    stores = [opened(), opened()]

    def reopen() -> TopicSnapshots:
        stores.reverse()
        for partition in (Partition("plant.vibration", 0), Partition("plant.vibration", 1)):
            stores[0].offsets(partition)
        return stores[0]

    check_snapshots(reopen)


def test_a_topic_that_is_not_compacted_is_refused_with_the_remedy(
    make_topic: MakeTopic, broker: Node
) -> None:
    topic = make_topic(1)
    with pytest.raises(ConfigError, match=r"has cleanup.policy 'delete'.*set it to compact"):
        CompactedTopic(settings(broker), topic.name)


def test_a_topic_for_tiny_messages_is_refused(make_topic: MakeTopic, broker: Node) -> None:
    topic = make_topic(1, **AT_ONCE, **{"max.message.bytes": "3000"})
    with pytest.raises(ConfigError, match="messages of up to 3000 bytes only"):
        CompactedTopic(settings(broker), topic.name)


def test_it_works_with_encryption_and_a_password(broker: Node, name: str) -> None:
    security = {
        "protocol": "SASL_SSL",
        "mechanism": "SCRAM-SHA-512",
        "username": "monitor",
        "password": PASSWORDS["monitor"],
        "ca": str(broker.certificates.authority),
    }
    where = [broker.addresses["SASL_SSL"]]
    secured = Kafka.model_validate({"bootstrap": where, "security": security})
    with ExitStack() as stack:
        snapshots = Opener(secured, name, stack)()
        snapshots.save(HERE, 5, state(5))
        assert loadable(snapshots) == [5]


def test_pieces_fit_a_topic_of_a_smaller_limit(make_topic: MakeTopic, broker: Node) -> None:
    topic = make_topic(2, **AT_ONCE, **{"max.message.bytes": "100000"})
    with ExitStack() as stack:
        snapshots = Opener(settings(broker), topic.name, stack)()
        snapshots.save(HERE, 5, state(5))
        assert loadable(snapshots) == [5]
    assert len(pieces(topic)) > 15


def test_what_a_topic_refuses_fails_the_save_and_the_next_one_goes_through(
    opened: Opener, admin: KafkaAdminClient, name: str
) -> None:
    snapshots = opened()
    snapshots.save(HERE, 5, state(5))
    limited = ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": "5000"})
    admin.alter_configs([limited])
    with pytest.raises(StateError, match=f"cannot write to topic {name} at Kafka"):
        snapshots.save(HERE, 9, state(9))
    assert snapshots.offsets(HERE) == [5]
    admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": "1048588"})]
    )
    snapshots.save(HERE, 12, state(12))
    assert loadable(snapshots) == [12, 5]


def test_an_outage_is_told_and_nothing_is_taken_for_missing_or_damaged() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kafka.snapshot_outage"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr


def test_after_compaction_only_what_is_kept_is_left_and_can_be_read(
    shrinking: tuple[Topic, Opener],
) -> None:
    topic, opened = shrinking
    snapshots = opened(keep=2)
    until = time.monotonic() + 60
    offset = 0
    while offset < 6 or len(pieces(topic)) > 3 * offset / 2:
        assert time.monotonic() < until, "the topic was not compacted"
        offset += 1
        snapshots.save(HERE, offset, state(offset))
        time.sleep(0.7)
    assert loadable(snapshots) == [offset, offset - 1]
    assert loadable(opened()) == [offset, offset - 1]


def test_a_zombie_and_a_crash_harm_nothing_under_compaction(
    shrinking: tuple[Topic, Opener],
) -> None:
    """A first owner goes on saving while a second one does; the topic is compacted meanwhile."""
    _, opened = shrinking
    zombie = opened()
    zombie.offsets(HERE)
    zombie.save(HERE, 1, state(1))
    owner = opened()
    assert loadable(owner) == [1]
    for offset in range(10, 22):
        owner.save(HERE, offset, state(offset))
        zombie.save(HERE, offset - 5, state(offset - 5))
        time.sleep(0.3)
    assert loadable(owner)[:3] == [21, 20, 19]
    third = opened()
    assert loadable(third)[:3] == [21, 20, 19]
    third.save(HERE, 30, state(30))
    assert loadable(opened()) == [30, 21, 20]


_SAVER = """
import sys
from tests.kafka.test_topic_snapshots import HERE, state
from monitor.connect.kafka.compacted import CompactedTopic
from monitor.connect.kafka.snapshots import TopicSnapshots
from monitor.connections import Kafka

snapshots = TopicSnapshots(CompactedTopic(Kafka(bootstrap=[sys.argv[1]]), sys.argv[2]), "monitor")
snapshots.offsets(HERE)
for offset in range(1, 10_000):
    snapshots.save(HERE, offset, state(offset))
    print(offset, flush=True)
"""


def killed_after(address: str, name: str, saves: int) -> int:
    """The last snapshot that a process completed before it was killed in the middle of another."""
    with subprocess.Popen(
        [sys.executable, "-c", _SAVER, address, name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as saver:
        assert saver.stdout
        done = [int(saver.stdout.readline()) for _ in range(saves)][-1]
        time.sleep(0.01)
        saver.send_signal(signal.SIGKILL)
        later = [int(line) for line in saver.stdout.read().split()]
    return (later or [done])[-1]


def test_what_a_killed_process_had_completed_is_there(
    opened: Opener, broker: Node, name: str
) -> None:
    opened()
    done = killed_after(broker.address, name, saves=4)
    successor = opened()
    assert loadable(successor)[0] >= done
    successor.save(HERE, 20_000, state(20_000))
    assert loadable(opened())[0] == 20_000


def test_reading_begins_where_the_pieces_are(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every restart would read the history of the topic."""
    snapshots = opened()
    for offset in range(1, 6):
        snapshots.save(HERE, offset, state(offset))
    starts: list[tuple[int, int]] = []
    read = CompactedTopic.read

    def noted(topic: CompactedTopic, partition: int, start: int) -> Iterator[object]:
        starts.append((partition, start))
        return read(topic, partition, start)

    monkeypatch.setattr(CompactedTopic, "read", noted)
    snapshots.load(HERE, 5)
    ((partition, start),) = starts
    assert partition > 0
    assert start >= 4 * 3


def test_a_topic_is_read_up_to_its_end_at_the_moment(opened: Opener) -> None:
    topic = CompactedTopic(opened.broker, opened.name)
    opened.stack.callback(topic.close)
    written: Sequence[int] = topic.write([Message(1, b"%d" % i, b"x") for i in range(50)])
    assert written == list(range(50))
    assert [entry.offset for entry in topic.read(1, 7)] == list(range(7, 50))
    assert list(topic.read(1, 50)) == list(topic.read(2, 0)) == []
    assert (topic.end(1), topic.end(2)) == (50, 0)
    topic.write([Message(1, b"7", None)])
    (last,) = topic.read(1, 50)
    assert (last.key, last.value) == (b"7", None)
