"""Where the log of each partition begins and ends, and where its group goes on.

A log is not always where its readers left it: old records expire, a topic is deleted and made
again, an unclean election takes the newest records away. Whatever that skips or repeats is told in
a Notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.cluster import ClusterMetadata

from monitor.types import Notice, Partition

_MILLISECONDS = 10_000


class Place(NamedTuple):
    """The log of a partition has the offsets from `first` up to, not including, `end`; reading goes
    on at `offset`, and `notice` says so where that is not where it stopped.
    """

    partition: Partition
    first: int
    end: int
    offset: int
    notice: Notice | None = None

    def at(self, offset: int) -> Place:
        """The same log read from another offset, or from the nearest one that it has."""
        if offset < self.first:
            # What the group has committed was read before; it is missing from a state only.
            fate = "skipped unread" if offset >= self.offset else "missing from the state"
            gone = f"offsets {offset} to {self.first - 1} are gone from the log"
            return self._told("records_expired", f"{gone}: {self.first - offset} records {fate}")
        if offset > self.end:
            return self.anew(f"the log ends at {self.end}, reading was to go on at {offset}")
        return self._replace(offset=offset)

    def anew(self, why: str) -> Place:
        """The log has another history than what was read of it, so all that it has is read."""
        return self._told(
            "log_is_shorter", f"{why}: read from its start at {self.first}, 0 skipped"
        )

    def taken_back(self, offset: int | None) -> Place:
        """Records from this offset on, or from an unknown one, gave way to others."""
        if offset is None:
            return self.anew("the cluster has taken back records that were read")
        place = self.at(offset)
        kept = f"the cluster has taken back what was read from {offset} on"
        return place._told("log_is_shorter", f"{kept}: read again from there, 0 skipped", offset)

    def _told(self, kind: str, detail: str, offset: int | None = None) -> Place:
        start = self.first if offset is None else max(offset, self.first)
        notice = Notice(self.partition, start, "", "", kind, detail)
        return self._replace(offset=start, notice=self.notice or notice)


class Places:
    """Asks the broker where partitions are to be read on; needs the calls of its consumer.

    Each commit carries the id of its topic, so a topic that was deleted and made again is known
    even where the new log is longer than the old one was.
    """

    def __init__(self, consumer: KafkaConsumer, cluster: ClusterMetadata, start: str) -> None:
        self._consumer, self._cluster, self._start = consumer, cluster, start
        self._ids: dict[Partition, UUID] = {}
        self._ends: dict[Partition, int] = {}

    def find(self, partitions: Iterable[Partition]) -> list[Place]:
        """Where the group goes on with each; KafkaError where that cannot be found out in time."""
        places = self._logs(partitions)
        tps = [TopicPartition(*place.partition) for place in places]
        # All in one request, unlike the consumer's own `committed`.
        group = self._consumer._coordinator
        committed = group.fetch_committed_offsets(tps, timeout_ms=_MILLISECONDS)
        return [self._identified(self._standing(p, committed)) for p in places]

    def out_of_range(self, offsets: Mapping[Partition, int]) -> list[Place]:
        """Where to go on with logs that have nothing at the offset that was to be read next."""
        places = [place._replace(offset=0) for place in self._fresh(offsets)]
        return [self._same_or_renewed(p, p.at(offsets[p.partition])) for p in places]

    def taken_back(self, offsets: Mapping[Partition, int | None]) -> list[Place]:
        """Where to go on with logs whose newest records gave way to others."""
        places = self._fresh(offsets)
        return [self._same_or_renewed(p, p.taken_back(offsets[p.partition])) for p in places]

    def remade(self, partitions: Iterable[Partition]) -> list[Place]:
        """Those whose topic was deleted and made again since reading began; needs no request as
        long as there are none.
        """
        changed = [p for p in partitions if self._is_another(p, self._ids.get(p))]
        return [self._renewed(place) for place in self._logs(changed)] if changed else []

    def stamped(self, offsets: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Offsets as they are committed: with the id of the topic whose log they count in."""
        return {
            TopicPartition(*p): OffsetAndMetadata(offset, str(self._ids.get(p, "")), -1)
            for p, offset in offsets.items()
        }

    def behind(self, partition: Partition) -> int:
        """Records not yet fetched; needs no request."""
        tp = TopicPartition(*partition)
        fetched = self._consumer.highwater(tp)  # None before the first fetch
        end = self._ends.get(partition, 1) if fetched is None else int(fetched)
        return max(0, end - int(self._consumer.position(tp, timeout_ms=0)))

    def _logs(self, partitions: Iterable[Partition]) -> list[Place]:
        tps = [TopicPartition(*partition) for partition in partitions]
        firsts: Mapping[Any, int] = self._consumer.beginning_offsets(tps, _MILLISECONDS)
        ends: Mapping[Any, int] = self._consumer.end_offsets(tps, _MILLISECONDS)
        self._ends.update((Partition(*tp), ends[tp]) for tp in tps)
        starts = firsts if self._start == "earliest" else ends
        return [Place(Partition(*tp), firsts[tp], ends[tp], starts[tp]) for tp in tps]

    def _fresh(self, partitions: Iterable[Partition]) -> list[Place]:
        """Their logs, once the client knows which topics there are now."""
        self._consumer.topics()  # no other call of the client asks for that anew
        return self._logs(partitions)

    def _same_or_renewed(self, place: Place, same: Place) -> Place:
        another = self._is_another(place.partition, self._ids.get(place.partition))
        return self._renewed(place) if another else self._identified(same)

    def _standing(self, place: Place, committed: Mapping[TopicPartition, Any]) -> Place:
        found = committed.get(TopicPartition(*place.partition))
        if found is None:
            if self._start == "latest":
                # Or the next owner would begin at what is then the end, and skip what came between.
                self._consumer.commit(self.stamped({place.partition: place.offset}), _MILLISECONDS)
            return place
        if self._is_another(place.partition, found.metadata or self._ids.get(place.partition)):
            return self._renewed(place)
        return place._replace(offset=found.offset).at(found.offset)

    def _renewed(self, place: Place) -> Place:
        return self._identified(place.anew("the topic was deleted and made again"))

    def _identified(self, place: Place) -> Place:
        """Remember which log this is, where the broker is new enough to say."""
        if current := self._cluster.topic_id(place.partition.topic):
            self._ids[place.partition] = current
        return place

    def _is_another(self, partition: Partition, known: UUID | str | None) -> bool:
        current = self._cluster.topic_id(partition.topic)
        return bool(known and current) and known != current and str(known) != str(current)
