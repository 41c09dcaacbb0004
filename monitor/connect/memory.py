"""The embedded log: partitions, offsets, groups, rebalances and crashes, all in one process.

It keeps the contract of a Kafka consumer group, so the product runs the same on both; it is the
default where no broker is at hand, and the best place to test hand-offs. Members may be threads:
each gives up and takes over partitions in its own calls only, the old owner first.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.errors import SourceError
from monitor.protocols import Owner
from monitor.types import Partition, Record


@dataclass
class Group:
    """Members in the order they joined, and what was committed."""

    members: list[MemorySource] = field(default_factory=list)
    committed: dict[Partition, int] = field(default_factory=dict)


class MemoryLog:
    """Topics with the same number of partitions each; a key always goes to the same one.

    With `keep` at least so many of the latest records of each partition stay, at most twice as
    many; who reads more slowly than that misses some.
    """

    def __init__(
        self, topic: str | Sequence[str], partitions: int, keep: int | None = None
    ) -> None:
        self.topics = [topic] if isinstance(topic, str) else list(topic)
        self.partitions = [Partition(t, i) for t in self.topics for i in range(partitions)]
        self._count, self._keep = partitions, keep
        self._records: dict[Partition, list[Record]] = {p: [] for p in self.partitions}
        self._first = dict.fromkeys(self.partitions, 0)  # the offset of the first record there is
        self._groups: dict[str, Group] = {}
        self.arrived = threading.Condition()

    def append(
        self,
        key: bytes | None,
        time: float,
        value: bytes,
        headers: tuple[tuple[str, bytes], ...] = (),
        topic: str | None = None,
    ) -> Record:
        """Add one record; without a topic it goes to the first one. Raises SourceError for a topic
        that the log does not have.
        """
        partition = Partition(topic or self.topics[0], zlib.crc32(key or b"") % self._count)
        if partition not in self._records:
            raise SourceError(f"no topic {topic!r}; valid are {', '.join(self.topics)}")
        with self.arrived:
            records = self._records[partition]
            record = Record(partition, self.end(partition), key, time, value, headers)
            records.append(record)
            if self._keep is not None and len(records) > 2 * self._keep:
                self._first[partition] += len(records) - self._keep
                self._records[partition] = records[-self._keep :]
            self.arrived.notify_all()
        return record

    def read(self, partition: Partition, offset: int, most: int) -> list[Record]:
        """Records from an offset on, or from the first one after it that there is."""
        with self.arrived:
            at = max(0, offset - self._first[partition])
            return self._records[partition][at : at + most]

    def end(self, partition: Partition) -> int:
        """The high-water mark: the offset that the next record will get."""
        with self.arrived:
            return self._first[partition] + len(self._records[partition])

    def group(self, name: str) -> Group:
        """The consumer group of that name."""
        return self._groups.setdefault(name, Group())

    def join(self, name: str, member: MemorySource) -> None:
        """The others give up what is the new one's share when they poll."""
        with self.arrived:
            self.group(name).members.append(member)
            self.arrived.notify_all()

    def leave(self, name: str, member: MemorySource) -> None:
        """The others take its share when they poll."""
        with self.arrived:
            members = self.group(name).members
            if member in members:
                members.remove(member)
            self.arrived.notify_all()

    def share(self, name: str, member: MemorySource) -> list[Partition]:
        """The partitions that a member should hold."""
        members = list(self.group(name).members)
        if member not in members:
            return []
        return self.partitions[members.index(member) :: len(members)]


class MemorySource:
    """One member of a group. `max_records` bounds what one poll takes from each partition."""

    def __init__(self, log: MemoryLog, group: str = "monitor", max_records: int = 500) -> None:
        self.log, self.max_records = log, max_records
        self.position: dict[Partition, int] = {}
        self._name = group
        self._owner: Owner | None = None
        self._lost: list[Partition] = []
        self._rewound: set[Partition] = set()
        self._turn = 0

    def start(self, owner: Owner) -> None:
        """Join the group; what others still hold comes with the polls that follow."""
        self._owner = owner
        self.log.join(self._name, self)
        self._settle()

    def poll(self, timeout: float, most: int | None = None) -> Sequence[Record]:
        """What has arrived; waits up to `timeout` seconds where nothing has."""
        self._settle()
        records = self._take(most)
        if not records and timeout > 0:
            with self.log.arrived:
                self.log.arrived.wait_for(
                    lambda: self._moves() or (most != 0 and any(self.lag().values())), timeout
                )
            self._settle()
            records = self._take(most)
        return records

    def rewind(self, partitions: Sequence[Partition]) -> None:
        """See `monitor.protocols.Source`."""
        self._rewound.update(p for p in partitions if p in self.position)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Raises SourceError, and commits nothing, for a partition that is not held; `retriable`
        where it was held until just now.
        """
        if strange := [p for p in offsets if p not in self.position]:
            raise SourceError(
                f"cannot commit {strange[0]}: not held by this member",
                retriable=all(p in self._lost for p in strange),
            )
        self.log.group(self._name).committed.update(offsets)

    def lag(self) -> Mapping[Partition, int]:
        return {p: self.log.end(p) - at for p, at in list(self.position.items())}

    def close(self) -> None:
        """Leave the group in good order."""
        try:
            self._give_up(list(self.position))
        finally:
            self.crash()

    def crash(self) -> None:
        """Leave as a killed process does: nobody is told."""
        with self.log.arrived:
            self.position = {}
        self.log.leave(self._name, self)

    def lose(self, partitions: Sequence[Partition]) -> None:
        """Others may own these now, as after a missed session; the next poll finds it out."""
        with self.log.arrived:
            self._lost += [p for p in partitions if self.position.pop(p, None) is not None]

    def _settle(self) -> None:
        """Give up and take over until this member holds its share of what is free."""
        if self._owner and self._lost:
            lost, self._lost = self._lost, []
            self._owner.lost(lost)
        share = self.log.share(self._name, self)
        self._give_up([p for p in self.position if p not in share])
        with self.log.arrived:
            new = self._claim() | self._begun_anew()
        if self._owner and new:
            self.position.update(self._owner.assigned(new))

    def _give_up(self, partitions: Sequence[Partition]) -> None:
        if self._owner and partitions:
            self._owner.revoked(partitions)
            with self.log.arrived:
                for partition in partitions:
                    self.position.pop(partition, None)
                self.log.arrived.notify_all()

    def _claim(self) -> dict[Partition, int]:
        """Take what nobody holds; returns what is committed there."""
        committed = self.log.group(self._name).committed
        new = {p: committed.get(p, 0) for p in self._free()}
        self.position.update(new)
        return new

    def _begun_anew(self) -> dict[Partition, int]:
        """What is committed where the owner asked to begin again."""
        committed = self.log.group(self._name).committed
        again = {p: committed.get(p, 0) for p in self._rewound if p in self.position}
        self._rewound.clear()
        return again

    def _free(self) -> list[Partition]:
        """What is ours to take."""
        members = self.log.group(self._name).members
        share = self.log.share(self._name, self)
        return [p for p in share if not any(p in member.position for member in members)]

    def _moves(self) -> bool:
        """Whether there is anything to settle."""
        share = self.log.share(self._name, self)
        return bool(self._free()) or any(p not in share for p in self.position)

    def _take(self, most: int | None) -> list[Record]:
        """From each partition in turn, another one first each time, so that none has to starve."""
        held = list(self.position)
        self._turn = (self._turn + 1) % max(1, len(held))
        room = len(held) * self.max_records if most is None else most
        found: list[Record] = []
        for partition in held[self._turn :] + held[: self._turn]:
            at = self.position[partition]
            records = self.log.read(partition, at, min(self.max_records, room - len(found)))
            self.position[partition] = records[-1].offset + 1 if records else at
            found += records
        return found
