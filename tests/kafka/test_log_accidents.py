"""Logs that are not where their readers left them: what is skipped or read again is told."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping

import pytest
from kafka import KafkaAdminClient, OffsetAndMetadata, TopicPartition, errors
from kafka.admin import NewTopic
from structlog.testing import capture_logs

from monitor.connect.kafka.places import Place
from monitor.testing import Member
from monitor.types import Partition
from tests.kafka.conftest import MakeTopic, Topic
from tests.kafka.reading import holds, member, read, source, until

pytestmark = pytest.mark.kafka


def told(reader: Member) -> list[tuple[str, int, str]]:
    return [(notice.kind, notice.offset, notice.detail) for notice in reader.notices]


def commit(admin: KafkaAdminClient, topic: Topic, offset: int, stamp: str = "") -> None:
    """What an operator does: the group is empty, and its offsets are set by hand."""
    offsets = {TopicPartition(*p): OffsetAndMetadata(offset, stamp, -1) for p in topic.partitions}

    def done() -> bool:
        try:  # a fresh broker has to make the topic for offsets first
            answers = admin.alter_group_offsets(topic.name, offsets)
        except errors.RetriableError:
            return False
        return set(answers.values()) == {errors.NoError}

    until(done)


def make_again(topic: Topic, admin: KafkaAdminClient) -> None:
    """Delete the topic, and create it as soon as the broker lets us."""
    admin.delete_topics([topic.name])
    for _ in range(100):
        try:
            admin.create_topics([NewTopic(topic.name, len(topic.partitions), 1)])
            return
        except errors.TopicAlreadyExistsError:
            time.sleep(0.02)
    raise AssertionError("the topic could not be made again")


def test_records_that_expired_before_the_start_are_told_and_skipped(
    topic: Topic, admin: KafkaAdminClient
) -> None:
    topic.append(30)
    commit(admin, topic, 2)
    admin.delete_records({TopicPartition(*partition): 5 for partition in topic.partitions})
    reader = member(topic).start()
    with capture_logs() as lines:
        records = read(reader, 15)
    detail = "offsets 2 to 4 are gone from the log: 3 records skipped unread"
    assert told(reader) == [("records_expired", 5, detail)] * 3
    assert [line["detail"] for line in lines if line["event"] == "records_expired"] == [detail] * 3
    assert set(reader.committed.values()) == {5}, "the owner begins where the log does"
    assert min(record.offset for record in records) == 5


def test_records_that_expire_while_they_are_read_are_told_and_skipped(
    make_topic: MakeTopic, admin: KafkaAdminClient
) -> None:
    topic = make_topic(1)
    topic.append(10)

    class Late(Member):
        """Takes so long with its snapshot that the records are gone when it is done."""

        def assigned(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
            admin.delete_records({TopicPartition(*topic.partitions[0]): 7})
            return super().assigned(committed)

    late = Late(source(topic)).start()
    assert [record.offset for record in read(late, 3)] == [7, 8, 9]
    detail = "offsets 0 to 6 are gone from the log: 7 records skipped unread"
    assert told(late) == [("records_expired", 7, detail)]


def test_a_snapshot_that_is_older_than_the_log_is_told(
    make_topic: MakeTopic, admin: KafkaAdminClient
) -> None:
    topic = make_topic(1)
    topic.append(10)
    commit(admin, topic, 6)
    admin.delete_records({TopicPartition(*topic.partitions[0]): 4})
    reader = Member(source(topic), rewind=5).start()
    assert [record.offset for record in read(reader, 6)] == [4, 5, 6, 7, 8, 9]
    assert list(reader.committed.values()) == [6]
    detail = "offsets 1 to 3 are gone from the log: 3 records missing from the state"
    assert told(reader) == [("records_expired", 4, detail)]


def test_a_commit_ahead_of_the_log_starts_anew_and_is_told(
    make_topic: MakeTopic, admin: KafkaAdminClient
) -> None:
    topic = make_topic(1)
    topic.append(5)
    commit(admin, topic, 100)
    reader = member(topic).start()
    assert [record.offset for record in read(reader, 5)] == [0, 1, 2, 3, 4]
    detail = "the log ends at 5, reading was to go on at 100: read from its start at 0, 0 skipped"
    assert told(reader) == [("log_is_shorter", 0, detail)]


def test_a_commit_to_a_log_that_was_replaced_by_a_longer_one_does_not_count(
    make_topic: MakeTopic, admin: KafkaAdminClient
) -> None:
    topic = make_topic(1)
    topic.append(9)
    commit(admin, topic, 5, stamp=str(uuid.uuid4()))
    reader = member(topic).start()
    assert [record.offset for record in read(reader, 9)] == list(range(9))
    detail = "the topic was deleted and made again: read from its start at 0, 0 skipped"
    assert told(reader) == [("log_is_shorter", 0, detail)]


@pytest.mark.parametrize(("before", "after"), [(20, 6), (6, 20)], ids=["shorter", "longer"])
def test_a_topic_that_is_made_again_while_it_is_read_is_read_whole(
    make_topic: MakeTopic, admin: KafkaAdminClient, before: int, after: int
) -> None:
    topic = make_topic(1)
    topic.append(before)
    reader = member(topic).start()
    until(lambda: reader.step() and len(reader.seen) == before)
    reader.commit()
    make_again(topic, admin)
    topic.append(after)
    reader.seen.clear()
    everything = [(topic.partitions[0], offset) for offset in range(after)]
    until(lambda: (reader.step() and False) or reader.seen[-after:] == everything)
    reader.close()
    assert len(reader.seen) <= 2 * after, "twice at most what came before that was known"
    detail = "the topic was deleted and made again: read from its start at 0, 0 skipped"
    # Nothing, if the group saw the topic gone: then it was given up and comes as a new one.
    assert told(reader) in ([("log_is_shorter", 0, detail)], [])


def test_offsets_that_an_operator_sets_back_are_where_reading_goes_on(
    topic: Topic, admin: KafkaAdminClient
) -> None:
    topic.append(30)
    reader = member(topic).start()
    until(lambda: reader.step() and len(reader.seen) == 30)
    reader.close()
    commit(admin, topic, 4)
    again = member(topic).start()
    assert sorted({record.offset for record in read(again, 18)}) == [4, 5, 6, 7, 8, 9]
    assert set(again.committed.values()) == {4}
    assert not again.notices, "it was meant to be so"


def test_latest_remembers_at_once_where_it_began(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    topic.append(6)
    first = member(topic, start="latest").start()
    until(holds(first, 2))
    first.position.clear()
    first.forgotten.update(topic.partitions)  # as one that is killed: it commits nothing
    first.close()
    meanwhile = topic.append(4)
    second = member(topic, start="latest").start()
    read(second, 4)
    assert sorted(second.seen) == sorted(meanwhile)


def test_partitions_that_are_added_are_read(make_topic: MakeTopic, admin: KafkaAdminClient) -> None:
    topic = make_topic(1)
    reader = member(topic).start()
    until(holds(reader, 1))
    admin.create_partitions({topic.name: 3})
    topic.partitions += [Partition(topic.name, 1), Partition(topic.name, 2)]
    expected = topic.append(9)
    # Without any patience a poll ends in the middle of the join that the new partitions cause.
    until(lambda: bool(reader.step(0.0) and False) or len(reader.seen) == 9)
    reader.close()
    assert sorted(reader.seen) == sorted(expected)


def test_patterns_and_names_are_read_together_also_what_is_made_later(
    make_topic: MakeTopic, admin: KafkaAdminClient
) -> None:
    named, early = make_topic(1), make_topic(1)
    base = early.name
    pattern = f"^{base}-(a|b)"
    reader = Member(source(named, pattern)).start()
    until(holds(reader, 1))
    for late in ("a", "b", "ab", "x"):
        admin.create_topics([NewTopic(f"{base}-{late}", 1, 1)])
    until(holds(reader, 3))
    for _ in range(3):
        reader.step(0.3)
    assert {p.topic for p in reader.position} == {named.name, f"{base}-a", f"{base}-b"}
    reader.close()


@pytest.mark.parametrize("offset", [3, 5, 7])
def test_what_a_cluster_takes_back_is_read_again(offset: int) -> None:
    place = Place(Partition("t", 0), 5, 9, 5).taken_back(offset)
    assert place.offset == max(offset, 5)
    assert place.notice is not None
    assert place.notice.kind in {"log_is_shorter", "records_expired"}
