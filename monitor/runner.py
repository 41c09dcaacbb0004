"""The loop: poll, process, deliver, snapshot. It owns the side effects and nothing else.

State is a function of the log, so a snapshot is only a cache of it. The order of acts:

    deliver    everything below offset O is out, then O is committed (or both in one transaction)
    snapshot   at first, and then now and then, the state at O is saved as S, so S <= O always
    resume     load S, read on from S, stay silent below O

A crash between any two of these repeats results with the same ids, and loses or changes none.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import structlog

from monitor.errors import SinkError, SourceError, StateError
from monitor.stream.pipeline import Pipeline
from monitor.timing import Timings
from monitor.types import (
    Alert,
    Clock,
    Delivery,
    Notice,
    Partition,
    Record,
    Result,
    Snapshots,
    Source,
)
from monitor.view import ModelInfo, View

log = structlog.get_logger("monitor")
KEPT = 200
_TIME = attrgetter("time")


@dataclass(frozen=True)
class Pace:
    """How often what happens, in seconds; `live` says that event time is about wall-clock time."""

    commit_every: float = 1.0
    snapshot_every: float = 60.0
    view_every: float = 1.0
    patience: float = 0.2
    live: bool = True


class Runner:
    """Owns the partitions that its source gives it; the only caller of Delivery and Snapshots."""

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        delivery: Delivery,
        snapshots: Snapshots,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self.source, self.pipeline, self.delivery = source, pipeline, delivery
        self.snapshots, self.clock, self.pace = snapshots, clock, pace
        self.position: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        self.silent: dict[Partition, int] = {}  # outputs below this offset are out already
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.timings = Timings()
        self.models: tuple[ModelInfo, ...] = ()
        self.recent_alerts: deque[Alert] = deque(maxlen=KEPT)
        self.notices: deque[Notice] = deque(maxlen=KEPT)
        self.view = View(published=clock())
        # What a tick found is in no record: only a snapshot keeps it, so one is due soon.
        self._ticked: set[Partition] = set()
        self.joined = False
        self.stopping = False
        self._commit_due = clock() + pace.commit_every
        self._snapshot_due = clock() + pace.snapshot_every
        self._view_due = clock()

    def start(self) -> None:
        """Join the group; partitions come during `step`."""
        self.source.start(self)
        self.joined = True

    def run(self) -> None:
        """Step until `stop` is called, then hand everything over.

        After an error nothing is saved: what is in memory may be half done. The group is left at
        once all the same, so that others need not wait for the session to end.
        """
        self.start()
        whole = False
        try:
            while not self.stopping:
                self.step()
            whole = True
        finally:
            if not whole:
                self.lost(list(self.position))
            self.close()

    def stop(self) -> None:
        """Finish the step in hand and close; safe to call from a signal handler."""
        self.stopping = True

    def step(self) -> int:
        """One turn of the loop; returns the number of records it took."""
        records = self._poll()
        result = self.pipeline.process(records)
        self._emit(result)
        self._move(result)
        now = self.clock()
        if self.pace.live:
            self._tick(now)
        if now >= self._commit_due:
            self.deliver()
        if now >= self._view_due:
            self.publish()
        return len(records)

    def deliver(self) -> bool:
        """Everything processed is out, and committed; False where that has to wait."""
        done = {p: o for p, o in self.position.items() if o > self.committed[p]}
        self._commit_due = self.clock() + self.pace.commit_every
        try:
            self.delivery.commit(done)
        except (SinkError, SourceError) as error:
            self._bear("commits", error)
            return False
        self.committed.update(done)
        self.counts["commits", "done"] += 1
        if self.clock() >= self._snapshot_due:
            self._snapshot_due = self.clock() + self.pace.snapshot_every
            self._snapshot(self.position)
        self._snapshot(self._ticked)
        return True

    def close(self) -> None:
        """Leave the group; what is held is delivered and snapshotted on the way out."""
        try:
            self.source.close()
        finally:
            self.delivery.close()
        self.publish()

    def publish(self) -> None:
        """Show the world a new View."""
        now = self.clock()
        self._view_due = now + self.pace.view_every
        self.view = View(
            published=now,
            lanes=self.pipeline.views(),
            alerts=tuple(self.pipeline.open_alerts.values()),
            recent_alerts=tuple(self.recent_alerts),
            notices=tuple(self.notices),
            models=self.models,
            counters={**self.pipeline.counts, **self.counts},
            histograms=self.timings.histograms(),
            position=dict(self.position),
            lag=dict(self._lag()),
        )

    # What the source calls: partitions come and go.

    def assigned(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Open each partition from its newest snapshot that is not ahead of the commit."""
        for partition, offset in committed.items():
            start = self._open(partition, offset)
            self.position[partition], self.committed[partition] = start, offset
            if start < offset:
                self.silent[partition] = offset
            log.info("partition assigned", partition=_name(partition), committed=offset, at=start)
            if start == offset:
                self._snapshot([partition])
        return {partition: self.position[partition] for partition in committed}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Deliver, snapshot, forget: the next owner goes on from exactly here."""
        if self.deliver():
            self._snapshot(p for p in partitions if p in self.position)
        self._forget(partitions, "partition revoked")

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget without a trace: another owner may be past us already."""
        self.delivery.abort()
        self._forget(partitions, "partition lost")

    def _open(self, partition: Partition, committed: int) -> int:
        """Where to read on from."""
        at_most = committed
        while found := self.snapshots.load(partition, at_most):
            offset, state = found
            try:
                told = self.pipeline.open(partition, state, offset)
            except StateError as error:
                self._warn(partition, offset, "snapshot_unreadable", str(error))
                at_most = offset - 1
                continue
            for line in told:
                self._warn(partition, offset, "state_dropped", line)
            self.counts["snapshots", "restored"] += 1
            return offset
        self.pipeline.open(partition, None, committed)
        if committed > 0:
            detail = f"no snapshot at or below the committed offset {committed}; state starts empty"
            self._warn(partition, committed, "snapshot_missing", detail)
        return committed

    def _poll(self) -> Sequence[Record]:
        try:
            return self.source.poll(self.pace.patience)
        except SourceError as error:
            self._bear("polls", error)
            return ()

    def _lag(self) -> Mapping[Partition, int]:
        """What waits in each partition; nothing where none is held or the source cannot say."""
        try:
            return self.source.lag() if self.position else {}
        except SourceError as error:
            self._bear("lags", error)
            return {}

    def _bear(self, what: str, error: SinkError | SourceError) -> None:
        """What may pass is counted, told and tried again; what will not ends the process."""
        if not error.retriable:
            raise error
        self.counts[what, "failed"] += 1
        log.warning("failed, will try again", what=what, reason=str(error))

    def _emit(self, result: Result) -> None:
        fresh = result.since(self.silent)
        self.delivery.emit(fresh)
        self.recent_alerts.extend(fresh.alerts)
        self.notices.extend(fresh.notices)
        for alert in fresh.alerts:
            if alert.phase == "firing":
                self.counts["alerts", alert.stream, alert.severity, alert.rule] += 1
        if self.pace.live and fresh.scores:
            times = np.fromiter(map(_TIME, fresh.scores), np.float64, len(fresh.scores))
            self.timings.observe(("score_latency",), self.clock() - times)

    def _move(self, result: Result) -> None:
        self.position.update(result.offsets)
        for partition in [p for p, mark in self.silent.items() if self.position[p] >= mark]:
            del self.silent[partition]

    def _tick(self, now: float) -> None:
        """Time passes also where nothing comes, but only where nothing waits to be read."""
        for partition, waiting in self._lag().items():
            if waiting == 0 and partition in self.position and partition not in self.silent:
                result = self.pipeline.tick(partition, now)
                self._emit(result)
                if result.alerts:
                    self._ticked.add(partition)

    def _snapshot(self, partitions: Iterable[Partition]) -> None:
        for partition in list(partitions):
            self._ticked.discard(partition)
            state = self.pipeline.partitions[partition].state()
            try:
                self.snapshots.save(partition, self.position[partition], state)
                self.counts["snapshots", "saved"] += 1
            except StateError as error:
                self.counts["snapshots", "failed"] += 1
                log.warning("snapshot failed", partition=_name(partition), reason=str(error))

    def _forget(self, partitions: Sequence[Partition], why: str) -> None:
        for partition in partitions:
            self.pipeline.close(partition)
            for known in (self.position, self.committed, self.silent):
                known.pop(partition, None)
            self._ticked.discard(partition)
            log.info(why, partition=_name(partition))

    def _warn(self, partition: Partition, offset: int, kind: str, detail: str) -> None:
        self.counts["snapshots", kind] += 1
        self.notices.append(Notice(partition, offset, "", "", kind, detail))
        log.warning(kind, partition=_name(partition), offset=offset, detail=detail)


def _name(partition: Partition) -> str:
    return f"{partition.topic}/{partition.number}"
