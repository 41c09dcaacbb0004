"""The sections of the configuration, typed and checked; `config.py` reads the file."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    field_validator,
    model_validator,
)

from monitor.alerting import AlertConfig, ThresholdConfig
from monitor.connections import SinkConfig, SourceConfig
from monitor.guarding import EVERY, GuardConfig
from monitor.notation import Reference, Seconds, reference
from monitor.section import Count, Name, Settings
from monitor.serving import ServeConfig
from monitor.windowing import AnyWindow


class JsonFormat(Settings):
    """Where things stand in a JSON (or msgpack) message; paths are dotted, list places are
    numbers.

    Either `values` leads to an array (one number, `[n]` or `[channel][n]`), or `channels` gives
    one path for each channel of the stream. `channel` leads to the name of the one channel that
    `values` is of.
    """

    values: str | None = "values"
    channels: dict[str, str] | None = None
    channel: str | None = None
    time: str | None = "time"
    time_unit: Literal["s", "ms", "us", "ns", "iso"] = "s"

    @model_validator(mode="after")
    def _values_or_channels(self) -> JsonFormat:
        if self.channels is not None and "values" not in self.model_fields_set:
            object.__setattr__(self, "values", None)
        if (self.values is None) == (self.channels is None):
            raise ValueError("needs exactly one of values, channels")
        return self


class Format(Settings):
    """How messages are encoded."""

    kind: Literal["float32", "msgpack", "json", "image", "audio"] = "float32"
    paths: JsonFormat = JsonFormat()


class EventTime(Settings):
    """What becomes of samples whose time is not as it should be; docs/event-time.md tells each.

    `max_ahead` is the most that samples may be ahead of the log's own time stamp; `max_skew` the
    most that they may be ahead of that and of what is usual in their partition.
    """

    late: Literal["drop", "dead_letter"] = "drop"
    duplicate: Literal["first", "last", "dead_letter"] = "first"
    out_of_order: Literal["sort", "drop", "dead_letter"] = "sort"
    future: Literal["reject", "accept"] = "reject"
    max_ahead: Seconds = 86400.0
    skew: Literal["isolate", "accept", "reject"] = "isolate"
    max_skew: Seconds = 60.0


class Use(Settings):
    """One detector of a rule: the short form `conv_ae:pumps@production`, or with its parameters."""

    detector: str
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def reference(self) -> Reference:
        """The parsed `detector`."""
        return reference(self.detector)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"detector": value} if isinstance(value, str) else value

    @field_validator("detector")
    @classmethod
    def _known(cls, value: str) -> str:
        reference(value)
        return value


class ModelRule(Settings):
    """Which detectors the sensors with a matching name get; the first rule that matches wins."""

    match: str = "*"
    use: Annotated[list[Use], Field(min_length=1)]

    @field_validator("use")
    @classmethod
    def _distinct(cls, value: list[Use]) -> list[Use]:
        labels = [use.reference.label for use in value]
        if len(set(labels)) != len(labels):
            raise ValueError(f"detectors {labels} name one twice; give each sensor one of a kind")
        return value


class Asset(Settings):
    """Labels for the sensors with a matching name; every matching entry adds its own."""

    match: str = "*"
    labels: dict[Name, str]


def _topic(value: str) -> str:
    if not value.startswith("^"):
        return TypeAdapter(Name).validate_python(value)
    try:
        remembers = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if remembers:  # all patterns become one expression, where such groups would meet
        raise ValueError("has a group that remembers what it matched; write (?:...)")
    return value


class Limits(Settings):
    """What keeps memory bounded whatever is sent.

    `sensors` is the most that one partition remembers; a new one over that takes the place of those
    that were not heard for the longest time. One that was not heard for `sensor_ttl`, by the times
    of its partition's samples, is forgotten too. A message of more than `message` bytes, or more
    than `samples` numbers, or a picture of more than `pixels`, is refused.
    """

    sensors: Count = 10_000
    sensor_ttl: Annotated[Seconds, Field(gt=0)] | None = 30 * 86400.0
    message: Annotated[int, Field(ge=64, le=1_000_000_000)] = 10_000_000
    samples: Count = 2_500_000
    pixels: Annotated[int, Field(ge=1, le=80_000_000)] = 50_000_000


class StreamConfig(Settings):
    """One kind of data: its topics, its messages, its windows, its detectors, its alerts.

    A topic that begins with `^` is a regular expression for all topics whose whole names it
    matches, also those that are made later.
    """

    topics: Annotated[list[Annotated[str, AfterValidator(_topic)]], Field(min_length=1)]
    format: Format = Format()
    sensor: str = "key"
    window: AnyWindow
    event_time: EventTime = EventTime()
    models: Annotated[list[ModelRule], Field(min_length=1)]
    unknown_sensors: Literal["group", "warm_up", "reject"] = "group"
    warm_up: Count = 60
    threshold: ThresholdConfig = ThresholdConfig()
    alert: AlertConfig = AlertConfig()
    guards: GuardConfig = GuardConfig()
    limits: Limits = Limits()
    assets: list[Asset] = Field(default_factory=list)

    @field_validator("format", mode="before")
    @classmethod
    def _short_format(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and len(value) == 1 and "kind" not in value:
            ((kind, paths),) = value.items()
            return {"kind": kind, "paths": paths or {}}
        return value

    @field_validator("sensor")
    @classmethod
    def _place_of_the_name(cls, value: str) -> str:
        if not re.fullmatch(r"key|topic|header:.+|payload:.+", value):
            raise ValueError("not one of key, topic, header:NAME, payload:PATH")
        return value

    @model_validator(mode="after")
    def _votes_possible(self) -> StreamConfig:
        fewest = min(len(rule.use) for rule in self.models)
        if self.alert.votes > fewest:
            raise ValueError(f"alert.votes is {self.alert.votes} but a rule has {fewest} detectors")
        return self

    @model_validator(mode="after")
    def _weights_of_detectors(self) -> StreamConfig:
        known = sorted({use.reference.label for rule in self.models for use in rule.use})
        strange = [name for name in self.alert.weights if name not in known]
        if strange:
            raise ValueError(
                f"alert.weights names {strange[0]!r}; the stream's detectors are {', '.join(known)}"
            )
        return self

    @model_validator(mode="after")
    def _one_rate(self) -> StreamConfig:
        if self.alert.budget is not None and "quantile" in self.threshold.model_fields_set:
            raise ValueError(
                "needs one of alert.budget, threshold.quantile: the quantile follows from the "
                "budget"
            )
        return self

    @model_validator(mode="after")
    def _guarded(self) -> StreamConfig:
        channels = list(self.window.channels)
        if strange := self.guards.strange(channels):
            known = ", ".join(channels)
            raise ValueError(f"guards names channel {strange!r}; valid are {known} and {EVERY}")
        if self.guards.of_frames and self.window.input != "frames":
            raise ValueError(
                f"guards.{self.guards.of_frames[0]} is for cameras, but window.input is "
                f"{self.window.input}; frames is valid with it"
            )
        if self.guards.skew and self.event_time.skew == "reject":
            raise ValueError(
                "guards.skew is true, but event_time.skew is reject: nothing of such messages is "
                "taken; isolate and accept are valid with it"
            )
        return self

    @model_validator(mode="after")
    def _seen(self) -> StreamConfig:
        frames, given = self.window.input == "frames", "format" in self.model_fields_set
        if frames and not given:
            object.__setattr__(self, "format", Format(kind="image"))
        elif frames != (self.format.kind == "image"):
            raise ValueError(
                f"format is {self.format.kind}, but window.input is {self.window.input}: frames "
                "come as format image, and pictures need window.input frames"
            )
        numbers = self.window.shape[0] * self.window.shape[1]
        if frames and numbers > self.limits.samples:
            raise ValueError(
                f"a frame of window.size has {numbers} numbers; limits.samples is "
                f"{self.limits.samples}"
            )
        return self

    @model_validator(mode="after")
    def _heard(self) -> StreamConfig:
        if self.format.kind == "audio" and self.window.input != "sound":
            raise ValueError(
                f"format is audio, but window.input is {self.window.input}: files of sound need "
                "window.input sound"
            )
        return self

    @model_validator(mode="after")
    def _replaceable(self) -> StreamConfig:
        if self.window.input == "windows" and self.event_time.duplicate == "last":
            raise ValueError(
                "event_time.duplicate is last, but a ready window is scored when it comes: with "
                "window.input windows first and dead_letter are valid"
            )
        return self

    @field_validator("models")
    @classmethod
    def _distinct_rules(cls, value: list[ModelRule]) -> list[ModelRule]:
        patterns = [rule.match for rule in value]
        if len(set(patterns)) != len(patterns):
            raise ValueError(f"match {patterns} name one twice; the first one would always win")
        return value

    def reads(self, topic: str) -> bool:
        """Whether a topic is one of the stream's."""
        return any(
            re.fullmatch(each, topic) if each.startswith("^") else each == topic
            for each in self.topics
        )

    def rule_of(self, sensor: str) -> int | None:
        """The place of the first rule that matches the sensor's name."""
        found = (i for i, rule in enumerate(self.models) if fnmatchcase(sensor, rule.match))
        return next(found, None)

    def labels_of(self, sensor: str) -> dict[str, str]:
        """The asset labels of a sensor."""
        found: dict[str, str] = {}
        for asset in self.assets:
            if fnmatchcase(sensor, asset.match):
                found.update(asset.labels)
        return found


class SnapshotConfig(Settings):
    """Where the state of partitions is kept: a folder, which several hosts have to share, or a
    compacted topic of the source's broker.
    """

    directory: Path = Path("state")
    topic: Name | None = None
    every: Seconds = 60.0
    keep: Annotated[int, Field(ge=2)] = 3

    @model_validator(mode="after")
    def _one(self) -> SnapshotConfig:
        if self.topic is not None and "directory" in self.model_fields_set:
            raise ValueError("needs one of directory, topic")
        return self


class ScoringConfig(Settings):
    """`chunk` is the fixed size of every model call; `backend` auto takes ONNX Runtime if it is
    there.
    """

    chunk: Annotated[int, Field(ge=1, le=4096)] = 64
    backend: Literal["auto", "torch", "onnx"] = "auto"


class Config(Settings):
    """The whole file."""

    source: SourceConfig
    streams: Annotated[dict[Name, StreamConfig], Field(min_length=1)]
    models: Path = Path("models")
    delivery: Literal["at_least_once", "exactly_once"] = "at_least_once"
    commit_every: Seconds = 1.0
    transaction_timeout: Annotated[Seconds, Field(ge=1, le=900)] = 10.0
    snapshots: SnapshotConfig = SnapshotConfig()
    scoring: ScoringConfig = ScoringConfig()
    sinks: list[SinkConfig] = Field(default_factory=lambda: [SinkConfig(log=True)])
    serve: ServeConfig | None = ServeConfig()

    @model_validator(mode="after")
    def _one_transaction(self) -> Config:
        """Only what lies on one cluster can be in one transaction; log and evidence are for people,
        and evidence has the same names when it comes again.
        """
        if self.delivery == "at_least_once":
            return self
        if self.source.kafka is None:
            raise ValueError("delivery exactly_once needs source.kafka")
        if self.commit_every > self.transaction_timeout / 2:
            raise ValueError(
                f"commit_every is {self.commit_every:g} s; with exactly_once it can be at most "
                f"half of transaction_timeout, which is {self.transaction_timeout:g} s"
            )
        other = [s for s in self.sinks if s.jsonl or (s.kafka and s.kafka.broker)]
        if other or not any(sink.kafka for sink in self.sinks):
            raise ValueError(
                "delivery exactly_once writes to topics of the source's own cluster: sinks may be "
                "kafka without broker, log and evidence; jsonl and other clusters need "
                "at_least_once"
            )
        return self

    @model_validator(mode="after")
    def _snapshots_apart(self) -> Config:
        """A topic of snapshots is on the source's cluster, and is no stream's."""
        topic = self.snapshots.topic
        if topic and self.source.kafka is None:
            raise ValueError("snapshots.topic needs source.kafka; name a directory instead")
        readers = [name for name, s in self.streams.items() if topic and s.reads(topic)]
        if readers:
            raise ValueError(
                f"snapshots.topic {topic!r} is read by stream {readers[0]!r}; name another topic, "
                "or a narrower pattern for the stream"
            )
        return self

    def topics(self) -> list[str]:
        """Every topic, or pattern of topics, of every stream, once."""
        return sorted({topic for stream in self.streams.values() for topic in stream.topics})
