"""The embedded log: partitions, offsets, groups, rebalances and crashes, all in one process.

It keeps the contract of a Kafka consumer group, so the product runs the same on both; it is the
default where no broker is at hand, and the best place to test hand-offs.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.errors import SourceError
from monitor.types import Owner, Partition, Record


@dataclass
class Group:
    """Members in the order they joined, and what they have committed."""

    members: list[MemorySource] = field(default_factory=list)
    committed: dict[Partition, int] = field(default_factory=dict)


class MemoryLog:
    """Topics with the same number of partitions each; a key always goes to the same one."""

    def __init__(self, topic: str | Sequence[str], partitions: int) -> None:
        self.topics = [topic] if isinstance(topic, str) else list(topic)
        self.partitions = [Partition(t, i) for t in self.topics for i in range(partitions)]
        self._count = partitions
        self._records: dict[Partition, list[Record]] = {p: [] for p in self.partitions}
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
            record = Record(partition, len(records), key, time, value, headers)
            records.append(record)
            self.arrived.notify_all()
        return record

    def read(self, partition: Partition, offset: int, most: int) -> list[Record]:
        """Records from an offset on."""
        return self._records[partition][offset : offset + most]

    def end(self, partition: Partition) -> int:
        """The high-water mark: the offset that the next record will get."""
        return len(self._records[partition])

    def group(self, name: str) -> Group:
        """The consumer group of that name."""
        return self._groups.setdefault(name, Group())

    def rebalance(self, name: str) -> None:
        """Share the partitions among the members: revoke first, then assign."""
        group = self.group(name)
        for member in list(group.members):
            gone = [p for p in member.position if p not in self._share(group, member)]
            if gone:
                member.give_up(gone)
        for member in list(group.members):
            new = [p for p in self._share(group, member) if p not in member.position]
            if new:
                member.take_over({p: group.committed.get(p, 0) for p in new})

    def _share(self, group: Group, member: MemorySource) -> list[Partition]:
        place = group.members.index(member) if member in group.members else -1
        count = len(group.members)
        return [p for i, p in enumerate(self.partitions) if i % max(count, 1) == place]


class MemorySource:
    """One member of a group. `max_records` bounds what one poll takes from each partition."""

    def __init__(self, log: MemoryLog, group: str = "monitor", max_records: int = 500) -> None:
        self.log, self.max_records = log, max_records
        self.position: dict[Partition, int] = {}
        self._name = group
        self._owner: Owner | None = None

    def start(self, owner: Owner) -> None:
        """Join the group."""
        self._owner = owner
        self.log.group(self._name).members.append(self)
        self.log.rebalance(self._name)

    def poll(self, timeout: float) -> Sequence[Record]:
        """What has arrived; waits up to `timeout` seconds where nothing has."""
        records = self._take()
        if not records and timeout > 0:
            with self.log.arrived:
                self.log.arrived.wait_for(lambda: any(self.lag().values()), timeout)
            records = self._take()
        return records

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Raises SourceError, and commits nothing, for a partition that is not held."""
        if strange := [p for p in offsets if p not in self.position]:
            raise SourceError(f"cannot commit {strange[0]}: not held by this member")
        self.log.group(self._name).committed.update(offsets)

    def lag(self) -> Mapping[Partition, int]:
        return {p: self.log.end(p) - at for p, at in list(self.position.items())}

    def close(self) -> None:
        """Leave the group in good order."""
        if self.position:
            self.give_up(list(self.position))
        self.crash()

    def crash(self) -> None:
        """Leave as a killed process does: nobody is told but those who take over."""
        self.position = {}
        members = self.log.group(self._name).members
        if self in members:
            members.remove(self)
            self.log.rebalance(self._name)

    def lose(self, partitions: Sequence[Partition]) -> None:
        """Find out late that others own these partitions now, as after a missed session."""
        if self._owner:
            self._owner.lost(partitions)
        for partition in partitions:
            self.position.pop(partition, None)

    def give_up(self, partitions: Sequence[Partition]) -> None:
        """Called by a rebalance: hand these over."""
        if self._owner:
            self._owner.revoked(partitions)
        for partition in partitions:
            self.position.pop(partition, None)

    def take_over(self, committed: Mapping[Partition, int]) -> None:
        """Called by a rebalance: these are ours now."""
        if self._owner:
            self.position.update(self._owner.assigned(committed))

    def _take(self) -> list[Record]:
        found: list[Record] = []
        for partition, at in self.position.items():
            records = self.log.read(partition, at, self.max_records)
            self.position[partition] = at + len(records)
            found += records
        return found
