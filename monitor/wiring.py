"""Configuration -> running parts. The only file that knows every implementation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.arrays import fingerprint
from monitor.connect.evidence import EvidenceSink
from monitor.connect.kafka.compacted import CompactedTopic
from monitor.connect.kafka.delivery import KafkaSink
from monitor.connect.kafka.snapshots import TopicSnapshots
from monitor.connect.kafka.source import KafkaSource
from monitor.connect.kafka.transaction import ExactlyOnce
from monitor.connect.memory import MemoryLog
from monitor.connect.recording.player import as_recorded, records
from monitor.connect.recording.reading import read_recordings
from monitor.connect.recording.source import RecordedSource
from monitor.connect.sinks import AtLeastOnce, JsonLinesSink, LogSink
from monitor.connect.snapshots import DirectorySnapshots
from monitor.connect.store import ModelStore
from monitor.connections import SinkConfig
from monitor.detect import build, learns_online, view_of
from monitor.errors import ConfigError, ModelError, StateError
from monitor.features import natural_shape, seen_shape
from monitor.model import Model
from monitor.notation import Reference
from monitor.protocols import Delivery, Online, Scorer, Sink, Snapshots, Source
from monitor.runner import Pace, Runner
from monitor.settings import Config, ModelRule, StreamConfig, Use
from monitor.stream.codec import make_codec
from monitor.stream.lane import LaneSpec, OnlineSpec
from monitor.stream.partition import Stream
from monitor.stream.pipeline import Pipeline
from monitor.timing import Timed, Timings
from monitor.types import Clock, Manifest, Partition, State
from monitor.view import ModelInfo
from monitor.windowing import CameraConfig, Window

FRAMES_AT_ONCE = 4  # a call is filled up with empty rows, and a frame is work enough for one


@dataclass(frozen=True)
class Middle:
    """The pure part of a process, with what `/metrics` tells about it."""

    pipeline: Pipeline
    models: tuple[ModelInfo, ...]
    timings: Timings


def build_middle(config: Config, clock: Clock = time.perf_counter) -> Middle:
    """Load every model that the configuration names and make the pipeline.

    Raises ModelError where one is missing or does not fit its stream, ConfigError where a detector
    is used in a way it cannot be.
    """
    loaded = _Models(config, Timings(), clock)
    streams = [
        Stream(name, settings, tuple(loaded.lane(name, settings, rule) for rule in settings.models))
        for name, settings in config.streams.items()
    ]
    codecs = {name: make_codec(settings) for name, settings in config.streams.items()}
    return Middle(Pipeline(streams, codecs), tuple(loaded.infos), loaded.timings)


def build_runner(config: Config, clock: Clock = time.time) -> Runner:
    """Everything that `monitor run` needs, ready to start."""
    config = _binary_if_recorded(config)
    middle = build_middle(config)
    source = build_source(config, clock)
    delivery = build_delivery(config, source, middle.models)
    pace = Pace(config.commit_every, config.snapshots.every, live=config.source.kafka is not None)
    parts = source, middle.pipeline, delivery, build_snapshots(config)
    runner = Runner(*parts, clock, pace)
    runner.steady = time.monotonic
    runner.timings, runner.models = middle.timings, middle.models
    if isinstance(source, RecordedSource):
        source.on_end = runner.stop
    return runner


def build_source(config: Config, clock: Clock) -> Source:
    """The log to read: a Kafka consumer group, or recordings through the embedded log."""
    if config.source.kafka:
        return KafkaSource(config.source.kafka, config.topics())
    played = config.source.recordings
    if played is None or len(config.streams) != 1:
        raise ConfigError("source.recordings: plays into one stream; name just one in streams")
    (stream,) = config.streams.values()
    found = read_recordings(played.paths, stream, played.time_column)
    log = MemoryLog(config.topics(), played.partitions)
    return RecordedSource(log, records(found, stream, played.partitions), clock, played.speed)


def build_delivery(config: Config, source: Source, models: Sequence[ModelInfo] = ()) -> Delivery:
    """At least once into every sink, or everything in one Kafka transaction."""
    if config.delivery == "at_least_once":
        return AtLeastOnce([build_sink(config, sink, models) for sink in config.sinks], source)
    if config.source.kafka is None or not isinstance(source, KafkaSource):
        raise ConfigError("delivery: exactly_once needs source.kafka")
    return ExactlyOnce(
        config.source.kafka,
        [sink.kafka for sink in config.sinks if sink.kafka],
        source.membership,
        transaction_timeout=config.transaction_timeout,
        beside=[build_sink(config, sink, models) for sink in config.sinks if not sink.kafka],
        stamped=source.stamped,
    )


def build_snapshots(config: Config) -> Snapshots:
    """Where states are kept; recordings start over each time they are played."""
    kafka, kept = config.source.kafka, config.snapshots
    if kafka is None:
        return ForgetfulSnapshots()
    if kept.topic:
        return TopicSnapshots(CompactedTopic(kafka, kept.topic), kafka.group, kept.keep)
    return DirectorySnapshots(kept.directory, kept.keep)


def build_sink(config: Config, sink: SinkConfig, models: Sequence[ModelInfo] = ()) -> Sink:
    """One place for results; `models` are those that score."""
    if sink.evidence:
        return EvidenceSink(sink.evidence, models)
    if sink.jsonl:
        return JsonLinesSink(sink.jsonl)
    if sink.kafka:
        broker = sink.kafka.broker or config.source.kafka
        if broker is None:
            raise ConfigError("sinks: kafka: needs a broker, since the source is not Kafka")
        return KafkaSink(broker, sink.kafka)
    return LogSink()


class ForgetfulSnapshots:
    """Keeps nothing."""

    def save(self, partition: Partition, offset: int, state: State) -> None:
        pass

    def offsets(self, partition: Partition) -> Sequence[int]:
        return ()

    def load(self, partition: Partition, offset: int) -> State:
        raise StateError(f"no snapshot of {partition} at {offset}: none is kept")

    def close(self) -> None:
        pass


def _binary_if_recorded(config: Config) -> Config:
    """Recordings come as binary messages, whatever the topic's format is."""
    if config.source.kafka:
        return config
    streams = {name: as_recorded(stream) for name, stream in config.streams.items()}
    return config.model_copy(update={"streams": streams})


class _Models:
    """Loads each model once, however many rules use it."""

    def __init__(self, config: Config, timings: Timings, clock: Clock) -> None:
        self.timings = timings
        self.infos: list[ModelInfo] = []
        self._config, self._clock = config, clock
        self._store = ModelStore(config.models)
        self._models: dict[Reference, Model] = {}

    def lane(self, name: str, stream: StreamConfig, rule: ModelRule) -> LaneSpec:
        """The detectors of one rule."""
        uses = [(use, learns_online(use.reference.detector)) for use in rule.use]
        scoring = self._config.scoring
        return LaneSpec(
            stream=name,
            match=rule.match,
            settings=stream,
            scorers=tuple(self._scorer(name, stream, u) for u, online in uses if not online),
            online=tuple(_online(name, stream, use) for use, online in uses if online),
            backend=f"{scoring.backend}/{scoring.chunk}",
        )

    def _scorer(self, name: str, stream: StreamConfig, use: Use) -> Scorer:
        wanted = use.reference
        if not wanted.model:
            raise ConfigError(
                f"streams.{name}.models: {wanted.detector} has to be trained; name its model, as "
                f"in {wanted.detector}:NAME@production, and run `monitor train`"
            )
        if wanted not in self._models:
            scoring = self._config.scoring
            few = isinstance(stream.window, CameraConfig)
            chunk = min(scoring.chunk, FRAMES_AT_ONCE) if few else scoring.chunk
            self._models[wanted] = self._store.load(wanted, chunk, scoring.backend)
        model = self._models[wanted]
        manifest = model.manifest
        _check_fits(wanted, manifest, name, stream.window)
        self.infos.append(
            ModelInfo(
                name,
                wanted.label,
                manifest.name,
                manifest.version,
                manifest.fingerprint,
                manifest.trained_at,
            )
        )
        return Timed(model, self.timings, self._clock)


def _check_fits(wanted: Reference, made: Manifest, name: str, window: Window) -> None:
    """Raises ModelError where a model was trained on other windows than the stream cuts."""
    trained = made.shape, tuple(made.channels), made.rate, made.front
    cut = window.model_shape, window.model_channels, window.rate, window.front
    if trained != cut:
        raise ModelError(
            f"model {wanted.detector}:{wanted.model}@{wanted.version} was trained on windows of "
            f"{_said(*trained)}; stream {name!r} cuts {_said(*cut)}: train it again"
        )


def _said(
    shape: tuple[int, int], channels: Sequence[str], rate: float, front: Mapping[str, Any]
) -> str:
    made = "".join(f", {key} {value}" for key, value in front.items())
    return f"{shape[1]} samples at {rate:g} Hz of {', '.join(channels)}{made}"


def _online(name: str, stream: StreamConfig, use: Use) -> OnlineSpec:
    wanted = use.reference
    if wanted.model:
        raise ConfigError(
            f"streams.{name}.models: {wanted.detector} learns in the stream and has no model; "
            f"write just {wanted.detector}"
        )
    front = stream.window.front
    view = view_of(wanted.detector, use.params, frames="frame" in front)
    shape = seen_shape(view, natural_shape(stream.window.model_shape, front))

    def make() -> Online:
        made: Online = build(wanted.detector, shape, **use.params)
        return made

    # At once, so that a wrong parameter or a class that is not finished is told now.
    if not isinstance(make(), Online):
        raise ConfigError(
            f"streams.{name}.models: {wanted.detector} has score_learn, but lacks one of shape, "
            "state, restore, forget; see monitor.protocols.Online"
        )
    return OnlineSpec(wanted.label, make, view, fingerprint(wanted.detector, use.params))
