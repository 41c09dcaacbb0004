"""What goes out, as JSON: the one definition of every message, its schema and its bytes.

The models below say what a message looks like; `SCHEMAS` and docs/messages-out.md follow them, and
a test holds the functions, which are written for speed, to them. A number that JSON does not know
(NaN, infinity) becomes null. Times come twice: seconds since the epoch, and ISO 8601 in UTC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from monitor.types import Alert, Notice, Partition, Phase, Rejected, Rule, Score, Severity

VERSION = 1

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NonNegative = Annotated[float, Field(ge=0)]
_Iso = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]


class _Message(BaseModel):
    """What all messages say: which kind, in which version, and which record they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1] = Field(description="Grows when a field changes its meaning or goes.")
    stream: str = Field(description="The stream of the configuration.")
    topic: str = Field(description="Where the record came from.")
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


class ScoreMessage(_Message):
    """One detector's opinion of one window."""

    type: Literal["score"]
    id: str = Field(description="The same in every repeat of this score.")
    sensor: str
    labels: dict[str, str] = Field(description="The sensor's labels from `assets`.")
    detector: str
    time: float | None = Field(description="End of the window, seconds since the epoch.")
    time_iso: _Iso | None
    raw: _NonNegative | None = Field(description="In the detector's units; null: not finite.")
    threshold: _NonNegative | None = Field(description="Null while the detector warms up.")
    value: _NonNegative | None = Field(description="raw / threshold; over 1 is anomalous.")


class AlertMessage(_Message):
    """A step in the life of an alert."""

    type: Literal["alert"]
    id: str = Field(description="The same from opening to resolution and in every repeat.")
    sensor: str
    labels: dict[str, str] = Field(description="The sensor's labels from `assets`.")
    rule: Rule
    phase: Phase
    severity: Severity
    reason: str = Field(description="A sentence for people.")
    opened: float | None = Field(description="When it began, seconds since the epoch.")
    opened_iso: _Iso | None
    time: float | None = Field(description="When this step was, seconds since the epoch.")
    time_iso: _Iso | None
    scores: dict[str, _NonNegative | None] = Field(description="Each detector's value now.")
    channels: dict[str, float | None] = Field(description="Shares of the channels; sum 1 or none.")


class RejectedMessage(_Message):
    """A record that could not be used."""

    type: Literal["rejected"]
    reason: str = Field(description="A fixed word.")
    detail: str = Field(description="A sentence for people.")
    key: str | None = Field(description="Bytes that are no UTF-8 are written as \\xNN.")
    time: float | None = Field(description="The log's time stamp, seconds since the epoch.")
    time_iso: _Iso | None
    size: Annotated[int, Field(ge=0)] = Field(description="Bytes of its value.")


class NoticeMessage(_Message):
    """Something an operator should know that is no alert."""

    type: Literal["notice"]
    sensor: str
    kind: str = Field(description="A fixed word.")
    detail: str = Field(description="A sentence for people.")


MODELS: Mapping[str, type[BaseModel]] = {
    "score": ScoreMessage,
    "alert": AlertMessage,
    "rejected": RejectedMessage,
    "notice": NoticeMessage,
}


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the messages of one `type`."""
    return {"$schema": _DIALECT, **MODELS[kind].model_json_schema()}


SCHEMAS: Mapping[str, dict[str, Any]] = {kind: schema(kind) for kind in MODELS}


def score_message(score: Score) -> bytes:
    """One JSON object on one line, as `ScoreMessage` says."""
    # Written out, because there may be one for every window and detector.
    return _dumps(
        {
            "type": "score",
            "version": VERSION,
            "stream": score.stream,
            "topic": score.partition.topic,
            "partition": score.partition.number,
            "offset": score.offset,
            "id": score.id,
            "sensor": score.sensor,
            "labels": score.labels,
            "detector": score.detector,
            "time": score.time,
            "time_iso": iso(score.time),
            "raw": score.raw,
            "threshold": score.threshold,
            "value": score.value,
        }
    )


def alert_message(alert: Alert) -> bytes:
    """One JSON object on one line, as `AlertMessage` says."""
    return _dumps(
        {
            "type": "alert",
            **_origin(alert.stream, alert.partition, alert.offset),
            "id": alert.id,
            "sensor": alert.sensor,
            "labels": alert.labels,
            "rule": alert.rule,
            "phase": alert.phase,
            "severity": alert.severity,
            "reason": alert.reason,
            **_moment("opened", alert.opened),
            **_moment("time", alert.time),
            "scores": alert.scores,
            "channels": alert.channels,
        }
    )


def rejected_message(rejected: Rejected) -> bytes:
    """One JSON object on one line, as `RejectedMessage` says; the value itself is not in it."""
    record = rejected.record
    return _dumps(
        {
            "type": "rejected",
            **_origin(rejected.stream, record.partition, record.offset),
            "reason": rejected.reason,
            "detail": rejected.detail,
            "key": None if record.key is None else record.key.decode(errors="backslashreplace"),
            **_moment("time", record.time),
            "size": len(record.value),
        }
    )


def notice_message(notice: Notice) -> bytes:
    """One JSON object on one line, as `NoticeMessage` says."""
    return _dumps(
        {
            "type": "notice",
            **_origin(notice.stream, notice.partition, notice.offset),
            "sensor": notice.sensor,
            "kind": notice.kind,
            "detail": notice.detail,
        }
    )


def _dumps(message: dict[str, Any]) -> bytes:
    # `default` is for mappings that are no dict; numpy's numbers are welcome as they are.
    return orjson.dumps(message, default=dict, option=orjson.OPT_SERIALIZE_NUMPY)


def _origin(stream: str, partition: Partition, offset: int) -> dict[str, Any]:
    topic, number = partition
    return {
        "version": VERSION,
        "stream": stream,
        "topic": topic,
        "partition": number,
        "offset": offset,
    }


def _moment(name: str, time: float) -> dict[str, Any]:
    return {name: time, f"{name}_iso": iso(time)}


@lru_cache(maxsize=1024)
def iso(time: float) -> str | None:
    """ISO 8601 in UTC with microseconds; None for what no calendar has."""
    if not math.isfinite(time):
        return None
    try:
        moment = datetime.fromtimestamp(time, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
