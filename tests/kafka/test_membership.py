"""Who may stay in a group: names of one's own, loops that hang, settings that do not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from monitor.errors import SourceError
from tests.kafka.conftest import MakeTopic, Topic
from tests.kafka.reading import holds, member, until
from tests.kafka.test_hand_over import started

pytestmark = pytest.mark.kafka


def test_a_loop_that_does_not_come_back_is_expelled_and_forgets(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    topic.append(20)
    stuck = member(topic, session_timeout=3.0, max_poll_interval=2.0)
    with capture_logs() as lines:
        stuck.start()
        until(lambda: stuck.step() and len(stuck.seen) == 20)
        heir = started(topic)
        until(lambda: len(heir.member.position) == 2)
        with pytest.raises(SourceError, match="cannot commit") as caught:
            stuck.commit()
        assert caught.value.retriable
        until(holds(stuck, 1))
    events = [line["event"] for line in lines]
    assert events.index("lost") > events.index("assigned")
    heir.leave()
    assert sorted(heir.member.seen) == sorted(stuck.seen[:20]), "what was not committed"
    stuck.close()


def test_a_restart_of_an_instance_within_its_session_moves_nothing(make_topic: MakeTopic) -> None:
    topic = make_topic(4)
    one = member(topic, instance="one").start()
    two = started(topic, instance="two", session_timeout=6.0)

    def shared() -> bool:
        one.step(0.05)
        return len(one.position) == len(two.member.position) == 2

    until(shared)
    before, others = set(one.position), set(two.member.position)
    one.close()
    with capture_logs() as lines:
        again = member(topic, instance="one").start()
        until(holds(again, 2))
        written = topic.append(40)
        until(lambda: bool(again.step(0.05) and False) or len(again.seen) >= 20)
    assert set(again.position) == before
    assert set(two.member.position) == others
    assert [line["event"] for line in lines if line["event"] in {"revoked", "lost"}] == []
    until(lambda: len(two.member.seen) >= 20)
    assert sorted(again.seen + two.leave()) == sorted(written)
    again.close()


@pytest.mark.parametrize("loop", ["idle", "committing"])
def test_of_two_processes_with_one_instance_the_older_ends(
    make_topic: MakeTopic, loop: str
) -> None:
    topic = make_topic(2)
    topic.append(4)
    older = member(topic, instance="pump-hall").start()
    until(lambda: older.step() and len(older.seen) == 4)
    newer = member(topic, instance="pump-hall").start()
    until(holds(newer, 2))
    act: Callable[[], object] = older.step if loop == "idle" else older.commit
    with pytest.raises(SourceError, match="has joined as instance 'pump-hall'") as caught:
        until(lambda: act() and False, patience=20)
    assert not caught.value.retriable
    older.close()
    assert not older.position, "it has lost its partitions"
    assert len(newer.position) == 2
    newer.close()


def test_members_with_different_assignors_are_told(topic: Topic) -> None:
    first = member(topic).start()
    until(holds(first, 3))
    second = member(topic, assignor="eager").start()
    with pytest.raises(SourceError, match="do not use assignor 'eager'; it must be the same"):
        until(second.step, patience=20)
    second.close()
    first.close()


def test_a_session_that_the_broker_does_not_allow_is_told(topic: Topic) -> None:
    reader = member(topic, session_timeout=0.5).start()
    with pytest.raises(SourceError, match=r"session_timeout 0\.5 s is not between the broker's"):
        until(reader.step, patience=20)
    reader.close()
