"""What the API answers: the shapes of its JSON. A number that is not finite is `null`."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from monitor.types import Phase, Rule, Severity


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


Number = Annotated[float | None, BeforeValidator(_finite)]


class Answer(BaseModel):
    """The root of all answers."""

    model_config = ConfigDict(frozen=True)


class Problem(Answer):
    """Why a request could not be answered."""

    detail: str


class Health(Answer):
    """The process is alive and answers."""

    status: Literal["alive"] = "alive"


class Condition(Answer):
    """One thing that must hold before the process counts as ready."""

    name: Literal["partitions", "models", "progress", "source", "delivery"]
    ok: bool
    detail: str


class Readiness(Answer):
    """Whether the process does its work."""

    ready: bool
    conditions: list[Condition] = Field([], description="empty for clients that did not log in")


class Reading(Answer):
    """One detector's last word on a sensor. `value` is `raw / threshold`: above 1 is anomalous."""

    detector: str
    raw: Number
    threshold: Number
    value: Number
    progress: Number = Field(description="share of the warm-up that is done")


class Picture(Answer):
    """What an alert of a camera or a microphone was raised for, beside its heat map."""

    url: str = Field(description="from the address of the page on")
    kind: Literal["frame", "sound"]
    detector: str = Field(description="whose heat map it is")
    time: float = Field(description="of the step of the alert")


class Alarm(Answer):
    """An alert at its latest step. Times are seconds since the epoch, event time."""

    id: str
    stream: str
    sensor: str
    topic: str
    partition: int
    offset: int
    rule: Rule
    phase: Phase
    severity: Severity
    reason: str
    opened: float
    time: float = Field(description="of the latest step")
    scores: dict[str, Number] = Field(description="value of each detector at the latest step")
    channels: dict[str, Number] = Field(description="share of each channel, the largest first")
    labels: dict[str, str]
    picture: Picture | None = Field(description="the newest, null where there is none")


class Sensor(Answer):
    """What is known now about one sensor."""

    stream: str
    sensor: str
    topic: str
    partition: int
    labels: dict[str, str]
    window_end: Number = Field(description="end of the last scored window")
    last_seen: Number = Field(description="time of the last sample")
    value: Number = Field(description="the highest value of its detectors")
    detectors: list[Reading]
    alerts: list[Alarm] = Field(description="the open ones")


class History(Answer):
    """Recent windows of one detector, oldest first."""

    detector: str
    raw: list[Number]
    threshold: list[Number]
    value: list[Number]


class SensorDetail(Sensor):
    """One sensor with its recent windows; `times` are their ends."""

    times: list[float]
    history: list[History]


class Sensors(Answer):
    """A page of sensors; `total` counts all that match."""

    total: int
    limit: int
    offset: int
    items: list[Sensor]


class Alarms(Answer):
    """Alerts, the open ones first and of those the gravest."""

    total: int
    items: list[Alarm]


class PartitionStatus(Answer):
    """How far a partition is read."""

    topic: str
    partition: int
    position: int | None = Field(description="next offset to process")
    lag: int | None = Field(description="records not yet read")


class ModelStatus(Answer):
    """One loaded model."""

    stream: str
    detector: str
    name: str
    version: int
    fingerprint: str
    trained_at: float


class StreamStatus(Answer):
    """One stream as this process sees it."""

    stream: str
    sensors: int
    anomalous: int = Field(description="sensors with a value above 1")


class Counter(Answer):
    """A running total, named as in /metrics without `monitor_` and `_total`."""

    name: str
    labels: list[str]
    total: float


class Remark(Answer):
    """Something an operator should know that is no alert."""

    stream: str
    sensor: str
    kind: str
    detail: str


class Failing(Answer):
    """Something that does not work just now, and why."""

    name: str
    detail: str


class Status(Answer):
    """The process: what it has and how far it is. Times are its own clock's."""

    version: str
    now: float
    published: float
    readiness: Readiness
    failing: list[Failing]
    streams: list[StreamStatus]
    partitions: list[PartitionStatus]
    models: list[ModelStatus]
    counters: list[Counter]
    notices: list[Remark]


class Query(BaseModel):
    """The root of all queries: an unknown parameter is a mistake."""

    model_config = ConfigDict(extra="forbid")


class SensorQuery(Query):
    """Which sensors, in which order."""

    stream: str | None = None
    search: str | None = Field(None, max_length=200, description="part of the sensor's name")
    sort: Literal["name", "score"] = "name"
    limit: int = Field(100, ge=1, le=1000)
    offset: int = Field(0, ge=0)


class PictureQuery(Query):
    """Which picture of an alert."""

    offset: int | None = Field(None, description="of the step's record; else the newest picture")


class AlarmQuery(Query):
    """Which alerts."""

    state: Literal["open", "all"] = "open"
    stream: str | None = None
    limit: int = Field(100, ge=1, le=1000)
