"""Snapshots in a compacted topic, without a broker: crashes, zombies, damage and compaction."""

from __future__ import annotations

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitor.connect.kafka.compacted import Message
from monitor.connect.kafka.index import Generation
from monitor.connect.kafka.snapshots import TopicSnapshots
from monitor.errors import StateError
from monitor.testing import check_snapshots, same_state
from monitor.types import Partition, State
from tests.compacted import Change, Killed, MemoryTopic

HERE, THERE = Partition("plant", 3), Partition("plant", 4)
KEEP = 3


def state(number: int) -> State:
    """Too random to be packed: five pieces of a `MemoryTopic`."""
    return {"noise": np.random.default_rng(number).integers(0, 256, 3000, np.uint8)}


def flipped(value: bytes) -> bytes:
    """One bit is another; nothing but a checksum sees that."""
    return value[:-1] + bytes([value[-1] ^ 1])


def store(topic: MemoryTopic, keep: int = KEEP, group: str = "monitor") -> TopicSnapshots:
    return TopicSnapshots(topic, group, keep)


def saved(topic: MemoryTopic, *offsets: int, keep: int = KEEP) -> TopicSnapshots:
    snapshots = store(topic, keep)
    snapshots.offsets(HERE)
    for offset in offsets:
        snapshots.save(HERE, offset, state(offset))
    return snapshots


def loadable(topic: MemoryTopic) -> list[int]:
    """Where a new process finds sound states, the newest first."""
    snapshots, found = store(topic), []
    for offset in snapshots.offsets(HERE):
        try:
            got = snapshots.load(HERE, offset)
        except StateError:
            continue
        assert same_state(got, state(offset)), "a mixture"
        found.append(offset)
    return found


def places(topic: MemoryTopic, offset: int) -> list[tuple[int, int]]:
    """Partition and offset of each piece of the snapshot at an offset."""
    keys = [(p, e.offset, json.loads(e.key)) for p, e in topic.alive()]
    return [(p, at) for p, at, key in keys if key[0] == "piece" and key[4] == offset]


def told(topic: MemoryTopic, offset: int) -> tuple[int, dict[str, object]]:
    """The index's entry of the snapshot at an offset, and where it is."""
    for partition, entry in topic.alive():
        if partition == 0 and json.loads(entry.key)[4] == offset:
            return entry.offset, json.loads(entry.value or b"")
    raise AssertionError(f"nothing at {offset}")


def from_the_future(topic: MemoryTopic, offset: int) -> None:
    at, value = told(topic, offset)
    changed = json.dumps(value | {"format": 2, "packed": "as never before"}).encode()
    topic.spoil(0, at, lambda _: changed)


def test_it_keeps_the_promises_of_snapshots() -> None:
    topic = MemoryTopic()

    def damage(partition: Partition, offset: int) -> None:
        topic.spoil(*places(topic, offset)[0], lambda _: b"something else")

    check_snapshots(lambda: store(topic), damage)


@pytest.mark.parametrize("partitions", [1, 2, 9])
def test_any_number_of_partitions_will_do(partitions: int) -> None:
    topic = MemoryTopic(partitions)
    check_snapshots(lambda: store(topic))


def test_the_index_is_apart_from_the_pieces() -> None:
    """Else whoever looks for a snapshot would read them all."""
    topic = MemoryTopic()
    saved(topic, 5, 9)
    assert all(json.loads(entry.key)[0] == "snapshot" for entry in topic.logs[0])
    assert sum(len(entry.value or b"") for entry in topic.logs[0]) < 2500


def test_no_piece_is_larger_than_the_topic_allows() -> None:
    topic = MemoryTopic(largest=333)
    saved(topic, 5)
    sizes = [len(entry.value or b"") for _, entry in topic.alive() if b"piece" in entry.key]
    assert max(sizes) == 333
    assert loadable(topic) == [5]


def test_only_the_newest_generations_stay_in_the_topic() -> None:
    topic = MemoryTopic()
    saved(topic, *range(10, 20), keep=2)
    assert loadable(topic) == [19, 18]
    assert topic.pieces() == 2 * 5


def test_what_a_crash_left_behind_is_cleared_away_by_the_next_owner() -> None:
    topic = MemoryTopic()
    saved(topic, 5)
    for left in range(7):
        topic.left = left
        with pytest.raises(Killed):
            saved(topic, 9)
        topic.left = None
        assert loadable(topic) == [5]
    saved(topic, 12)
    assert loadable(topic) == [12, 5]
    assert topic.pieces() == 2 * 5


def test_a_save_that_failed_is_cleared_away_by_the_next_one() -> None:
    """The process lives on: the broker was away for a while."""
    topic = MemoryTopic()
    snapshots = saved(topic, 5)
    topic.left = 3
    with pytest.raises(Killed):
        snapshots.save(HERE, 9, state(9))
    topic.left = None
    snapshots.save(HERE, 12, state(12))
    assert loadable(topic) == [12, 5]
    assert topic.pieces() == 2 * 5


def test_what_is_ahead_of_a_new_snapshot_is_of_another_history() -> None:
    topic = MemoryTopic()
    saved(topic, 800, 900)
    saved(topic, 7)
    assert loadable(topic) == [7]
    assert topic.pieces() == 5


def test_a_process_that_was_thought_dead_harms_nothing_that_came_after_it() -> None:
    topic = MemoryTopic()
    zombie = saved(topic, 5, 9)
    owner = saved(topic, 20, 30)
    zombie.offsets(THERE)  # by which it learns what has come HERE
    zombie.save(HERE, 12, state(12))  # its own idea of what is ahead, and of the newest three
    zombie.save(HERE, 33, state(33))
    assert loadable(topic)[:2] == [30, 20]
    owner.save(HERE, 40, state(40))
    assert loadable(topic)[:3] == [40, 30, 20]


def test_what_it_writes_then_is_void_and_goes_with_the_next_owner() -> None:
    topic = MemoryTopic()
    zombie = saved(topic, 5)
    saved(topic, 20)
    zombie.save(HERE, 33, state(33))
    assert 33 not in store(topic).offsets(HERE)
    saved(topic, 40)
    assert topic.pieces() == 5 * len(loadable(topic))


def test_a_successor_that_completed_nothing_voids_nothing() -> None:
    topic = MemoryTopic()
    zombie = saved(topic, 5)
    topic.left = 4
    with pytest.raises(Killed):
        saved(topic, 5)
    topic.left = None
    for offset in (12, 15, 18):
        zombie.save(HERE, offset, state(offset))
    assert loadable(topic) == [18, 15, 12]


def test_a_zombie_that_dies_between_its_pieces_leaves_nothing_for_ever() -> None:
    topic = MemoryTopic()
    zombie = saved(topic, 5)
    saved(topic, 20)
    topic.left = 4
    with pytest.raises(Killed):
        zombie.save(HERE, 33, state(33))
    topic.left = None
    saved(topic, 40)
    assert topic.pieces() == 5 * len(loadable(topic))


def test_who_gets_a_partition_back_owns_it_again() -> None:
    topic = MemoryTopic()
    first = saved(topic, 5)
    saved(topic, 20)
    assert first.offsets(HERE) == [20, 5]
    first.save(HERE, 33, state(33))
    assert loadable(topic) == [33, 20, 5]


def test_groups_and_partitions_do_not_see_each_other() -> None:
    topic = MemoryTopic()
    saved(topic, 5)
    other = store(topic, group="other")
    assert other.offsets(HERE) == []
    other.save(HERE, 3, state(3))
    other.save(THERE, 4, state(4))
    assert loadable(topic) == [5]
    assert store(topic).offsets(THERE) == []


@pytest.mark.parametrize("change", [None, lambda _: b"", lambda _: b"garbage", flipped])
def test_damage_is_told_with_whose_it_is_and_goes_with_the_next_save(change: Change) -> None:
    topic = MemoryTopic()
    saved(topic, 5, 9)
    topic.spoil(*places(topic, 9)[1], change)
    snapshots = store(topic)
    assert snapshots.offsets(HERE) == [9, 5]
    with pytest.raises(StateError, match=r"snapshot of plant/3 at 9, written by .*:\d+"):
        snapshots.load(HERE, 9)
    assert snapshots.offsets(HERE) == [5]
    snapshots.save(HERE, 12, state(12))
    assert loadable(topic) == [12, 5]
    assert topic.pieces() == 2 * 5


def test_a_snapshot_of_a_newer_version_is_told_and_left_for_it() -> None:
    topic = MemoryTopic()
    saved(topic, 5, 9)
    from_the_future(topic, 9)
    older = store(topic, keep=2)
    assert older.offsets(HERE) == [9, 5]
    with pytest.raises(StateError, match="has format 2, which a newer version"):
        older.load(HERE, 9)
    assert older.offsets(HERE) == [5]
    for offset in (12, 15, 18):
        older.save(HERE, offset, state(offset))
    assert store(topic).offsets(HERE) == [18, 15, 9]
    assert topic.pieces() == 3 * 5


def test_a_snapshot_of_a_newer_version_that_is_ahead_goes() -> None:
    topic = MemoryTopic()
    saved(topic, 50)
    from_the_future(topic, 50)
    saved(topic, 7)
    assert store(topic).offsets(HERE) == [7]
    assert topic.pieces() == 5


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"", b"{}"),
        (b"sensor-7", b"{}"),
        (b'{"a": 1}', b"{}"),
        (b'["other", 1, 2, 3, 4, 5, 6]', b"{}"),
        (b'["snapshot", "monitor", "plant", "x", 9, "run", 1]', b"{}"),
        (b'["snapshot", "monitor", "plant", 3, 9, "run", 1]', b"not JSON"),
        (b'["snapshot", "monitor", "plant", 3, 9, "run", 1]', b"[]"),
        (b'["snapshot", "monitor", "plant", 3, 9, "run", 1]', b'{"pieces": 1e12}'),
    ],
)
def test_entries_of_something_else_are_passed_over(key: bytes, value: bytes) -> None:
    topic = MemoryTopic()
    saved(topic, 5)
    topic.write([Message(0, key, value)])
    assert loadable(topic) == [5]


def test_a_topic_that_was_made_anew_is_read_anew() -> None:
    topic = MemoryTopic()
    snapshots = saved(topic, *range(10, 40))
    topic.logs.clear()
    assert snapshots.offsets(HERE) == []
    snapshots.save(HERE, 50, state(50))
    assert loadable(topic) == [50]


def test_claims_from_before_the_topic_was_made_anew_void_nothing() -> None:
    topic = MemoryTopic()
    first = saved(topic, *range(10, 40))
    first.offsets(HERE)
    topic.logs.clear()
    first.save(HERE, 50, state(50))
    saved(topic, 60)
    assert loadable(topic)[0] == 60


def test_no_two_snapshots_share_a_key() -> None:
    one = Generation("g", HERE, 5, "run", 1, 0, 1, 2)
    other = Generation("g", HERE, 5, "run", 2, 0, 1, 2)
    keys = {g.key for g in (one, other)} | {g.piece(i) for g in (one, other) for i in (0, 1)}
    assert len(keys) == 6


class Life(RuleBasedStateMachine):
    """Owners that come, save, are killed between two messages, and go on as zombies.

    `done` are the offsets that the newest run with a complete snapshot has saved, `spoilt` those of
    them that were damaged since.
    """

    def __init__(self) -> None:
        super().__init__()
        self.topic = MemoryTopic()
        self.owner = store(self.topic)
        self.zombies: list[TopicSnapshots] = []
        self.committed = 0
        self.done: list[int] = []
        self.whose = self.owner
        self.spoilt: set[int] = set()

    @rule()
    def taken_over(self) -> None:
        self.zombies.append(self.owner)
        self.owner = store(self.topic)
        self.owner.offsets(HERE)

    @rule(step=st.integers(0, 5))
    def saves(self, step: int) -> None:
        self.committed += step
        self.owner.save(HERE, self.committed, state(self.committed))
        self._completed()

    @rule(step=st.integers(0, 5), left=st.integers(0, 20))
    def saves_and_is_killed(self, step: int, left: int) -> None:
        self.committed += step
        self.topic.left = left
        with suppress(Killed):
            self.owner.save(HERE, self.committed, state(self.committed))
        self.topic.left = None
        if left > 6:  # an announcement, five pieces, and that it is complete
            self._completed()
        self.owner = store(self.topic)
        self.owner.offsets(HERE)

    def _completed(self) -> None:
        if self.whose is not self.owner:
            self.whose, self.done, self.spoilt = self.owner, [], set()
        self.done.append(self.committed)
        self.spoilt.discard(self.committed)

    @precondition(lambda self: self.zombies)
    @rule(which=st.integers(0, 9), left=st.integers(0, 20))
    def a_zombie_saves(self, which: int, left: int) -> None:
        zombie = self.zombies[which % len(self.zombies)]
        self.topic.left = left
        try:
            zombie.save(HERE, self.committed, state(self.committed))
        except Killed:
            self.zombies.remove(zombie)
        self.topic.left = None

    @precondition(lambda self: self.zombies)
    @rule(which=st.integers(0, 9))
    def a_zombie_gets_another_partition(self, which: int) -> None:
        self.zombies[which % len(self.zombies)].offsets(THERE)

    @rule(tombstones=st.booleans())
    def compacted(self, tombstones: bool) -> None:
        self.topic.compact(tombstones=tombstones)

    @precondition(lambda self: self.done)
    @rule(which=st.integers(0, 9), change=st.sampled_from([None, lambda _: b"garbage", flipped]))
    def damaged(self, which: int, change: Change) -> None:
        offset = self.done[-1]
        if found := places(self.topic, offset):
            self.topic.spoil(*found[which % len(found)], change)
            self.spoilt.add(offset)

    @invariant()
    def the_newest_sound_one_is_found_and_nothing_is_mixed(self) -> None:
        newest = sorted(set(self.done), reverse=True)[:KEEP]
        promised = [offset for offset in newest if offset not in self.spoilt]
        found = loadable(self.topic)
        if promised:
            assert found, f"none of {promised} is there"
            assert found[0] >= promised[0], f"{promised[0]} was complete, but {found} is left"

    def teardown(self) -> None:
        self.taken_over()
        for offset in range(self.committed + 1, self.committed + KEEP + 2):
            self.owner.save(HERE, offset, state(offset))
        assert self.topic.pieces() == KEEP * 5, "something stays for ever"


Life.TestCase.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase
