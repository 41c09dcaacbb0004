"""Which snapshots a topic holds: the first of its partitions, read from the start and kept up.

A generation is announced before its pieces are written and completed after, under the same key; so
what a crash left behind is known and can be cleared away. Who takes a partition over notes how far
the index went (its `claim`). What a run writes carries its claim, and by that

- a run gives up only what is its own, or was there when it took over: one that was thought dead and
  goes on cannot harm what came after it;
- what such a run still writes is void as soon as its successor has completed one: the log's order
  is the same for every reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from monitor.connect.kafka.compacted import Entry, Message
from monitor.types import Partition

log = structlog.get_logger("monitor")

FORMAT = 1
INDEX = 0
_KIND = "snapshot"
_MOST_PIECES = 20_000  # 10 GB
_END = 2**63


class Log(Protocol):
    """A compacted topic; see `compacted.CompactedTopic`."""

    partitions: int
    largest: int

    def write(self, messages: list[Message]) -> list[int]: ...

    def end(self, partition: int) -> int: ...

    def read(self, partition: int, start: int) -> Iterator[Entry]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Generation:
    """One snapshot: whose, and where its pieces lie.

    `pieces` of them are in partition `place` from offset `start` on, together `size` bytes. It is
    incomplete while `sha256` is empty; `at` is where the index tells of it.
    """

    group: str
    partition: Partition
    offset: int
    run: str
    number: int
    claim: int
    place: int
    pieces: int
    start: int = -1
    size: int = 0
    sha256: str = ""
    writer: str = ""
    format: int = FORMAT
    at: int = -1
    void: bool = False

    @property
    def name(self) -> tuple[str | int, ...]:
        """What no other has."""
        return self.group, *self.partition, self.offset, self.run, self.number

    @property
    def key(self) -> bytes:
        """Its key in the index."""
        return json.dumps([_KIND, *self.name]).encode()

    def piece(self, number: int) -> bytes:
        """The key of one of its pieces."""
        return json.dumps(["piece", *self.name, number]).encode()

    def entry(self) -> Message:
        """What tells of it in the index."""
        told = ("format", "claim", "place", "pieces", "start", "size", "sha256", "writer")
        value = json.dumps({name: getattr(self, name) for name in told})
        return Message(INDEX, self.key, value.encode())

    def erased(self) -> list[Message]:
        """What gives it up: its pieces first, or a crash would leave them for ever."""
        gone = [Message(self.place, self.piece(i), None) for i in range(self.pieces)]
        return [*gone, Message(INDEX, self.key, None)]


class Index:
    """The generations of one group, by partition."""

    def __init__(self, topic: Log, group: str) -> None:
        self._topic, self._group = topic, group
        self._next = self._seen = 0  # what we write ourselves is seen before it is read
        self._known: dict[Partition, dict[bytes, Generation]] = {}
        self._claims: dict[Partition, int] = {}  # the highest that completed one

    def refresh(self) -> int:
        """Read what is new; returns how far that went."""
        end = self._topic.end(INDEX)
        if end < self._seen:  # the topic was made anew
            self._next, self._known, self._claims = 0, {}, {}
        for entry in self._topic.read(INDEX, self._next):
            self._take(entry)
            self._next = entry.offset + 1
        self._next = self._seen = max(self._next, end)
        return self._next

    def of(self, partition: Partition) -> list[Generation]:
        """All of a partition, the newest first; of two at one offset the later one."""
        known = self._known.get(partition, {}).values()
        return sorted(known, key=lambda g: (g.offset, g.at), reverse=True)

    def note(self, generation: Generation) -> None:
        """What we have written ourselves."""
        self._known.setdefault(generation.partition, {})[generation.key] = generation
        self._seen = max(self._seen, generation.at + 1)

    def drop(self, generation: Generation) -> None:
        """What we have given up ourselves."""
        self._known.get(generation.partition, {}).pop(generation.key, None)

    def _take(self, entry: Entry) -> None:
        found = _parsed(entry)
        if found is None or found.group != self._group or found.place >= self._topic.partitions:
            return
        if entry.value is None:
            self._known.get(found.partition, {}).pop(found.key, None)
            return
        highest = self._claims.get(found.partition, -1)
        if found.sha256:
            self._claims[found.partition] = max(highest, found.claim)
        self.note(replace(found, void=found.claim < highest))


def _parsed(entry: Entry) -> Generation | None:
    """An entry of the index; None for what is something else."""
    try:
        kind, group, topic, number, offset, run, count = json.loads(entry.key)
        if kind != _KIND:
            return None
        told: dict[str, Any] = json.loads(entry.value) if entry.value else {}
        found = Generation(
            group=str(group),
            partition=Partition(str(topic), int(number)),
            offset=int(offset),
            run=str(run),
            number=int(count),
            # Larger than its own place it is from before the topic was made anew.
            claim=min(int(told.get("claim", -1)), entry.offset),
            place=int(told.get("place", INDEX)),
            pieces=int(told.get("pieces", 0)),
            start=int(told.get("start", -1)),
            size=int(told.get("size", 0)),
            sha256=str(told.get("sha256", "")),
            writer=str(told.get("writer", "")),
            format=int(told.get("format", 0)),
            at=entry.offset,
        )
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        log.warning("not an entry of the snapshots' index", at=entry.offset, why=str(error))
        return None
    return found if _possible(found) else None


def _possible(found: Generation) -> bool:
    """Whether its numbers are such as a log has."""
    numbers = (found.partition.number, found.offset, found.number, found.place, found.pieces)
    return all(0 <= each < _END for each in numbers) and found.pieces <= _MOST_PIECES
