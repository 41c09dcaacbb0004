"""Reading from a real broker: positions, hand-overs, and what goes wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import MemberToRemove, NewTopic
from structlog.testing import capture_logs

from monitor.connect.kafka.source import KafkaSource
from monitor.errors import SourceError
from monitor.testing import Member, check_source
from monitor.types import Partition
from tests.kafka.conftest import MakeTopic, Topic
from tests.kafka.reading import member, read, until

pytestmark = pytest.mark.kafka


def test_the_source_keeps_the_contract(topic: Topic) -> None:
    check_source(lambda: KafkaSource(topic.settings(), [topic.name]), topic.append)


def test_a_record_comes_with_key_headers_and_time_and_a_null_value_is_empty(topic: Topic) -> None:
    topic.producer.send(
        topic.name, b"v", key=b"k", headers=[("h", b"1")], timestamp_ms=1_700_000_000_250
    )
    topic.producer.send(topic.name, None, key=b"k")
    topic.producer.flush()
    full, empty = read(member(topic).start(), 2)
    assert (full.key, full.value, full.headers) == (b"k", b"v", (("h", b"1"),))
    assert full.time == 1_700_000_000.25
    assert empty.value == b""


def test_without_a_commit_latest_starts_at_the_end(topic: Topic) -> None:
    topic.append(9)
    reader = member(topic, start="latest").start()
    until(lambda: reader.step() or reader.position)
    assert set(reader.position.values()) == {3}
    expected = topic.append(3)
    until(lambda: reader.step() and len(reader.seen) >= 3)
    reader.close()
    assert sorted(reader.seen) == expected


def test_a_topic_that_does_not_exist_yet_is_told_and_waited_for(
    topic: Topic, admin: KafkaAdminClient
) -> None:
    later = f"{topic.name}-later"
    reader = Member(KafkaSource(topic.settings(), [topic.name, later]))
    with capture_logs() as lines:
        reader.start()
    assert [line["topic"] for line in lines if line["event"] == "topic_missing"] == [later]
    until(lambda: reader.step() or len(reader.position) == 3)
    admin.create_topics([NewTopic(later, 2, 1)])
    until(lambda: reader.step() or len(reader.position) == 5)
    reader.close()


@pytest.mark.parametrize("kind", ["assigned", "revoked"])
def test_an_error_of_the_owner_surfaces_and_only_close_is_left(topic: Topic, kind: str) -> None:
    class Faulty(Member):
        def assigned(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
            if kind == "assigned":
                raise ZeroDivisionError
            return super().assigned(committed)

        def revoked(self, partitions: Sequence[Partition]) -> None:
            raise ZeroDivisionError

    reader = Faulty(KafkaSource(topic.settings(), [topic.name])).start()
    if kind == "assigned":
        with pytest.raises(ZeroDivisionError):
            until(lambda: reader.step() and False, patience=20)
        with pytest.raises(SourceError, match="close this source"):
            reader.step()
        reader.close()
    else:
        until(lambda: reader.step() or reader.position)
        with pytest.raises(ZeroDivisionError):
            reader.close()
    reader.close()
    heir = member(topic).start()
    until(lambda: heir.step() or len(heir.position) == 3)
    heir.close()


def test_a_member_that_was_thrown_out_loses_and_does_not_commit(
    topic: Topic, admin: KafkaAdminClient
) -> None:
    topic.append(30)
    lost: list[Partition] = []

    class Zombie(Member):
        def lost(self, partitions: Sequence[Partition]) -> None:
            lost.extend(partitions)
            super().lost(partitions)

        def revoked(self, partitions: Sequence[Partition]) -> None:
            super().lost(partitions)

    zombie = Zombie(KafkaSource(topic.settings(), [topic.name])).start()
    until(lambda: zombie.step() and len(zombie.seen) >= 30)
    held = dict(zombie.position)
    (found,) = admin.describe_groups([topic.name])[topic.name]["members"]
    admin.remove_group_members(topic.name, [MemberToRemove(found["member_id"])])
    with pytest.raises(SourceError, match="cannot commit") as caught:
        zombie.source.commit(held)
    assert caught.value.retriable
    until(lambda: zombie.step() or (lost and len(zombie.position) == 3))
    assert sorted(lost) == topic.partitions
    assert set(zombie.committed.values()) == {0}
    zombie.close()


def test_what_is_not_held_cannot_be_committed(topic: Topic) -> None:
    reader = member(topic).start()
    with pytest.raises(SourceError, match="not held by this member"):
        reader.source.commit({topic.partitions[0]: 1})
    reader.close()


def test_a_source_that_is_not_open_says_so(topic: Topic) -> None:
    source = KafkaSource(topic.settings(), [topic.name])
    source.close()
    for act in (lambda: source.poll(0.0), lambda: source.commit({}), source.lag):
        with pytest.raises(SourceError, match="not started, or closed"):
            act()


def test_records_of_aborted_transactions_are_not_read_and_are_no_lag(
    make_topic: MakeTopic,
) -> None:
    topic = make_topic(1)
    (partition,) = topic.partitions
    producer = KafkaProducer(bootstrap_servers=topic.address, transactional_id=topic.name)
    producer.init_transactions()
    for value in (b"committed", b"aborted"):
        producer.begin_transaction()
        producer.send(topic.name, value)
        producer.flush()
        producer.commit_transaction() if value == b"committed" else producer.abort_transaction()
    producer.close()
    reader = member(topic).start()
    until(lambda: reader.step() and reader.seen)
    until(lambda: reader.step() or reader.source.lag() == {partition: 0})
    reader.close()
    assert reader.seen == [(partition, 0)]
