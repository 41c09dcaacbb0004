"""The partitions that a process holds: opened from their snapshots, saved, forgotten.

A snapshot is a cache of the log. One at offset S serves where S is not past the committed offset O:
read on from S, and say nothing below O. What cannot serve is passed over, counted and told.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

import structlog

from monitor.errors import StateError
from monitor.protocols import Snapshots
from monitor.stream.pipeline import Pipeline
from monitor.types import Notice, Partition, Result

log = structlog.get_logger("monitor")
KEPT = 200


class Custody:
    """What is held, and how far each partition is: read, committed, and told before.

    `failing` says why the newest snapshot could not be saved, empty where it could.
    """

    def __init__(self, pipeline: Pipeline, snapshots: Snapshots) -> None:
        self.pipeline, self.snapshots = pipeline, snapshots
        self.position: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        self.silent: dict[Partition, int] = {}  # outputs below this offset are out already
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.notices: deque[Notice] = deque(maxlen=KEPT)
        self.failing = ""

    def open(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Begin with partitions, given their committed offsets; returns where to read on."""
        for partition, offset in committed.items():
            restored = self._resume(partition, offset)
            start = offset if restored is None else restored
            self.position[partition], self.committed[partition] = start, offset
            if start < offset:
                self.silent[partition] = offset
            log.info("partition assigned", partition=name(partition), committed=offset, at=start)
            if restored is None:  # so that there always is one to resume from
                self.save([partition])
        return {partition: self.position[partition] for partition in committed}

    def save(self, partitions: Iterable[Partition]) -> None:
        """A snapshot of each that is held; one that fails stops nothing."""
        for partition in [each for each in partitions if each in self.position]:
            state = self.pipeline.partitions[partition].state()
            try:
                self.snapshots.save(partition, self.position[partition], state)
                self.counts["snapshots", "saved"] += 1
                self.failing = ""
            except StateError as error:
                self.counts["snapshots", "failed"] += 1
                self.failing = str(error)
                log.warning("snapshot failed", partition=name(partition), reason=str(error))

    def move(self, result: Result) -> None:
        """What was processed is behind us."""
        self.position.update(result.offsets)
        for partition in [p for p, mark in self.silent.items() if self.position[p] >= mark]:
            del self.silent[partition]

    def due(self) -> dict[Partition, int]:
        """What is processed and not committed yet."""
        return {p: o for p, o in self.position.items() if o > self.committed[p]}

    def forget(self, partitions: Sequence[Partition], why: str) -> None:
        """Drop state and place of those that are held."""
        for partition in [each for each in partitions if each in self.position]:
            self.pipeline.close(partition)
            for known in (self.position, self.committed, self.silent):
                known.pop(partition, None)
            log.info(why, partition=name(partition))

    def note(self, notice: Notice, counter: str) -> None:
        """Count, keep and log something that an operator should know."""
        self.counts[counter, notice.kind] += 1
        self.notices.append(notice)
        where = name(notice.partition)
        log.warning(notice.kind, partition=where, offset=notice.offset, detail=notice.detail)

    def _resume(self, partition: Partition, committed: int) -> int | None:
        """Open a partition; returns the offset of the snapshot that served, None for none."""
        for offset in self._usable(partition, committed):
            if self._restored(partition, offset):
                return offset
        self.pipeline.open(partition, None, committed)
        if committed > 0:
            detail = f"no snapshot at or below the committed offset {committed}; state starts empty"
            self._warn(partition, committed, "snapshot_missing", detail)
        return None

    def _usable(self, partition: Partition, committed: int) -> Sequence[int]:
        """The generations that are not ahead of the commit, the newest first.

        Where they cannot be asked for the error ends the process: to start empty, and to save that,
        would lose what was learned.
        """
        found = self.snapshots.offsets(partition)
        for offset in [each for each in found if each > committed]:
            # The group was set back, or the topic made anew: this is the state of another history.
            detail = f"ahead of the committed offset {committed}, is passed over"
            self._warn(partition, offset, "snapshot_ahead", detail)
        return [each for each in found if each <= committed]

    def _restored(self, partition: Partition, offset: int) -> bool:
        try:
            state = self.snapshots.load(partition, offset)
            told = self.pipeline.open(partition, state, offset)
        except StateError as error:
            self._warn(partition, offset, "snapshot_unreadable", str(error))
            return False
        for line in told:
            self._warn(partition, offset, "state_dropped", line)
        self.counts["snapshots", "restored"] += 1
        return True

    def _warn(self, partition: Partition, offset: int, kind: str, detail: str) -> None:
        self.note(Notice(partition, offset, "", "", kind, detail), "snapshots")


def name(partition: Partition) -> str:
    """For people: `plant/3`."""
    return f"{partition.topic}/{partition.number}"
