"""The demo ends by itself, finds what it injects, and tells the truth about it."""

from __future__ import annotations

import io
import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from rich.console import Console

from monitor.offline.demo import load_config
from monitor.offline.demo_scene import Scene, stage
from monitor.offline.demo_summary import AFTERMATH, Story, summary, table
from monitor.stream.codec import make_codec
from monitor.types import Alert, Partition, Phase, Result
from simulators.faults import Fault
from tests.kafka.processes import told

FAULT = Fault("spike", "rotor-1", 1000.0, 1010.0, ("current",))
OTHER = Fault("drift", "rotor-2", 1020.0, 1040.0, ("current",))
PROMISED = {
    "windows",
    "windows_per_second",
    "faults_injected",
    "faults_alerted",
    "false_alarms",
    "detection_delay_seconds",
}


def alert(sensor: str, opened: float, phase: Phase = "firing") -> Alert:
    return Alert(
        partition=Partition("demo", 0),
        offset=0,
        id=f"{sensor}-{opened}",
        stream="rotors",
        sensor=sensor,
        rule="score",
        phase=phase,
        severity="warning",
        reason="loud",
        opened=opened,
        time=opened + 1,
        scores={},
        channels={"current": 0.9, "vibration_x": 0.1},
    )


def story_of(*alerts: Alert, newest: float = 2000.0) -> tuple[Story, str]:
    """A story that has heard these alerts, and what it printed."""
    out = io.StringIO()
    story = Story(Console(file=out, width=160), [FAULT, OTHER])
    for each in alerts:
        story.emit(Result(alerts=[each]))
    story.newest, story.seconds = newest, 10.0
    return story, out.getvalue()


@pytest.mark.parametrize("seed", [5])
def test_every_fault_is_alerted_and_the_page_is_up(tmp_path: Path, seed: int) -> None:
    figures = tmp_path / "demo.json"
    options = ["--seconds", "30", "--seed", str(seed), "--port", "0", "--json", str(figures)]
    done = told("demo", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())
    assert found.keys() >= PROMISED
    assert found["faults_injected"] == 8
    assert found["faults_alerted"] == found["faults_injected"], done.stdout
    assert found["false_alarms"] <= 2, done.stdout
    assert 0 < found["detection_delay_seconds"] < 30
    assert found["windows"] > 3000
    assert found["served"]
    assert "faults alerted" in done.stdout
    assert "Traceback" not in done.stderr


def test_an_alert_while_a_fault_lasts_or_just_after_is_about_it() -> None:
    story, said = story_of(alert("rotor-1", 1004.0), alert("rotor-2", 1040.0 + AFTERMATH))
    found = summary(story, Counter())
    assert (found["faults_injected"], found["faults_alerted"], found["false_alarms"]) == (2, 2, 0)
    assert found["detection_delay_seconds"] in (4.0, 20.0 + AFTERMATH)
    assert found["missed"] == []
    assert "injected: spike" in said


@pytest.mark.parametrize(
    ("sensor", "opened"),
    [("rotor-1", 999.0), ("rotor-1", 1011.0 + AFTERMATH), ("rotor-3", 1005.0)],
)
def test_an_alert_about_nothing_is_false_and_the_fault_is_missed(
    sensor: str, opened: float
) -> None:
    story, said = story_of(alert(sensor, opened))
    found = summary(story, Counter())
    assert (found["faults_alerted"], found["false_alarms"]) == (0, 1)
    assert found["detection_delay_seconds"] is None
    assert found["missed"] == ["spike on rotor-1", "drift on rotor-2"]
    assert "nothing was injected" in said


def test_a_fault_that_the_time_was_too_short_for_does_not_count() -> None:
    story, _ = story_of(alert("rotor-1", 1004.0), newest=1015.0)
    assert summary(story, Counter())["faults_injected"] == 1


def test_the_steps_of_an_alert_are_one_alert() -> None:
    story, said = story_of(alert("rotor-1", 1004.0), alert("rotor-1", 1004.0, "resolved"))
    found = summary(story, Counter())
    assert (found["alerts"], found["alerts_resolved"]) == (1, 1)
    assert "resolved" in said


def test_windows_are_counted_over_all_streams() -> None:
    story, _ = story_of()
    counts: Counter[tuple[str, ...]] = Counter(
        {
            ("windows_processed", "rotors", "scored"): 70,
            ("windows_processed", "pumps", "scored"): 30,
            ("windows_processed", "pumps", "incomplete"): 5,
        }
    )
    found = summary(story, counts)
    assert (found["windows"], found["windows_per_second"]) == (100, 10.0)


def test_the_table_says_the_same_as_the_figures() -> None:
    story, _ = story_of(alert("rotor-1", 1004.0))
    out = io.StringIO()
    Console(file=out, width=120).print(table(summary(story, Counter())))
    assert "drift on rotor-2" in out.getvalue()
    assert "detection delay" in out.getvalue()


def scene(folder: Path, seed: int, seconds: float) -> Scene:
    return stage(load_config(folder), seed, seconds)


def test_another_seed_is_another_fleet_with_other_faults(tmp_path: Path) -> None:
    one, same, other = (scene(tmp_path, seed, 75.0).faults for seed in (1, 1, 2))
    told = [[(f.kind, f.sensor, round(f.end - f.start, 6)) for f in each] for each in (one, other)]
    assert told[0] != told[1]
    assert [(f.kind, f.sensor) for f in same] == [(f.kind, f.sensor) for f in one]


@pytest.mark.parametrize("seconds", [30.0, 75.0, 200.0])
def test_faults_come_after_the_history_and_leave_time_to_resolve(
    tmp_path: Path, seconds: float
) -> None:
    found = scene(tmp_path, 3, seconds)
    assert {fault.sensor for fault in found.faults} == {
        *(f"rotor-{number}" for number in range(1, 7)),
        "motor-1",
        "camera-1",
    }
    assert all(found.live <= fault.start for fault in found.faults)
    assert all(fault.end <= found.end - 10 for fault in found.faults)


def test_it_learns_from_normal_operation_alone(tmp_path: Path) -> None:
    config = load_config(tmp_path)
    found = stage(config, 4, 30.0)
    lessons = found.normal(config)
    assert lessons.keys() == config.streams.keys() == {"rotors", "motors", "conveyor"}
    for name, sensors in lessons.items():
        stream = config.streams[name]
        for own in sensors.values():
            assert own.data.shape[1:] == stream.window.model_shape
            assert len(own.data) > 200
            assert own.ends[-1] < found.begin + stream.window.length
            assert not own.labels.any() or (own.labels <= 0).all()


def test_what_comes_is_in_the_order_of_time_and_each_to_its_topic(tmp_path: Path) -> None:
    config = load_config(tmp_path)
    found = stage(config, 4, 30.0)
    sent = list(islice(found.records(config), 200))
    times = [record.time for record in sent]
    assert times == sorted(times)
    assert {record.partition.topic for record in sent} == set(config.topics())
    for name, stream in config.streams.items():
        codec = make_codec(stream)
        mine = [record for record in sent if record.partition.topic == stream.topics[0]]
        sensors = {samples.sensor for record in mine for samples in codec.decode(record)}
        assert sensors == set(found.parts[name].sensors)


def test_without_the_weights_of_its_detector_there_is_no_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.offline.demo.find_spec", lambda name: None)
    assert load_config(tmp_path).streams.keys() == {"rotors", "motors"}
