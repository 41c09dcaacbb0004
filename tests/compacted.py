"""A compacted topic in memory that can die between two messages, lose some, and compact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from monitor.connect.kafka.compacted import Entry, Message

Change = Callable[[bytes], bytes] | None


class Killed(Exception):
    """The process is gone in the middle of writing."""


@dataclass
class MemoryTopic:
    """What several stores share; `left` messages are written, then whoever writes is killed."""

    partitions: int = 3
    largest: int = 700
    left: int | None = None
    logs: dict[int, list[Entry]] = field(default_factory=dict)

    def write(self, messages: Sequence[Message]) -> list[int]:
        return [self._append(message) for message in messages]

    def _append(self, message: Message) -> int:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        offset = self.end(message.partition)
        self.logs.setdefault(message.partition, []).append(
            Entry(offset, message.key, message.value)
        )
        return offset

    def end(self, partition: int) -> int:
        log = self.logs.get(partition, [])
        return log[-1].offset + 1 if log else 0

    def read(self, partition: int, start: int) -> Iterator[Entry]:
        yield from [e for e in self.logs.get(partition, []) if e.offset >= start]

    def close(self) -> None:
        pass

    def compact(self, *, tombstones: bool = True) -> None:
        """Keep the newest entry of each key, and without `tombstones` not even the last word on
        those that are gone; the newest entry of all always stays.
        """
        for partition, log in self.logs.items():
            newest = {entry.key: entry.offset for entry in log}
            self.logs[partition] = [
                entry
                for entry in log
                if newest[entry.key] == entry.offset
                and (tombstones or entry.value is not None or entry is log[-1])
            ]

    def alive(self) -> list[tuple[int, Entry]]:
        """Partition and entry of what stays for ever."""
        newest = {(p, e.key): e for p, log in self.logs.items() for e in log}
        return [(p, e) for (p, _), e in newest.items() if e.value is not None]

    def pieces(self) -> int:
        """How many pieces stay for ever."""
        return sum(b'"piece"' in entry.key for _, entry in self.alive())

    def spoil(self, partition: int, offset: int, change: Change) -> None:
        """Change the value of one entry; None drops the entry."""
        log = self.logs[partition]
        place = [entry.offset for entry in log].index(offset)
        if change is None:
            del log[place]
        else:
            log[place] = log[place]._replace(value=change(log[place].value or b""))
