"""What was found, as scores, alerts and notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from monitor.stream.alarm import NOTHING, RAISED, RESOLVED, SEVERITIES, alert_id
from monitor.stream.guards import Guarded, told_guard
from monitor.stream.judge import Judged
from monitor.stream.lane import LaneState
from monitor.stream.leaving import Leaving
from monitor.stream.silence import Change
from monitor.types import (
    Alert,
    Array,
    Evidence,
    Notice,
    Partition,
    Rejected,
    Rule,
    Score,
    Severity,
    Slots,
)

SILENCE_SEVERITY: Severity = "warning"
NAMED = 3


@dataclass
class Told:
    """Results of one partition, collected over its lanes."""

    partition: Partition
    scores: list[Score] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)

    def in_order(self) -> Told:
        """By offset; what one message caused keeps its order."""
        self.scores.sort(key=lambda score: score.offset)
        self.alerts.sort(key=lambda alert: alert.offset)
        self.rejected.sort(key=lambda rejected: rejected.record.offset)
        self.notices.sort(key=lambda notice: notice.offset)
        self.evidence.sort(key=lambda evidence: evidence.offset)
        return self


@dataclass(frozen=True)
class Found:
    """Judged windows of a lane with where they came from: `offsets` of the records, slots, ends,
    and for a row what share each channel has in its anomaly.
    """

    offsets: Sequence[int]
    slots: Slots
    ends: Sequence[float]
    judged: Judged
    shares: Mapping[int, Mapping[str, float]]


def tell_windows(lane: LaneState, found: Found, told: Told) -> None:
    """Scores of every window, alerts where the alarm moved, notices where a level was adopted."""
    names = lane.sensors.names
    sensors = [names[slot] for slot in found.slots.tolist()]
    labels = [lane.labels[slot] for slot in found.slots.tolist()]
    columns = []
    for d, detector in enumerate(lane.spec.detectors):
        raw = found.judged.raw[:, d].tolist()
        cuts = found.judged.cuts[:, d].tolist()
        where = (repeat(told.partition), found.offsets, repeat(lane.spec.stream), sensors)
        columns.append(map(Score, *where, repeat(detector), found.ends, raw, cuts, labels))
    told.scores.extend(score for row in zip(*columns, strict=True) for score in row)
    for row in np.flatnonzero(found.judged.code != NOTHING).tolist():
        told.alerts.append(_score_alert(lane, found, row, told.partition))
    for row, d in np.argwhere(found.judged.adopted).tolist():
        told.notices.append(_adopted(lane, found, row, d, told.partition))


def tell_silence(
    lane: LaneState, changes: Sequence[Change], offsets: Sequence[int], told: Told
) -> None:
    """Alerts for sensors that fell silent or spoke again."""
    for change in changes:
        told.alerts.append(_silence_alert(lane, change, told.partition, offsets[change.at]))


def tell_guards(
    lane: LaneState, changes: Sequence[Guarded], offsets: Sequence[int], told: Told
) -> None:
    """Alerts for sensors that are at fault themselves, or no longer are."""
    for change in changes:
        told.alerts.append(_guard_alert(lane, change, told.partition, offsets[change.at]))


def tell_leaving(
    lanes: Sequence[LaneState], gone: Leaving, offset: int, time: float, told: Told
) -> None:
    """A notice about sensors that are forgotten, and the end of each alert of theirs."""
    limits = lanes[gone.places[0][0]].spec.settings.limits
    why = f"the limit is {limits.sensors} sensors"
    if gone.why == "ttl":
        why = f"not heard for {limits.sensor_ttl:.9g} s"
    names = [lanes[place].sensors.names[slot] for place, slot in gone.places]
    for lane in dict.fromkeys(place for place, _ in gone.places):
        ended = _ended(lanes[lane], set(names), told.partition, offset)
        reason = f"the sensor is forgotten: {why}"
        told.alerts += [a._replace(reason=reason, time=max(time, a.opened)) for a in ended]
    detail = f"{len(names)} forgotten, {why}: {', '.join(map(repr, names[:NAMED]))}"
    detail += ", ..." * (len(names) > NAMED)
    kind = "sensors_forgotten"
    told.notices.append(Notice(told.partition, offset, gone.stream, "", kind, detail))


def open_alerts(lane: LaneState, partition: Partition, offset: int) -> list[Alert]:
    """The alerts that restored state says are open; what made them worse or better is not known."""
    found = [_silence_alert(lane, change, partition, offset) for change in lane.silence.silent()]
    found += [_guard_alert(lane, change, partition, offset) for change in lane.guards.open()]
    for slot, opened, severity in lane.alarm.open():
        alert = _alert(lane, slot, partition, "score", opened)
        found.append(
            alert._replace(offset=offset, severity=SEVERITIES[severity], reason="open since before")
        )
    return found


def _ended(lane: LaneState, names: set[str], partition: Partition, offset: int) -> list[Alert]:
    """The last step of each open alert of some sensors."""
    found = (alert for alert in open_alerts(lane, partition, offset) if alert.sensor in names)
    return [alert._replace(phase="resolved") for alert in found]


def _alert(lane: LaneState, slot: int, partition: Partition, rule: Rule, opened: float) -> Alert:
    """An alert that has just opened, all but its story."""
    stream, sensor = lane.spec.stream, lane.sensors.names[slot]
    return Alert(
        partition=partition,
        offset=0,
        id=alert_id(stream, sensor, rule, opened),
        stream=stream,
        sensor=sensor,
        rule=rule,
        phase="firing",
        severity=SILENCE_SEVERITY,
        reason="",
        opened=opened,
        time=opened,
        scores={},
        channels={},
        labels=lane.labels[slot],
    )


def _silence_alert(lane: LaneState, change: Change, partition: Partition, offset: int) -> Alert:
    return _alert(lane, change.slot, partition, "silence", change.opened)._replace(
        offset=offset,
        phase="firing" if change.silent else "resolved",
        reason=f"no samples for {lane.silence.timeout:g} s",
        # Not when it was noticed: a clock or a record may be first, and a repeat must be the same.
        time=change.opened if change.silent else change.time,
    )


def _guard_alert(lane: LaneState, change: Guarded, partition: Partition, offset: int) -> Alert:
    channels = lane.spec.settings.window.channels
    named = channels[change.channel] if change.channel >= 0 else ""
    return _alert(lane, change.slot, partition, change.rule, change.opened)._replace(
        offset=offset,
        phase="firing" if change.firing else "resolved",
        reason=told_guard(lane.spec.settings.guards, change.rule, named),
        time=change.time,
        channels={named: 1.0} if named else {},
    )


def _score_alert(lane: LaneState, found: Found, row: int, partition: Partition) -> Alert:
    judged, slot = found.judged, int(found.slots[row])
    values = _values(judged.values[row], lane.spec.detectors)
    return _alert(lane, slot, partition, "score", float(judged.opened[row]))._replace(
        offset=found.offsets[row],
        phase="resolved" if judged.code[row] == RESOLVED else "firing",
        severity=SEVERITIES[judged.severity[row]],
        reason=_reason(lane, values, float(judged.fused[row]), int(judged.code[row])),
        time=found.ends[row],
        scores=values,
        channels=found.shares.get(row, {}),
    )


def _values(values: Array, detectors: Sequence[str]) -> dict[str, float]:
    pairs = zip(detectors, values.tolist(), strict=True)
    return {detector: round(value, 6) for detector, value in pairs}


def _reason(lane: LaneState, values: Mapping[str, float], fused: float, code: int) -> str:
    """One line for a person: who says so, and by the rule of how many windows."""
    alert = lane.spec.settings.alert
    if code == RESOLVED:
        return f"{alert.clear.n} windows below {alert.clear.level:g}"
    over = sorted((v, d) for d, v in values.items() if v > 1)[::-1]
    said = ", ".join(f"{detector} {value:.2f}" for value, detector in over)
    said = f"{said} times the threshold" if over else "no detector alone over its threshold"
    if lane.fusion.by_p:
        said = f"p-values together {fused:.2f} ({alert.fusion}): {said}"
    verb = "over" if code == RAISED else "worse:"
    return f"{said}, {verb} {alert.raise_.k} of {alert.raise_.n} windows"


def _adopted(lane: LaneState, found: Found, row: int, d: int, partition: Partition) -> Notice:
    detector = lane.spec.detectors[d]
    run = lane.spec.settings.threshold.adopt
    return Notice(
        partition,
        found.offsets[row],
        lane.spec.stream,
        lane.sensors.names[int(found.slots[row])],
        "level_adopted",
        f"{detector} was over its threshold for {run} windows in a row; that level is normal now",
    )
