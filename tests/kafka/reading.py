"""Members of a group for tests: made, stepped until something holds, and read empty."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from monitor.connect.kafka.source import KafkaSource
from monitor.testing import Member
from monitor.types import Record
from tests.kafka.conftest import Topic


def source(topic: Topic, *also: str, **changed: Any) -> KafkaSource:
    """A source of the topic, and of other names or patterns, with some settings changed."""
    settings = topic.settings().model_copy(update=changed)
    return KafkaSource(settings, [topic.name, *also])


def member(topic: Topic, start: str = "earliest", **changed: Any) -> Member:
    """A member of the topic's group."""
    return Member(source(topic, start=start, **changed))


def until(done: Callable[[], object], patience: float = 40.0) -> None:
    """Ask again and again; AssertionError after so many seconds."""
    end = time.monotonic() + patience
    while not done():
        assert time.monotonic() < end, f"not within {patience:g} s"


def holds(reader: Member, count: int) -> Callable[[], bool]:
    """Steps a member; whether it has so many partitions."""
    return lambda: bool(reader.step(0.1) and False) or len(reader.position) == count


def read(reader: Member, count: int) -> list[Record]:
    """Poll until so many records have come; leaves the group."""
    found: list[Record] = []
    until(lambda: _more(found, reader) >= count)
    reader.close()
    return found


def _more(found: list[Record], reader: Member) -> int:
    found.extend(reader.step())
    return len(found)
