"""The loop: poll, process, deliver, snapshot. It owns the side effects and nothing else.

State is a function of the log, so a snapshot is only a cache of it. The order of acts:

    deliver    everything below offset O is out, then O is committed (or both in one transaction)
    snapshot   at first, and then now and then, the state at O is saved as S, so S <= O always
    resume     load S, read on from S, stay silent below O

A crash between any two of these repeats results with the same ids, and loses or changes none.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import structlog

from monitor.custody import KEPT, Custody
from monitor.errors import AbortedError, SinkError, SourceError
from monitor.protocols import Delivery, Snapshots, Source
from monitor.stream.pipeline import Pipeline
from monitor.timing import Timings
from monitor.types import Alert, Clock, Evidence, Notice, Partition, Record, Result
from monitor.view import ModelInfo, View

log = structlog.get_logger("monitor")
PICTURES = 32
_TIME = attrgetter("time")
_FAILING = {"polls": "source", "lags": "source", "commits": "delivery"}


@dataclass(frozen=True)
class Pace:
    """How often what happens, in seconds; `live` says that event time goes on with our clock.

    A step takes as many records as `step_within` seconds serve, so that news of the group, a stop
    and a commit never wait long for slow detectors; `most_held` results are delivered at once. The
    snapshots that are due after a commit may take about `save_within`; the rest follows the next.
    `confirm_every` commits also where nothing is new: so an outage is noticed on a quiet log, too.
    """

    commit_every: float = 1.0
    snapshot_every: float = 60.0
    view_every: float = 1.0
    confirm_every: float = 10.0
    step_within: float = 1.0
    save_within: float = 0.1
    patience: float = 0.2
    most_held: int = 100_000
    live: bool = True


class Runner:
    """Owns the partitions that its source gives it; the only caller of Delivery and Snapshots.

    `clock` is the wall's and serves what is shown; `steady` never jumps and decides what is due.
    """

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
        self.clock, self.steady, self.pace = clock, clock, pace
        self.custody = Custody(pipeline, snapshots)
        self.counts: Counter[tuple[str, ...]] = self.custody.counts
        self.timings = Timings()
        self.models: tuple[ModelInfo, ...] = ()
        self.recent_alerts: deque[Alert] = deque(maxlen=KEPT)
        self.recent_evidence: deque[Evidence] = deque(maxlen=PICTURES)
        self.failing: dict[str, str] = {}
        self.view = View(published=clock())
        # To be saved after the next commit: what a tick found is in no record, only a snapshot
        # keeps it. And those whose time it is, some after each commit, or the loop would stall.
        self._ticked: set[Partition] = set()
        self._unsaved: list[Partition] = []
        self._moved: dict[Partition, float] = {}  # when each partition last had a record
        self._held: list[Result] = []  # emitted since the last commit, without the scores
        self._holds = 0
        self._most = 256
        self.joined = False
        self.stopping = False
        self._commit_due = self._view_due = self._snapshot_due = self._confirm_due = 0.0

    def start(self) -> None:
        """Join the group; partitions come during `step`."""
        now = self.steady()
        self._commit_due, self._view_due = now + self.pace.commit_every, now
        self._snapshot_due = now + self.pace.snapshot_every
        self._confirm_due = now + self.pace.confirm_every
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
                self.delivery.abort()
                self._drop(list(self.custody.position), "partition given up")
            self.close()

    def stop(self) -> None:
        """Finish the step in hand and close; safe to call from a signal handler."""
        self.stopping = True

    def step(self) -> int:
        """One turn of the loop; returns the number of records it took.

        While results cannot be delivered nothing more is read, so that they do not pile up.
        """
        blocked = "delivery" in self.failing
        records = self._poll(0 if blocked else self._most)
        began = self.steady()
        result = self.pipeline.process(records)
        self._emit(result)
        self._move(result)
        self._adapt(len(records), self.steady() - began)
        if self.pace.live and not blocked:
            self._tick()
        if self.steady() >= self._commit_due or self._holds >= self.pace.most_held:
            self.deliver()
        if self.steady() >= self._view_due:
            self.publish()
        return len(records)

    def deliver(self) -> bool:
        """Everything processed is out, and committed; False where that has to wait."""
        self._commit_due = self.steady() + self.pace.commit_every
        due = self.custody.due()
        try:
            self.delivery.commit({**self._again(), **due})
        except AbortedError as error:
            self._bear("commits", error)
            self._begin_anew()
            return False
        except (SinkError, SourceError) as error:
            self._bear("commits", error)
            return False
        self._delivered(due)
        return True

    def close(self) -> None:
        """Leave the group; what is held is delivered and snapshotted on the way out."""
        with ExitStack() as stack:
            stack.callback(self.custody.snapshots.close)
            stack.callback(self.delivery.close)
            self.source.close()
        self.publish()

    def publish(self) -> None:
        """Show the world a new View."""
        self._view_due = self.steady() + self.pace.view_every
        self.view = View(
            published=self.clock(),
            lanes=self.pipeline.views(),
            alerts=tuple(self.pipeline.open_alerts.values()),
            recent_alerts=tuple(self.recent_alerts),
            evidence=tuple(self.recent_evidence),
            notices=tuple(self.custody.notices),
            models=self.models,
            counters={**self.pipeline.counts, **self.counts},
            histograms=self.timings.histograms(),
            position=dict(self.custody.position),
            lag=dict(self._lag()),
            failing=self._told_failing(),
        )

    # What the source calls: partitions come and go.

    def assigned(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Open each partition from its newest snapshot that is not ahead of the commit."""
        self._moved.update(dict.fromkeys(committed, self.steady()))
        return self.custody.open(committed)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Deliver, snapshot, forget: the next owner goes on from exactly here."""
        if self.deliver():
            self.custody.save(partitions)
        self._drop(partitions, "partition revoked")

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget without a trace: another owner may be past us already."""
        void = self.delivery.abort()
        self._drop(partitions, "partition lost")
        if void:
            self._begin_anew()

    def note(self, notice: Notice) -> None:
        """Something about the log that an operator should know."""
        self.custody.note(notice, "log_accidents")

    def _poll(self, most: int) -> Sequence[Record]:
        try:
            records = self.source.poll(self.pace.patience, most)
        except SourceError as error:
            self._bear("polls", error)
            return ()
        self._works("source")
        return records

    def _lag(self) -> Mapping[Partition, int]:
        """What waits in each partition; nothing where none is held or the source cannot say."""
        try:
            return self.source.lag() if self.custody.position else {}
        except SourceError as error:
            self._bear("lags", error)
            return {}

    def _bear(self, what: str, error: SinkError | SourceError) -> None:
        """What may pass is counted, told and tried again; what will not ends the process."""
        if not error.retriable:
            raise error
        self.counts[what, "failed"] += 1
        if self.failing.get(_FAILING[what]) != str(error):  # once, not at every attempt
            log.warning("failed, will try again", what=what, reason=str(error))
        self.failing[_FAILING[what]] = str(error)

    def _works(self, name: str) -> None:
        if self.failing.pop(name, None):
            log.info("works again", what=name)

    def _emit(self, result: Result) -> None:
        fresh = result.since(self.custody.silent)
        self.delivery.emit(fresh)
        if fresh.alerts or fresh.notices:
            told = Result(alerts=fresh.alerts, notices=fresh.notices, evidence=fresh.evidence)
            self._held.append(told)
        self._holds += len(fresh.scores) + len(fresh.rejected)
        if self.pace.live and fresh.scores:
            times = np.fromiter(map(_TIME, fresh.scores), np.float64, len(fresh.scores))
            self.timings.observe(("score_latency",), self.clock() - times)

    def _move(self, result: Result) -> None:
        self.custody.move(result)
        self._moved.update(dict.fromkeys(result.offsets, self.steady()))

    def _adapt(self, records: int, seconds: float) -> None:
        """As many records in the next step as the time for one allows, at most twice as many."""
        if records:
            room = records * self.pace.step_within / max(seconds, 1e-6)
            self._most = max(1, int(min(2 * self._most, room, self.pace.most_held)))

    def _tick(self) -> None:
        """Time passes also where nothing comes, but only where nothing waits to be read."""
        now = self.steady()
        for partition, waiting in self._lag().items():
            if waiting == 0 and partition in self._moved and partition not in self.custody.silent:
                result = self.pipeline.tick(partition, now - self._moved[partition])
                self._emit(result)
                if result.alerts:
                    self._ticked.add(partition)

    def _again(self) -> Mapping[Partition, int]:
        """What is committed again: where a tick has found something, since the offset is what a
        transaction is fenced by; now and then everything, for the sake of the answer; and that each
        time after a failure, since an empty commit would be done though nobody is there.
        """
        committed = self.custody.committed
        if self.steady() < self._confirm_due and "delivery" not in self.failing:
            return {partition: committed[partition] for partition in self._ticked}
        self._confirm_due = self.steady() + self.pace.confirm_every
        return dict(committed)

    def _delivered(self, done: Mapping[Partition, int]) -> None:
        """Results are out and their offsets committed: show them, and save what is due."""
        self.custody.committed.update(done)
        self.counts["commits", "done"] += 1
        self._works("delivery")
        for result in self._held:
            self._show(result)
        self._void()
        if self.steady() >= self._snapshot_due:
            self._snapshot_due = self.steady() + self.pace.snapshot_every
            self._unsaved = list(self.custody.position)
        self.custody.save(self._ticked)
        self._ticked.clear()
        enough = self.steady() + self.pace.save_within
        while self._unsaved and self.steady() <= enough:
            self.custody.save([self._unsaved.pop(0)])

    def _show(self, result: Result) -> None:
        self.recent_alerts.extend(result.alerts)
        self.recent_evidence.extend(result.evidence)
        self.custody.notices.extend(result.notices)
        for alert in result.alerts:
            if alert.phase == "firing":
                self.counts["alerts", alert.stream, alert.severity, alert.rule] += 1

    def _begin_anew(self) -> None:
        """What was emitted is void: memory is ahead of the log, so open everything again."""
        held = list(self.custody.position)
        self._void()
        self._drop(held, "partition is opened again")
        self.source.rewind(held)

    def _void(self) -> None:
        self._held.clear()
        self._holds = 0

    def _drop(self, partitions: Sequence[Partition], why: str) -> None:
        self.custody.forget(partitions, why)
        for partition in partitions:
            self._moved.pop(partition, None)
            self._ticked.discard(partition)

    def _told_failing(self) -> Mapping[str, str]:
        saved = {"snapshots": self.custody.failing} if self.custody.failing else {}
        return {**self.failing, **saved}
