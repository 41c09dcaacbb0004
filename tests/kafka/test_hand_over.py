"""Members come and go under load: nothing is lost, and nothing committed is read twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from monitor.connect.kafka.source import KafkaSource
from monitor.errors import SourceError
from monitor.testing import Member, Seen
from monitor.types import Partition
from tests.kafka.conftest import MakeTopic, Topic

pytestmark = pytest.mark.kafka


class Worker(threading.Thread):
    """A member with a life of its own; `slow` seconds pass in each of its hand-overs."""

    def __init__(self, topic: Topic, slow: float = 0.0) -> None:
        super().__init__()
        settings = topic.settings(poll=50).model_copy(update={"session_timeout": 3.0})
        self.member = SlowMember(KafkaSource(settings, [topic.name]), slow)
        self.ended = threading.Event()
        self.finished = False

    def run(self) -> None:
        try:
            self.member.start()
            while not self.ended.is_set():
                if self.member.step(0.1):
                    time.sleep(0.02)  # the scoring
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


def started(topic: Topic, slow: float = 0.0) -> Worker:
    worker = Worker(topic, slow)
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


def test_members_that_join_and_leave_under_load_lose_and_double_nothing(
    make_topic: MakeTopic,
) -> None:
    topic = make_topic(6)
    first = started(topic)
    written = load(topic, 1.5)
    second = started(topic)
    written += load(topic, 3.0)
    third = started(topic)
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
