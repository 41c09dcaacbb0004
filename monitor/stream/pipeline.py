"""Records in, results out. No I/O, no clock, no thread: the same log gives the same results.

    decode   bytes -> samples, each with its sensor's slot          codec/, partition.py
    window   samples -> windows on a time grid                      window.py
    score    trained models, over all lanes and partitions at once  (the scorers)
    judge    in rounds: online scores, thresholds, alarms           judge.py
    tell     scores, alerts, notices                                tell.py

Results do not depend on how records are grouped into calls: nets score in calls of one fixed size,
everything that remembers works in rounds, and all state belongs to one partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import DecodeError
from monitor.protocols import Scorer
from monitor.stream.alarm import NOTHING, RAISED, RESOLVED
from monitor.stream.codec import Codec
from monitor.stream.event_time import DETAILS, Skewed, told_skew
from monitor.stream.judge import judge
from monitor.stream.lane import LaneState
from monitor.stream.partition import Inbox, PartitionState, Stream
from monitor.stream.tell import (
    Found,
    Told,
    open_alerts,
    tell_guards,
    tell_leaving,
    tell_silence,
    tell_windows,
)
from monitor.stream.why import Why, tell_evidence
from monitor.stream.window import SAMPLES, Windows
from monitor.types import Alert, Array, Notice, Partition, Record, Rejected, Result, Slots, State
from monitor.view import LaneView


class Batch(NamedTuple):
    """Windows that one lane completed in this call, and what the trained models say of them."""

    told: Told
    lane: LaneState
    windows: Windows
    data: Array  # what the models are given of the windows
    offsets: list[int]
    trained: Array


Mask = NDArray[np.bool_]
Part = tuple[Batch, int, Slots]  # a batch, the place of the model, the windows that are ready


class Pipeline:
    """The whole middle; holds the state of the partitions that are open."""

    def __init__(self, streams: Sequence[Stream], codecs: Mapping[str, Codec]) -> None:
        self.streams = streams
        self.codecs = codecs
        self.partitions: dict[Partition, PartitionState] = {}
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.open_alerts: dict[str, Alert] = {}
        self._routes: dict[str, list[Stream]] = {}

    def open(self, partition: Partition, state: State | None, offset: int = 0) -> list[str]:
        """Begin at an offset with a snapshot's state, or empty; returns a line for each part that
        did not fit.

        Raises StateError, and opens nothing, where the state is not one of ours.
        """
        fresh = PartitionState(partition, self._streams_of(partition.topic), offset)
        told = [] if state is None else fresh.restore(state)
        self.partitions[partition] = fresh
        for lane in fresh.lanes:
            self._remember(open_alerts(lane, partition, offset))
        return told

    def _streams_of(self, topic: str) -> list[Stream]:
        """Who reads a topic; where patterns name topics, only the log knows them all."""
        if topic not in self._routes:
            self._routes[topic] = [s for s in self.streams if s.settings.reads(topic)]
        return self._routes[topic]

    def close(self, partition: Partition) -> None:
        """Forget a partition."""
        self.partitions.pop(partition, None)
        gone = [a.id for a in self.open_alerts.values() if a.partition == partition]
        for alert in gone:
            del self.open_alerts[alert]

    def process(self, records: Sequence[Record]) -> Result:
        """All that these records cause; those of one partition in offset order."""
        told: dict[Partition, Told] = {}
        inboxes: dict[Partition, Inbox] = {}
        for record in records:
            where = record.partition
            if where not in told:
                told[where], inboxes[where] = Told(where), Inbox()
            self._decode(record, inboxes[where], told[where])
            self.partitions[where].next_offset = record.offset + 1
        self._work([(inboxes[partition], told[partition]) for partition in told])
        return self._result(told)

    def tick(self, partition: Partition, elapsed: float) -> Result:
        """Let so many seconds pass since the last record where no other says so: only silence can
        come of it.
        """
        state = self.partitions[partition]
        told = Told(partition)
        for lane in state.lanes:
            tell_silence(lane, lane.silence.tick(state.clock + elapsed), [state.next_offset], told)
        self._remember(told.alerts)
        return Result(alerts=told.alerts)

    def views(self) -> tuple[LaneView, ...]:
        """Copies of what is known of every sensor."""
        return tuple(
            lane.view(partition)
            for partition, state in self.partitions.items()
            for lane in state.lanes
        )

    def _decode(self, record: Record, inbox: Inbox, told: Told) -> None:
        state = self.partitions[record.partition]
        for stream in self._streams_of(record.partition.topic):
            self.counts["messages", stream.name] += 1
            try:
                decoded = self.codecs[stream.name].decode(record)
            except DecodeError as error:
                self._reject(stream.name, record, error, told)
                continue
            for samples in decoded:
                known = state.knows(stream.name, samples.sensor)
                try:
                    while not state.take(stream, record, samples, inbox):
                        self._let_go(stream.name, samples.sensor, record, inbox, told)
                        known = state.knows(stream.name, samples.sensor)
                except DecodeError as error:
                    self._reject(stream.name, record, error, told)
                    self.counts["samples", stream.name, "rejected"] += samples.data.size
                if not known and state.knows(stream.name, samples.sensor):
                    self._greet(stream.name, samples.sensor, record, told)

    def _reject(self, stream: str, record: Record, error: DecodeError, told: Told) -> None:
        self.counts["messages_invalid", stream, error.reason] += 1
        told.rejected.append(Rejected(record, stream, error.reason, error.detail))

    def _let_go(self, stream: str, sensor: str, record: Record, inbox: Inbox, told: Told) -> None:
        """Forget who has to leave before this sensor's samples can be taken.

        That takes effect between two records: those before are worked on, then time moves on.
        """
        state = self.partitions[record.partition]
        self._work([(inbox, told)])
        inbox.clear()
        for lane in state.lanes:
            tell_silence(lane, lane.silence.tick(state.clock), [record.offset], told)
        for gone in state.leaving(stream, sensor):
            tell_leaving(state.lanes, gone, record.offset, state.clock, told)
            self.counts["sensors_forgotten", gone.stream, gone.why] += len(gone.places)
            state.forget(gone)

    def _greet(self, stream: str, sensor: str, record: Record, told: Told) -> None:
        """A sensor new to its partition: tell where another partition has it too."""
        here = record.partition
        others = (p for p, s in self.partitions.items() if p != here and s.knows(stream, sensor))
        other = next(others, None)
        if other is None:
            return
        self.counts["sensors_in_two_partitions", stream] += 1
        kind = "sensor_in_two_partitions"
        detail = f"also comes on partition {other.number} of {other.topic}: key by sensor"
        told.notices.append(Notice(here, record.offset, stream, sensor, kind, detail))

    def _work(self, inboxes: Sequence[tuple[Inbox, Told]]) -> None:
        """Windows, scores and verdicts of what was collected, each of its own partition."""
        batches = [batch for inbox, told in inboxes for batch in self._windows(inbox, told)]
        self._score(batches)
        for batch in batches:
            self._judge(batch)

    def _windows(self, inbox: Inbox, told: Told) -> list[Batch]:
        state = self.partitions[told.partition]
        lanes = np.array(inbox.lane, np.int64)
        slots = np.array(inbox.slot, np.int64)
        times, clock = np.array(inbox.time, np.float64), np.array(inbox.clock, np.float64)
        offsets = np.array(inbox.offset, np.int64)
        found = []
        for index, lane in enumerate(state.lanes):
            own = lanes == index
            changes = lane.silence.observe(np.where(own, slots, -1), times, clock)
            tell_silence(lane, changes, inbox.offset, told)
            lane.sensors.hear(slots[own], offsets[own], clock[own])
            places = np.flatnonzero(own).tolist()
            windows = lane.windower.push(slots[own].tolist(), [inbox.samples[i] for i in places])
            self._count_samples(lane)
            for run, reason in windows.refused:
                error = DecodeError(reason, DETAILS[reason])
                self._reject(lane.spec.stream, inbox.record[places[run]], error, told)
            self._guard(lane, inbox, places, windows, told)
            if len(windows.slots):
                completed = [inbox.offset[places[i]] for i in windows.pushed.tolist()]
                trained = np.full((len(completed), len(lane.spec.scorers)), np.nan, np.float32)
                data = lane.spec.front(windows.data)
                found.append(Batch(told, lane, windows, data, completed, trained))
        self._tell_skewed(inbox.skewed, told)
        return found

    def _guard(
        self, lane: LaneState, inbox: Inbox, places: list[int], windows: Windows, told: Told
    ) -> None:
        """Guards that look at messages: these, and the windows that they completed."""
        if not lane.spec.settings.guards.of_messages:
            return
        window = lane.spec.settings.window
        whole = np.full(len(places), np.nan)
        finite = np.isfinite(windows.data).all(axis=(1, 2))
        ends = windows.starts[finite] + window.samples / window.rate
        np.fmax.at(whole, windows.pushed[finite], ends)
        slots = np.array([inbox.slot[i] for i in places], np.int64)
        times = np.array([inbox.time[i] for i in places])
        skewed = np.array([inbox.ahead[i] for i in places], np.bool_)
        changes = lane.guards.hear(slots, times, whole, skewed)
        tell_guards(lane, changes, [inbox.offset[i] for i in places], told)

    def _tell_skewed(self, found: Sequence[Skewed], told: Told) -> None:
        for each in found:
            self.counts["messages_skewed", each.stream] += 1
            if each.fresh:
                notice = each.offset, each.stream, each.sensor, "clock_skew", told_skew(each)
                told.notices.append(Notice(told.partition, *notice))

    def _count_samples(self, lane: LaneState) -> None:
        stream, counts = lane.spec.stream, lane.windower.counts
        for outcome in SAMPLES:
            self.counts["samples", stream, outcome] += counts[outcome]
        self.counts["samples_reordered", stream] += counts["reordered"]
        self.counts["samples_missing", stream] += counts["missing"]
        self.counts["gaps", stream] += counts["gaps"]
        self.counts["windows_processed", stream, "incomplete"] += counts["incomplete"]
        counts.clear()

    def _score(self, batches: Sequence[Batch]) -> None:
        """Each model once, over the windows of all lanes and partitions that use it."""
        work: dict[int, tuple[Scorer, list[Part]]] = {}
        for batch in batches:
            ready = batch.lane.constants.learn(batch.windows.slots, batch.data)
            places = np.flatnonzero(ready)
            if not len(places):
                continue
            for m, scorer in enumerate(batch.lane.spec.scorers):
                work.setdefault(id(scorer), (scorer, []))[1].append((batch, m, places))
        for scorer, parts in work.values():
            for batch, beyond in _score_with(scorer, parts):
                count = int(beyond.sum())
                self.counts["windows_beyond", batch.lane.spec.stream, scorer.label] += count

    def _judge(self, batch: Batch) -> None:
        lane, windows = batch.lane, batch.windows
        length = lane.spec.settings.window.samples / lane.spec.settings.window.rate
        ends = windows.starts + length
        changes, teaches = lane.guards.look(windows.slots, windows.data, ends)
        tell_guards(lane, changes, batch.offsets, batch.told)
        judged = judge(lane, windows.slots, batch.data, batch.trained, ends, teaches)
        why = Why(lane, windows.slots, batch.data)
        grave = np.flatnonzero((judged.code != NOTHING) & (judged.code != RESOLVED)).tolist()
        shares = {row: why.shares(row, judged.values[row]) for row in grave}
        found = Found(batch.offsets, windows.slots, ends.tolist(), judged, shares)
        tell_windows(lane, found, batch.told)
        tell_evidence(why, found, grave, batch.told)
        self._count_judged(lane, found)

    def _count_judged(self, lane: LaneState, found: Found) -> None:
        stream = lane.spec.stream
        self.counts["windows_processed", stream, "scored"] += len(found.offsets)
        over = found.judged.values > 1
        agreed = over.all(axis=1) | ~over.any(axis=1)
        self.counts["windows_flagged", stream] += int((found.judged.fused > 1).sum())
        self.counts["windows_disputed", stream] += int((~agreed).sum())
        self.counts["alerts_raised", stream] += int((found.judged.code == RAISED).sum())
        for d, detector in enumerate(lane.spec.detectors):
            nan = int(np.isnan(found.judged.raw[:, d]).sum())
            adopted = int(found.judged.adopted[:, d].sum())
            self.counts["scores_nan", stream, detector] += nan
            self.counts["scores_flagged", stream, detector] += int(over[:, d].sum())
            self.counts["thresholds_adopted", stream, detector] += adopted

    def _result(self, told: Mapping[Partition, Told]) -> Result:
        ordered = [part.in_order() for part in told.values()]
        alerts = [alert for part in ordered for alert in part.alerts]
        self._remember(alerts)
        return Result(
            scores=[score for part in ordered for score in part.scores],
            alerts=alerts,
            rejected=[rejected for part in ordered for rejected in part.rejected],
            notices=[notice for part in ordered for notice in part.notices],
            evidence=[evidence for part in ordered for evidence in part.evidence],
            offsets={p: self.partitions[p].next_offset for p in told},
        )

    def _remember(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            if alert.phase == "resolved":
                self.open_alerts.pop(alert.id, None)
            else:
                self.open_alerts[alert.id] = alert


def _score_with(scorer: Scorer, parts: Sequence[Part]) -> Iterator[tuple[Batch, Mask]]:
    """One call for all parts, then each gets its scores back; and which of its windows leave the
    range of the training data.
    """
    data = np.concatenate([batch.data[places] for batch, _, places in parts])
    constants = np.concatenate(
        [batch.lane.constants.of(batch.windows.slots[places], m) for batch, m, places in parts]
    )
    scores, beyond = scorer.score(data, constants), scorer.beyond(data, constants)
    at = 0
    for batch, m, places in parts:
        batch.trained[places, m] = scores[at : at + len(places)]
        yield batch, beyond[at : at + len(places)]
        at += len(places)
