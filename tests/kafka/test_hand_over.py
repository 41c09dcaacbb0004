"""Members come and go under load: nothing is lost, and nothing committed is read twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.connect.kafka.source import KafkaSource
from monitor.errors import SourceError
from monitor.testing import Member, Seen
from monitor.types import Partition
from tests.kafka.conftest import MakeTopic, Topic
from tests.kafka.reading import holds, member, source, until

pytestmark = pytest.mark.kafka


class Worker(threading.Thread):
    """A member with a life of its own; `slow` seconds pass in each of its hand-overs."""

    def __init__(self, topic: Topic, slow: float = 0.0, **changed: Any) -> None:
        super().__init__()
        changed = {"session_timeout": 3.0, "max_poll_records": 50, **changed}
        self.member = SlowMember(source(topic, **changed), slow)
        self.ended = threading.Event()
        self.scoring = 0.02
        self.finished = False

    def run(self) -> None:
        try:
            self.member.start()
            while not self.ended.is_set():
                if self.member.step(0.1):
                    time.sleep(self.scoring)
                    self._commit()
        finally:
            self.member.close()
        self.finished = True

    def _commit(self) -> None:
        try:
            self.member.commit()
        except SourceError as error:
            if not error.retriable:
                raise

    def leave(self) -> Seen:
        """End this member, and return what it has read."""
        self.ended.set()
        self.join(60)
        assert self.finished, "the member ended with an error, or not at all"
        return self.member.seen


class SlowMember(Member):
    """Takes its time to hand over, longer than its session lasts."""

    def __init__(self, source: KafkaSource, slow: float) -> None:
        super().__init__(source)
        self.slow = slow

    def revoked(self, partitions: Sequence[Partition]) -> None:
        time.sleep(self.slow)
        super().revoked(partitions)

    def assigned(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        time.sleep(self.slow)
        return super().assigned(committed)


def started(topic: Topic, slow: float = 0.0, **changed: Any) -> Worker:
    worker = Worker(topic, slow, **changed)
    worker.start()
    return worker


def load(topic: Topic, seconds: float) -> Seen:
    """Records for some seconds, a few at a time."""
    until = time.monotonic() + seconds
    written: Seen = []
    while time.monotonic() < until:
        written += topic.append(24)
        time.sleep(0.02)
    return written


@pytest.mark.parametrize("assignor", ["cooperative", "eager"])
def test_members_that_join_and_leave_under_load_lose_and_double_nothing(
    make_topic: MakeTopic, assignor: str
) -> None:
    topic = make_topic(6)
    first = started(topic, assignor=assignor)
    written = load(topic, 1.5)
    second = started(topic, assignor=assignor)
    written += load(topic, 3.0)
    third = started(topic, assignor=assignor)
    written += load(topic, 3.0)
    seen = first.leave()
    written += load(topic, 2.0)
    seen += third.leave()
    last = second.member
    deadline = time.monotonic() + 60
    while len(seen) + len(last.seen) < len(written) and time.monotonic() < deadline:
        time.sleep(0.1)
    seen += second.leave()
    doubled = [where for where, times in Counter(seen).items() if times > 1]
    assert not doubled
    assert sorted(seen) == sorted(written)
    assert last.seen, "the load was shared"


def test_a_hand_over_longer_than_the_session_keeps_the_membership(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    slow = started(topic, slow=5.0)
    written = load(topic, 1.5)
    heir = started(topic)
    deadline = time.monotonic() + 60
    while not heir.member.position and time.monotonic() < deadline:
        written += load(topic, 0.3)
    while len(slow.member.seen) + len(heir.member.seen) < len(written):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    slow.member.slow = 0.0
    seen = slow.leave() + heir.leave()
    assert sorted(seen) == sorted(written)


@pytest.mark.parametrize("assignor", ["cooperative", "eager"])
def test_scoring_longer_than_the_session_costs_no_membership(
    make_topic: MakeTopic, assignor: str
) -> None:
    topic = make_topic(2)
    slow = started(topic, assignor=assignor)
    slow.scoring = 4.5
    written = load(topic, 0.5)
    heir = started(topic, assignor=assignor)
    until(lambda: time.sleep(0.1) or heir.member.position)  # type: ignore[func-returns-value]
    with capture_logs() as lines:
        written += load(topic, 4.0)
        slow.scoring = 0.0
        members = (slow.member, heir.member)
        until(lambda: sum(len(each.seen) for each in members) >= len(written))
        seen = slow.leave() + heir.leave()
    assert sorted(seen) == sorted(written)
    assert "lost" not in [line["event"] for line in lines]


def test_most_0_reads_nothing_and_hands_over_all_the_same(make_topic: MakeTopic) -> None:
    topic = make_topic(4)
    held_back, other = member(topic).start(), member(topic)
    until(holds(held_back, 4))
    topic.append(40)
    other.start()

    def shared() -> bool:
        held_back.step(0.05, 0)
        other.step(0.05, 0)
        return len(held_back.position) == len(other.position) == 2

    until(shared)
    assert not held_back.seen + other.seen
    other.close()
    until(lambda: bool(held_back.step(0.05, 0)) or len(held_back.position) == 4)
    assert not held_back.seen
    until(lambda: held_back.step(0.1, 7) and len(held_back.seen) == 40)
    held_back.close()


def test_what_is_assigned_while_nothing_is_to_be_read_rests_too(topic: Topic) -> None:
    topic.append(30)
    reader = member(topic).start()
    until(lambda: bool(reader.step(1.5, 0)) or len(reader.position) == 3)
    assert not reader.seen
    until(lambda: reader.step(0.2) and len(reader.seen) == 30)
    reader.close()


@pytest.fixture
def hasty(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> Member:
    """A member that has joined, and whose polls do not wait for a fetch that they started."""
    reader = member(topic).start()
    until(holds(reader, 3))
    monkeypatch.setattr("monitor.connect.kafka.source._JOINING", 0.0)
    return reader


def test_a_fetch_under_way_gives_no_more_than_the_later_poll_asks_for(
    topic: Topic, hasty: Member
) -> None:
    expected = topic.append(60)

    def turn() -> bool:
        hasty.step(0.0)
        time.sleep(0.1)
        hasty.step(0.1, 3)
        return len(hasty.seen) >= 60

    until(turn)
    hasty.close()
    assert sorted(hasty.seen) == sorted(expected)


def test_a_fetch_under_way_gives_nothing_of_what_is_rewound(topic: Topic, hasty: Member) -> None:
    expected = topic.append(60)

    def rewound_under_way() -> bool:
        until(lambda: hasty.step(0.1, 1))  # the others are fetched, too
        under_way = not hasty.step(0.0)
        time.sleep(0.1)
        hasty.begin_anew(sorted(hasty.position))
        assert not (under_way and hasty.step(0.1)), "it was fetched before"
        return under_way

    until(rewound_under_way)
    hasty.seen.clear()
    until(lambda: bool(hasty.step(0.1) and False) or len(hasty.seen) >= 60)
    hasty.close()
    assert sorted(hasty.seen) == sorted(expected), "all of it again: nothing was committed"


def test_an_owner_may_rewind_what_it_keeps_while_something_else_is_revoked(
    make_topic: MakeTopic,
) -> None:
    topic = make_topic(4)
    written = topic.append(40)

    class Aborting(Member):
        """Gives up everything when something is revoked, as after a void transaction."""

        def revoked(self, partitions: Sequence[Partition]) -> None:
            self.begin_anew(sorted(self.position))

    aborting = Aborting(source(topic)).start()
    until(lambda: aborting.step() and len(aborting.seen) == 40)
    other = member(topic).start()

    def shared() -> bool:
        aborting.step(0.05)
        other.step(0.05)
        return len(aborting.position) == len(other.position) == 2 and len(other.seen) >= 20

    until(shared)
    kept = [where for where in written if where[0] in aborting.position]
    until(lambda: bool(aborting.step(0.1) and False) or len(aborting.seen) >= 60)
    assert Counter(aborting.seen) == Counter(written) + Counter(kept)
    assert sorted(other.seen) == sorted(w for w in written if w[0] in other.position)
    other.close()
    aborting.close()
