"""A configuration becomes the parts it names, once each; what does not fit is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.connect.kafka.source import KafkaSource
from monitor.connect.recording.source import RecordedSource
from monitor.connect.sinks import JsonLinesSink, LogSink
from monitor.connect.snapshots import DirectorySnapshots
from monitor.connections import SinkConfig
from monitor.errors import ConfigError, ModelError
from monitor.offline.train import train
from monitor.settings import Config
from monitor.types import Record, Result
from monitor.wiring import ForgetfulSnapshots, build_middle, build_runner, build_sink, build_source
from tests.recorded import RATE, START, recording, stream_of, write_csv

USE = "mahalanobis:pumps@production"
KAFKA = {"kafka": {"bootstrap": ["127.0.0.1:1"]}}


def config(folder: Path, use: Sequence[Any] = (USE,), **other: Any) -> Config:
    """One stream over one recording; keywords replace sections of the whole."""
    path = write_csv(folder, recording("pump-1", 60.0))
    sections: dict[str, Any] = {
        "source": {"recordings": {"paths": [path]}},
        "models": folder / "models",
        "snapshots": {"directory": folder / "state"},
        "streams": {"machines": stream_of(use)},
        "sinks": [],
    }
    return Config.model_validate({**sections, **other})


def trained(folder: Path, use: Sequence[Any] = (USE,), **other: Any) -> Config:
    """The same with its models trained."""
    settings = config(folder, use, **other)
    train(settings, {name: [recording("pump-1", 60.0)] for name in settings.streams})
    return settings


def test_every_part_that_is_named_is_made(tmp_path: Path) -> None:
    runner = build_runner(trained(tmp_path, [USE, "online_iforest"]))
    (lane,) = runner.pipeline.streams[0].lanes
    assert lane.detectors == ("mahalanobis", "online_iforest")
    assert [(m.stream, m.detector, m.name, m.version) for m in runner.models] == [
        ("machines", "mahalanobis", "pumps", 1)
    ]
    assert isinstance(runner.source, RecordedSource)


def test_a_model_of_two_streams_is_loaded_once(tmp_path: Path) -> None:
    streams = {"north": stream_of([USE]), "south": stream_of([USE])}
    middle = build_middle(trained(tmp_path, streams=streams))
    assert [model.stream for model in middle.models] == ["north", "south"]
    north, south = (stream.lanes[0].scorers[0] for stream in middle.pipeline.streams)
    assert north.calibration is south.calibration


def test_recordings_are_read_as_binary_whatever_the_format(tmp_path: Path) -> None:
    settings = config(tmp_path, ["online_iforest"])
    assert settings.streams["machines"].format.kind == "json"
    runner = build_runner(settings)
    runner.run()
    assert runner.pipeline.counts["windows_processed", "machines", "scored"] == 119
    assert not any(key[0] == "messages_invalid" for key in runner.pipeline.counts)


def test_recordings_start_over_each_time_and_kafka_does_not(tmp_path: Path) -> None:
    recorded = build_runner(config(tmp_path, ["online_iforest"]))
    live = build_runner(config(tmp_path, ["online_iforest"], source=KAFKA))
    assert isinstance(recorded.custody.snapshots, ForgetfulSnapshots)
    assert isinstance(live.custody.snapshots, DirectorySnapshots)
    assert isinstance(live.source, KafkaSource)
    assert (recorded.pace.live, live.pace.live) == (False, True)


def test_recordings_play_at_their_speed(tmp_path: Path) -> None:
    source = {"recordings": {"paths": [tmp_path / "pump-1.csv"], "speed": 2, "partitions": 1}}
    now = [0.0]
    played = build_source(config(tmp_path, source=source), lambda: now[0])
    played.start(Nobody())
    records: list[Record] = []
    for now[0] in (0.0, 5.0, 10.0):
        records += played.poll(0)
    assert {record.partition.number for record in records} == {0}
    assert records[-1].time - records[0].time == pytest.approx(20.0, abs=1.0)
    assert START <= records[0].time <= START + 2


class Nobody:
    """An owner that reads from where it is told."""

    def assigned(self, committed: Any) -> Any:
        return committed

    def revoked(self, partitions: Any) -> None: ...

    def lost(self, partitions: Any) -> None: ...

    def note(self, notice: Any) -> None: ...


def test_recordings_of_two_streams_are_refused(tmp_path: Path) -> None:
    streams = {name: stream_of(["online_iforest"]) for name in ("north", "south")}
    with pytest.raises(ConfigError, match="plays into one stream; name just one"):
        build_runner(config(tmp_path, streams=streams))


def test_each_sink_is_made(tmp_path: Path) -> None:
    settings = config(tmp_path)
    wanted = {"jsonl": {"path": tmp_path / "deep" / "out.jsonl"}}
    sink = build_sink(settings, SinkConfig.model_validate(wanted))
    assert isinstance(sink, JsonLinesSink)
    sink.emit(Result())
    sink.close()
    assert (tmp_path / "deep" / "out.jsonl").read_bytes() == b""
    assert isinstance(build_sink(settings, SinkConfig.model_validate("log")), LogSink)


def test_a_topic_for_results_needs_a_broker(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs a broker, since the source is not Kafka"):
        build_sink(config(tmp_path), SinkConfig.model_validate("kafka"))


@pytest.mark.parametrize(
    ("use", "told"),
    [
        ("mahalanobis", "mahalanobis has to be trained; name its model"),
        ("online_iforest:pumps", "online_iforest learns in the stream and has no model"),
        ({"detector": "online_iforest", "params": {"leaves": 3}}, "does not take {'leaves': 3}"),
        ({"detector": "online_iforest", "params": {"window": -1}}, "window"),
    ],
)
def test_a_detector_that_is_used_in_a_way_it_cannot_be_is_told(
    tmp_path: Path, use: Any, told: str
) -> None:
    with pytest.raises(ConfigError, match=told.replace("{", r"\{").replace("}", r"\}")):
        build_middle(config(tmp_path, [use]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"length": "2s"}, "32 samples at 16 Hz of x, y"),
        ({"rate": 32}, "32 samples at 32 Hz of x, y"),
        ({"channels": ["y", "x"]}, "16 samples at 16 Hz of y, x"),
    ],
)
def test_a_model_of_other_windows_is_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    trained(tmp_path)
    window = {"length": "1s", "hop": "0.5s", "rate": RATE, "channels": ["x", "y"], **change}
    other = config(tmp_path, streams={"machines": stream_of([USE], window=window)})
    with pytest.raises(ModelError) as caught:
        build_middle(other)
    assert "was trained on windows of 16 samples at 16 Hz of x, y" in str(caught.value)
    assert f"cuts {told}: train it again" in str(caught.value)


def test_another_chunk_is_another_computation(tmp_path: Path) -> None:
    settings = trained(tmp_path)
    other = trained(tmp_path).model_copy(
        update={"scoring": settings.scoring.model_copy(update={"chunk": 8})}
    )
    prints = [
        build_middle(each).pipeline.streams[0].lanes[0].fingerprints for each in (settings, other)
    ]
    assert prints[0]["threshold:mahalanobis"] != prints[1]["threshold:mahalanobis"]
    assert prints[0]["windower"] == prints[1]["windower"]
