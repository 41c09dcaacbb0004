"""The embedded log keeps the contract of a consumer group."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.connect.memory import MemoryLog, MemorySource
from monitor.errors import SourceError
from monitor.testing import check_source
from monitor.types import Notice, Partition, Record


class Reader:
    """An owner that notes what it is told, and commits what it has read when it is asked to go."""

    def __init__(self, log: MemoryLog, max_records: int = 500) -> None:
        self.source = MemorySource(log, max_records=max_records)
        self.events: list[tuple[str, tuple[Partition, ...]]] = []
        self.seen: list[Record] = []
        self.position: dict[Partition, int] = {}

    def read(self) -> None:
        for record in self.source.poll(0):
            self.seen.append(record)
            self.position[record.partition] = record.offset + 1

    def assigned(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        self.events.append(("assigned", tuple(committed)))
        self.position.update(committed)
        return committed

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.source.commit({p: self.position[p] for p in partitions})
        self.events.append(("revoked", tuple(partitions)))

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.events.append(("lost", tuple(partitions)))

    def note(self, notice: Notice) -> None:
        self.events.append((notice.kind, (notice.partition,)))


def joined(log: MemoryLog, max_records: int = 500) -> Reader:
    reader = Reader(log, max_records)
    reader.source.start(reader)
    return reader


def filled(count: int = 40, partitions: int = 4) -> MemoryLog:
    log = MemoryLog("plant", partitions)
    for i in range(count):
        log.append(f"sensor {i % 10}".encode(), float(i), str(i).encode())
    return log


def test_a_key_always_goes_to_the_same_partition() -> None:
    log = MemoryLog(["a", "b"], 8)
    where = [log.append(b"pump", 0, b"", topic=topic).partition for topic in "abab"]
    assert {p.topic for p in where} == {"a", "b"}
    assert len({p.number for p in where}) == 1


def test_records_get_the_next_offset_of_their_partition() -> None:
    log = MemoryLog("plant", 1)
    records = [log.append(None, 1.0, b"x", (("unit", b"g"),)) for _ in range(3)]
    assert [record.offset for record in records] == [0, 1, 2]
    assert log.read(Partition("plant", 0), 1, 1) == [records[1]]
    assert records[0].headers == (("unit", b"g"),)


def test_a_log_that_forgets_keeps_the_latest_records_and_all_offsets() -> None:
    log = MemoryLog("plant", 1, keep=3)
    (only,) = log.partitions
    for number in range(20):
        assert log.append(b"a", 0.0, b"%d" % number).offset == number
        assert log.end(only) == number + 1
        kept = log.read(only, 0, 100)
        assert min(3, number + 1) <= len(kept) <= 6
        assert [record.value for record in kept] == [b"%d" % r.offset for r in kept]
        assert kept[-1].offset == number
    assert [record.offset for record in log.read(only, 18, 100)] == [18, 19]


def test_a_reader_that_keeps_up_misses_nothing_of_a_log_that_forgets() -> None:
    log = MemoryLog("plant", 1, keep=3)
    reader = Reader(log)
    reader.source.start(reader)
    for number in range(50):
        log.append(b"a", 0.0, b"")
        if number % 3 == 0:
            reader.read()
    assert [record.offset for record in reader.seen] == list(range(49))
    for _ in range(20):
        log.append(b"a", 0.0, b"")
    reader.read()
    assert reader.seen[-1].offset == 69
    assert reader.source.lag() == {log.partitions[0]: 0}


def test_a_topic_that_is_not_there_is_told() -> None:
    with pytest.raises(SourceError, match=r"no topic 'plnat'; valid are plant, ready"):
        MemoryLog(["plant", "ready"], 2).append(b"k", 0, b"", topic="plnat")


def test_a_lone_member_reads_everything_in_the_order_of_each_partition() -> None:
    log = filled()
    reader = joined(log, max_records=3)
    while any(reader.source.lag().values()):
        reader.read()
    assert sorted(int(record.value) for record in reader.seen) == list(range(40))
    for partition in log.partitions:
        offsets = [r.offset for r in reader.seen if r.partition == partition]
        assert offsets == list(range(len(offsets)))


def test_one_poll_takes_at_most_so_many_of_each_partition() -> None:
    reader = joined(filled(), max_records=2)
    reader.read()
    assert len(reader.seen) == 8


def test_the_owner_says_where_to_read_on() -> None:
    log = filled(partitions=1)
    reader = Reader(log)
    reader.assigned = lambda committed: {p: 38 for p in committed}  # type: ignore[method-assign]
    reader.source.start(reader)
    reader.read()
    assert [record.offset for record in reader.seen] == [38, 39]


def test_after_a_join_all_is_shared_and_the_old_owner_goes_first() -> None:
    log = filled()
    first = joined(log)
    second = joined(log)
    assert not second.source.position, "the first one has not polled yet"
    first.read()
    second.read()
    assert [event for event, _ in first.events] == ["assigned", "revoked"]
    held = set(first.source.position) | set(second.source.position)
    assert held == set(log.partitions)
    assert not set(first.source.position) & set(second.source.position)


def test_who_takes_over_reads_on_at_the_commit() -> None:
    log = filled()
    first = joined(log)
    first.read()
    first.source.close()
    log.append(b"sensor 1", 99, b"new")
    second = joined(log)
    second.read()
    assert [record.value for record in second.seen] == [b"new"]


def test_after_a_crash_nobody_is_asked_and_what_was_not_committed_comes_again() -> None:
    log = filled()
    first = joined(log)
    first.read()
    first.source.crash()
    assert [event for event, _ in first.events] == ["assigned"]
    second = joined(log)
    second.read()
    assert len(second.seen) == 40


def test_a_member_that_has_crashed_cannot_commit() -> None:
    log = filled()
    first = joined(log)
    held = dict(first.source.position)
    first.source.crash()
    with pytest.raises(SourceError, match="not held by this member"):
        first.source.commit(held)
    assert not log.group("monitor").committed


def test_a_loss_is_told_by_the_next_poll_and_may_be_undone_by_it() -> None:
    log = filled(partitions=2)
    reader = joined(log)
    lost = Partition("plant", 1)
    reader.source.lose([lost])
    assert set(reader.source.lag()) == {Partition("plant", 0)}
    with pytest.raises(SourceError, match="not held") as caught:
        reader.source.commit({lost: 3})
    assert caught.value.retriable
    reader.read()
    assert [event for event, _ in reader.events] == ["assigned", "lost", "assigned"]
    assert set(reader.source.lag()) == set(log.partitions)


def test_groups_do_not_disturb_each_other() -> None:
    log = filled()
    one = joined(log)
    other = Reader(log)
    other.source = MemorySource(log, "other")
    other.source.start(other)
    assert len(one.source.position) == len(other.source.position) == 4


def test_a_poll_waits_for_what_comes() -> None:
    log = MemoryLog("plant", 1)
    reader = joined(log)
    threading.Timer(0.01, lambda: log.append(b"k", 0, b"late")).start()
    assert [record.value for record in reader.source.poll(60)] == [b"late"]


def test_close_more_than_once_does_no_harm() -> None:
    reader = joined(filled())
    reader.source.close()
    reader.source.close()
    assert reader.source.lag() == {}


@given(st.lists(st.sampled_from(["join", "leave", "crash", "read"]), max_size=25))
def test_every_partition_has_one_owner_and_everything_is_read(script: list[str]) -> None:
    log, members, gone = filled(20, 3), [], []
    for word in [*script, "join", "read"]:
        if word == "join":
            members.append(joined(log, max_records=2))
        elif word == "read":
            for member in members:
                member.read()
        elif members:
            gone.append(members.pop(0))
            gone[-1].source.close() if word == "leave" else gone[-1].source.crash()
        held = [p for member in members for p in member.source.position]
        assert len(set(held)) == len(held)
    for member in members * 3:
        member.read()
    assert sorted(p for member in members for p in member.source.position) == log.partitions
    while any(lag for member in members for lag in member.source.lag().values()):
        for member in members:
            member.read()
    assert {r.value for m in [*members, *gone] for r in m.seen} == {b"%d" % i for i in range(20)}


def test_it_keeps_the_promises_of_a_source() -> None:
    log = MemoryLog("plant", 3)

    def append(count: int) -> list[tuple[Partition, int]]:
        records = [log.append(b"%d" % i, 0.0, b"x") for i in range(count)]
        return [(record.partition, record.offset) for record in records]

    check_source(lambda: MemorySource(log), append)


def test_members_in_threads_share_everything() -> None:
    log, stop = filled(200, 6), threading.Event()
    readers = [Reader(log, max_records=5) for _ in range(3)]

    def work(reader: Reader) -> None:
        reader.source.start(reader)
        while not stop.is_set():
            reader.seen += reader.source.poll(0.01)
            reader.position = dict(reader.source.position)
        reader.source.close()

    threads = [threading.Thread(target=work, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    while len({(r.partition, r.offset) for reader in readers for r in reader.seen}) < 200:
        threads[0].join(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert not any(reader.source.position for reader in readers)


def test_a_bound_holds_over_all_partitions_and_none_has_to_starve() -> None:
    log = filled(80)
    reader = joined(log)
    seen: list[Record] = []
    while found := reader.source.poll(0, 6):
        assert len(found) <= 6
        seen += found
    assert len(seen) == 80
    assert {record.partition for record in seen[:24]} == set(log.partitions)


def test_with_a_bound_of_none_partitions_still_come_and_go() -> None:
    log = filled()
    first = joined(log)
    second = joined(log)
    for reader in (first, second) * 2:
        assert list(reader.source.poll(0, 0)) == []
    assert len(first.source.lag()) == len(second.source.lag()) == 2
    assert sum(first.source.lag().values()) + sum(second.source.lag().values()) == 40


def test_what_is_rewound_begins_anew_at_the_committed_offset() -> None:
    log = filled(40, 2)
    reader = joined(log)
    one = log.partitions[0]
    reader.read()
    reader.source.commit({one: 3})
    reader.source.rewind([one])
    before = len(reader.seen)
    reader.read()
    assert reader.events[-1] == ("assigned", (one,))
    again = [record.offset for record in reader.seen[before:]]
    assert again == list(range(3, log.end(one)))
    assert {record.partition for record in reader.seen[before:]} == {one}


def test_a_mark_to_rewind_goes_with_the_partition() -> None:
    log = filled(40, 2)
    first = joined(log)
    first.read()
    first.source.rewind(log.partitions)
    joined(log)
    first.read()
    (kept,) = first.source.lag()
    assert first.events[-2:] == [("revoked", (log.partitions[1],)), ("assigned", (kept,))]
