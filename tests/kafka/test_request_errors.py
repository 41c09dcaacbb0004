"""Brokers that answer with errors, late or not at all: reading goes on, nothing is lost, and what
is committed does not come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from kafka import KafkaProducer

from monitor.connect.kafka.client import connection
from monitor.connect.kafka.source import KafkaSource
from monitor.connections import Kafka
from monitor.errors import SourceError
from monitor.testing import Member, Seen
from monitor.types import Partition
from tests.kafka.mock_cluster import Mistake, MockCluster, Request, mock_cluster

pytestmark = pytest.mark.kafka

TOPIC = "readings"
GROUP = "monitor"
# What the mock cluster says of itself kafka-python 3.0.12 cannot use; told a version, it can.
VERSION = {"api_version": (2, 3)}

FETCHING = (Request.FETCH, Request.LIST_OFFSETS)
JOINING = (Request.FIND_COORDINATOR, Request.JOIN_GROUP, Request.SYNC_GROUP)
MEMBER = (Request.HEARTBEAT, Request.OFFSET_COMMIT, Request.OFFSET_FETCH)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockCluster]:
    """Three brokers with a topic of three partitions."""
    where = "monitor.connect.kafka.joining.connection"
    monkeypatch.setattr(where, lambda settings: {**connection(settings), **VERSION})
    with mock_cluster(3) as made:
        made.create(TOPIC, 3)
        yield made


@pytest.fixture
def send(cluster: MockCluster) -> Iterator[Callable[[int], Seen]]:
    """Appends so many records, spread over the partitions."""
    producer = KafkaProducer(bootstrap_servers=cluster.addresses, **VERSION)

    def append(count: int) -> Seen:
        sent = [producer.send(TOPIC, b"x", partition=i % 3) for i in range(count)]
        return [(Partition(TOPIC, i % 3), each.get(20).offset) for i, each in enumerate(sent)]

    yield append
    producer.close()


class Patient:
    """Steps and commits as the loop does: what may pass is tried again."""

    def __init__(self, cluster: MockCluster, *topics: str) -> None:
        settings = Kafka(bootstrap=cluster.addresses, group=GROUP, session_timeout=2)
        self.member = Member(KafkaSource(settings, [TOPIC, *topics])).start()
        self.safe: dict[Partition, int] = {}
        self.refused = 0

    def read(self, expected: Seen) -> None:
        """Until all of that has come, and is committed."""
        end = time.monotonic() + 40
        while not set(expected) <= set(self.member.seen) or self.safe != self.member.position:
            assert time.monotonic() < end, f"{len(self.member.seen)} records came"
            self._turn()

    def _turn(self) -> None:
        try:
            for record in self.member.step(0.1, 5):
                assert record.offset >= self.safe.get(record.partition, 0), "committed, and again"
            position = dict(self.member.position)
            if position and position != self.safe:
                self.member.commit()
                self.safe.update(position)
        except SourceError as error:
            if not error.retriable:
                raise
            self.refused += 1


@pytest.mark.parametrize(
    ("requests", "mistake"),
    [
        (FETCHING, Mistake.NOT_LEADER_FOR_PARTITION),
        (FETCHING, Mistake.REQUEST_TIMED_OUT),
        ((*JOINING, *MEMBER), Mistake.COORDINATOR_LOAD_IN_PROGRESS),
        ((*JOINING, *MEMBER), Mistake.COORDINATOR_NOT_AVAILABLE),
        ((*JOINING[1:], *MEMBER), Mistake.NOT_COORDINATOR),
        (
            (Request.SYNC_GROUP, Request.HEARTBEAT, Request.OFFSET_COMMIT),
            Mistake.REBALANCE_IN_PROGRESS,
        ),
        ((Request.HEARTBEAT, Request.OFFSET_COMMIT), Mistake.ILLEGAL_GENERATION),
        ((Request.HEARTBEAT, Request.OFFSET_COMMIT), Mistake.UNKNOWN_MEMBER_ID),
        ((Request.JOIN_GROUP, Request.SYNC_GROUP), Mistake.UNKNOWN_MEMBER_ID),
    ],
    ids=lambda value: value.name if isinstance(value, Mistake) else "-".join(r.name for r in value),
)
def test_errors_of_the_broker_lose_and_double_nothing(
    cluster: MockCluster,
    send: Callable[[int], Seen],
    requests: Sequence[Request],
    mistake: Mistake,
) -> None:
    for request in requests:
        cluster.fail(request, [mistake] * 2)
    expected = send(15)
    reader = Patient(cluster)
    reader.read(expected)
    for _ in range(2):
        for request in requests:
            cluster.fail(request, [mistake])
        expected += send(15)
        reader.read(expected)
    reader.member.close()


def test_a_commit_that_is_refused_is_retriable(
    cluster: MockCluster, send: Callable[[int], Seen]
) -> None:
    reader = Patient(cluster)
    expected = send(6)
    reader.read(expected)
    cluster.fail(Request.OFFSET_COMMIT, [Mistake.REBALANCE_IN_PROGRESS])
    expected += send(6)
    reader.read(expected)
    assert reader.refused
    assert sorted(reader.member.seen) == sorted(expected)
    reader.member.close()


def test_slow_brokers_cost_no_membership(cluster: MockCluster, send: Callable[[int], Seen]) -> None:
    expected = send(30)
    reader = Patient(cluster)
    cluster.delay(0.3)
    reader.read(expected)
    cluster.delay(0.0)
    reader.member.close()
    assert len(reader.member.seen) == 30


def test_a_join_because_of_a_new_topic_is_seen_through_however_slow(
    cluster: MockCluster, send: Callable[[int], Seen]
) -> None:
    reader = Patient(cluster, "later")
    reader.read(send(6))
    cluster.delay(0.3)  # so that polls end between the two answers that a join waits for
    cluster.create("later", 1)
    end = time.monotonic() + 30
    while Partition("later", 0) not in reader.member.position:
        assert time.monotonic() < end, "the new topic is not read"
        reader.member.step(0.0)
    cluster.delay(0.0)
    reader.member.close()


def test_leaders_and_coordinators_that_move_are_followed(
    cluster: MockCluster, send: Callable[[int], Seen]
) -> None:
    reader = Patient(cluster)
    expected: Seen = []
    for broker in (1, 2, 3):
        cluster.move_coordinator(GROUP, broker)
        for partition in range(3):
            cluster.move_leader(TOPIC, partition, broker)
        expected += send(9)
        reader.read(expected)
    reader.member.close()
    assert sorted(reader.member.seen) == sorted(expected)


def test_a_false_out_of_range_skips_nothing(
    cluster: MockCluster, send: Callable[[int], Seen]
) -> None:
    reader = Patient(cluster)
    expected = send(9)
    reader.read(expected)
    cluster.fail(Request.FETCH, [Mistake.OFFSET_OUT_OF_RANGE])
    expected += send(9)
    reader.read(expected)
    reader.member.close()
    assert sorted(reader.member.seen) == sorted(expected)
    assert not reader.member.notices
