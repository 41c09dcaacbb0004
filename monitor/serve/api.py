"""The View as answers of the API: pure functions from what the loop published to `schema`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from monitor import __version__
from monitor.serve import schema
from monitor.serve.pictures import address
from monitor.serve.series import distinct, peaks, ratio
from monitor.types import Alert, Partition
from monitor.view import LaneView, View

GRAVITY = {"critical": 0, "warning": 1, "info": 2}

Place = tuple[LaneView, int]


def sensors(view: View, query: schema.SensorQuery) -> schema.Sensors:
    """The sensors that match, one page of them."""
    places = [place for place in _places(view) if _matches(place, query)]
    places.sort(key=_name)
    if query.sort == "score":
        worst = {id(lane): peaks(lane) for lane, _ in places}
        places.sort(key=lambda place: -worst[id(place[0])][place[1]])
    page = places[query.offset : query.offset + query.limit]
    alerts = _by_sensor(view)
    return schema.Sensors(
        total=len(places),
        limit=query.limit,
        offset=query.offset,
        items=[schema.Sensor(**_known(place, alerts)) for place in page],
    )


def sensor(view: View, stream: str, name: str) -> schema.SensorDetail | None:
    """One sensor with its recent windows; None where this process has no such sensor."""
    place = next((p for p in _places(view) if _name(p) == (stream, name)), None)
    if place is None:
        return None
    lane, row = place
    there = np.isfinite(lane.times[row])
    history = [_history(lane, row, column, there) for column in range(len(lane.detectors))]
    known = _known(place, _by_sensor(view))
    return schema.SensorDetail(**known, times=lane.times[row][there].tolist(), history=history)


def alarms(view: View, query: schema.AlarmQuery) -> schema.Alarms:
    """Open alerts, and if asked those that were resolved not long ago: each id once."""
    latest = {alert.id: alert for alert in view.alerts}
    if query.state == "all":
        steps = sorted(view.recent_alerts, key=lambda a: (a.time, a.phase == "resolved"))
        latest = {alert.id: alert for alert in steps} | latest
    found = [a for a in latest.values() if query.stream in (None, a.stream)]
    found.sort(key=_urgency)
    pictures = _pictures(view)
    items = [_alarm(alert, pictures) for alert in found[: query.limit]]
    return schema.Alarms(total=len(found), items=items)


def status(view: View, readiness: schema.Readiness, now: float) -> schema.Status:
    """The process as a whole."""
    held = sorted({*view.position, *view.lag})
    return schema.Status(
        version=__version__,
        now=now,
        published=view.published,
        readiness=readiness,
        failing=[schema.Failing(name=n, detail=d) for n, d in sorted(view.failing.items())],
        streams=_streams(view),
        partitions=[_partition(view, partition) for partition in held],
        models=[schema.ModelStatus.model_validate(m, from_attributes=True) for m in view.models],
        counters=[
            schema.Counter(name=name, labels=labels, total=total)
            for (name, *labels), total in sorted(view.counters.items())
        ],
        notices=[schema.Remark.model_validate(n, from_attributes=True) for n in view.notices],
    )


def _places(view: View) -> Iterable[Place]:
    for lane, rows in distinct(view.lanes):
        for row in rows.tolist():
            yield lane, row


def _name(place: Place) -> tuple[str, str]:
    lane, row = place
    return lane.stream, lane.sensors[row]


def _matches(place: Place, query: schema.SensorQuery) -> bool:
    stream, name = _name(place)
    wanted = query.search is None or query.search.casefold() in name.casefold()
    return wanted and query.stream in (None, stream)


def _by_sensor(view: View) -> Mapping[tuple[str, str], list[schema.Alarm]]:
    """The open alerts."""
    found: dict[tuple[str, str], list[schema.Alarm]] = {}
    pictures = _pictures(view)
    for alert in sorted(view.alerts, key=_urgency):
        found.setdefault((alert.stream, alert.sensor), []).append(_alarm(alert, pictures))
    return found


def _pictures(view: View) -> Mapping[str, schema.Picture]:
    """The newest picture of each alert that has any, by the alert's id."""
    return {
        evidence.alert: schema.Picture(
            url=address(evidence),
            kind=evidence.kind,
            detector=evidence.detector,
            time=evidence.time,
        )
        for evidence in view.evidence
    }


def _known(place: Place, alerts: Mapping[tuple[str, str], list[schema.Alarm]]) -> dict[str, object]:
    """The fields that a sensor has in a list and alone."""
    lane, row = place
    readings = _readings(lane, row)
    present = [r.value for r in readings if r.value is not None]
    return {
        "stream": lane.stream,
        "sensor": lane.sensors[row],
        "topic": lane.partition.topic,
        "partition": lane.partition.number,
        "labels": dict(lane.labels[row]),
        "window_end": float(lane.window_end[row]),
        "last_seen": float(lane.last_seen[row]),
        "value": max(present, default=np.nan),
        "detectors": readings,
        "alerts": alerts.get(_name(place), []),
    }


def _readings(lane: LaneView, row: int) -> list[schema.Reading]:
    columns = (
        lane.raw[row],
        lane.threshold[row],
        ratio(lane.raw[row], lane.threshold[row]),
        lane.progress[row],
    )
    return [
        schema.Reading(detector=name, raw=raw, threshold=threshold, value=value, progress=progress)
        for name, raw, threshold, value, progress in zip(
            lane.detectors, *(column.tolist() for column in columns), strict=True
        )
    ]


def _history(
    lane: LaneView, row: int, column: int, there: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> schema.History:
    raw, cut = lane.values[row, there, column], lane.cuts[row, there, column]
    return schema.History(
        detector=lane.detectors[column],
        raw=raw.tolist(),
        threshold=cut.tolist(),
        value=ratio(raw, cut).tolist(),
    )


def _alarm(alert: Alert, pictures: Mapping[str, schema.Picture]) -> schema.Alarm:
    shares = sorted(alert.channels.items(), key=lambda item: -item[1])
    fields = alert._asdict() | {
        "topic": alert.partition.topic,
        "partition": alert.partition.number,
        "scores": dict(alert.scores),
        "channels": dict(shares),
        "labels": dict(alert.labels),
        "picture": pictures.get(alert.id),
    }
    return schema.Alarm(**fields)


def _urgency(alert: Alert) -> tuple[bool, int, float]:
    """Open before resolved; of the open ones the gravest, then the oldest; then the newest."""
    if alert.phase == "firing":
        return False, GRAVITY[alert.severity], alert.opened
    return True, 0, -alert.time


def _streams(view: View) -> list[schema.StreamStatus]:
    highest: dict[str, list[Sequence[float]]] = {}
    for lane, rows in distinct(view.lanes):
        highest.setdefault(lane.stream, []).append(peaks(lane)[rows].tolist())
    return [
        schema.StreamStatus(
            stream=stream,
            sensors=sum(map(len, found)),
            anomalous=sum(value > 1 for part in found for value in part),
        )
        for stream, found in sorted(highest.items())
    ]


def _partition(view: View, partition: Partition) -> schema.PartitionStatus:
    return schema.PartitionStatus(
        topic=partition.topic,
        partition=partition.number,
        position=view.position.get(partition),
        lag=view.lag.get(partition),
    )
