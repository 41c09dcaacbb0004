"""From the machines to a browser: a fault fires, is shown by every door, and resolves."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.config import parse
from monitor.connect.memory import MemoryLog, MemorySource
from monitor.connect.recording.reading import Recording
from monitor.connect.sinks import AtLeastOnce, JsonLinesSink
from monitor.connect.snapshots import DirectorySnapshots
from monitor.connections import JsonLines
from monitor.offline.train import train
from monitor.process import serve
from monitor.runner import Pace, Runner
from monitor.serving import ServeConfig
from monitor.settings import Config
from monitor.stream.codec import encode_float32
from monitor.wiring import build_middle
from simulators.faults import Fault
from simulators.fleet import Fleet
from tests.kafka.processes import results
from tests.terminal import plant

START = 1_767_225_600.0
RATE = 64.0
FAULT = Fault("imbalance", "rotor-2", START + 60, START + 80, ("vibration_x", "vibration_y"), 3.0)
END = START + 120.0


@dataclass
class Plant:
    """Machines, their log, and what is needed for any number of processes one after the other."""

    config: Config
    fleet: Fleet
    folder: Path
    log: MemoryLog = field(default_factory=lambda: MemoryLog("plant.rotors", 2))
    now: float = START

    def flow(self, until: float) -> None:
        """The machines run up to a time."""
        for samples in self.fleet.samples(self.now, until):
            value = encode_float32(samples)
            self.log.append(samples.sensor.encode(), samples.start + 0.5, value)
        self.now = until

    def process(self, name: str) -> Runner:
        """A process that has just been started; its clock is that of the machines."""
        middle = build_middle(self.config)
        source = MemorySource(self.log)
        sink = JsonLinesSink(JsonLines(path=self.folder / f"{name}.jsonl", scores=True))
        delivery = AtLeastOnce([sink], source)
        pace = Pace(commit_every=0, snapshot_every=0, view_every=0, patience=0)
        snapshots = DirectorySnapshots(self.folder / "state")
        runner = Runner(source, middle.pipeline, delivery, snapshots, lambda: self.now, pace)
        runner.models = middle.models
        runner.start()
        return runner


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """Three rotors, one of which is going to be out of balance for a while."""
    folder = tmp_path_factory.mktemp("plant")
    settings = plant(folder)
    stream = settings["streams"]["rotors"]
    stream["models"] = [{"use": ["mahalanobis:rotors"]}]
    stream["alert"]["silence"] = "5s"
    config = parse(json.dumps(settings), "test")
    fleet = Fleet(11, 3, rate=RATE, start=START - 60.0, faults=(FAULT,))
    train(config, {"rotors": recorded(fleet)})
    return Plant(config, fleet, folder)


def recorded(fleet: Fleet) -> list[Recording]:
    """A minute before anything goes wrong."""
    time = fleet.start + np.arange(60 * RATE) / RATE
    chunks = [fleet.chunk(sensor, fleet.start, START) for sensor in fleet.sensors]
    return [Recording(c.sensor, time, c.data, fleet.channels, None, Path("x")) for c in chunks]


@pytest.fixture
def rotors(trained: Plant, tmp_path: Path) -> Plant:
    """The same machines with an empty log, and no snapshots yet."""
    return Plant(trained.config, trained.fleet, tmp_path)


def run(runner: Runner) -> None:
    """Until everything that is there is processed, committed and shown."""
    while runner.step():
        pass


@contextmanager
def asked(runner: Runner) -> Iterator[Callable[[str], Any]]:
    """Ask the process over HTTP: JSON from the API, text from elsewhere."""
    with serve(runner, ServeConfig(port=0)) as server:

        def get(path: str) -> Any:
            with urllib.request.urlopen(server.url + path, timeout=30) as answer:
                body = answer.read().decode()
            return json.loads(body) if path.startswith("/api") else body

        yield get


def active(metrics: str) -> list[str]:
    """The sensors with an open alert, as Prometheus sees them."""
    found = re.findall(
        r'^monitor_anomaly_active\{.*?sensor="([^"]*)".*?\} 1', metrics, re.MULTILINE
    )
    return [str(sensor) for sensor in found]


def steps(folder: Path, *names: str) -> list[tuple[str, str, str]]:
    """Phase, sensor and id of every step of every alert, in the order written."""
    told = (entry for name in names for entry in results(folder / f"{name}.jsonl", "alert"))
    found = [(entry["phase"], entry["sensor"], entry["id"]) for entry in told]
    return list(dict.fromkeys(found))


def test_a_fault_fires_is_shown_and_resolves(rotors: Plant) -> None:
    runner = rotors.process("one")
    with asked(runner) as get:
        rotors.flow(START + 58)
        run(runner)
        assert active(get("/metrics")) == []
        assert get("/api/v1/alerts")["items"] == []
        rotors.flow(START + 75)
        run(runner)
        assert active(get("/metrics")) == ["rotor-2"]
        (alert,) = get("/api/v1/alerts")["items"]
        assert (alert["sensor"], alert["rule"]) == ("rotor-2", "score")
        assert FAULT.start < alert["opened"] < FAULT.end
        assert sum(alert["channels"][c] for c in FAULT.channels) > 0.5
        rotors.flow(END)
        run(runner)
        assert active(get("/metrics")) == []
        (resolved,) = get("/api/v1/alerts?state=all")["items"]
        assert (resolved["id"], resolved["phase"]) == (alert["id"], "resolved")
    runner.close()
    told = steps(rotors.folder, "one")
    assert [(phase, sensor) for phase, sensor, _ in told if phase == "resolved"] == [
        ("resolved", "rotor-2")
    ]
    assert {identity for _, _, identity in told} == {alert["id"]}


def test_the_page_the_metrics_and_the_api_agree(rotors: Plant) -> None:
    runner = rotors.process("one")
    rotors.flow(START + 30)
    run(runner)
    with asked(runner) as get:
        assert "<html" in get("/")
        assert '"ready":true' in get("/readyz")
        metrics, sensors = get("/metrics"), get("/api/v1/sensors")["items"]
        assert len(sensors) == 3
        for sensor in sensors:
            name = f'sensor="{sensor["sensor"]}"'
            lines = [line for line in metrics.splitlines() if name in line]
            (score,) = (line for line in lines if line.startswith("monitor_anomaly_score{"))
            assert float(score.split()[-1]) == pytest.approx(sensor["value"])
        status = get("/api/v1/status")
        assert {partition["lag"] for partition in status["partitions"]} == {0}
        assert [model["name"] for model in status["models"]] == ["rotors"]
    runner.close()


@pytest.mark.parametrize("ending", ["in good order", "by a crash"])
def test_a_restart_in_the_middle_of_an_alert_keeps_its_id(rotors: Plant, ending: str) -> None:
    undisturbed = Plant(rotors.config, rotors.fleet, rotors.folder / "undisturbed")
    whole = undisturbed.process("one")
    undisturbed.flow(END)
    run(whole)
    whole.close()
    first = rotors.process("first")
    rotors.flow(START + 75)
    run(first)
    assert [alert.sensor for alert in first.view.alerts] == ["rotor-2"]
    if ending == "in good order":
        first.close()
    else:
        assert isinstance(first.source, MemorySource)
        first.source.crash()
    second = rotors.process("second")
    assert [alert.sensor for alert in second.pipeline.open_alerts.values()] == ["rotor-2"]
    rotors.flow(END)
    run(second)
    second.close()
    assert steps(rotors.folder, "first", "second") == steps(undisturbed.folder, "one")
    assert scores(rotors.folder, "first", "second") == scores(undisturbed.folder, "one")


def scores(folder: Path, *names: str) -> dict[str, tuple[float, float]]:
    """Every score by its id."""
    told = (entry for name in names for entry in results(folder / f"{name}.jsonl", "score"))
    return {entry["id"]: (entry["raw"], entry["threshold"]) for entry in told}


def test_a_sensor_that_falls_silent_is_alerted_and_resolves_when_it_speaks(rotors: Plant) -> None:
    runner = rotors.process("one")
    rotors.flow(START + 20)
    run(runner)
    rotors.now = START + 40
    runner.step()
    runner.step()
    with asked(runner) as get:
        alerts = get("/api/v1/alerts")["items"]
        assert {(alert["sensor"], alert["rule"]) for alert in alerts} == {
            (sensor, "silence") for sensor in rotors.fleet.sensors
        }
        assert all(alert["opened"] == pytest.approx(START + 25, abs=0.1) for alert in alerts)
        rotors.flow(START + 50)
        run(runner)
        assert active(get("/metrics")) == []
    runner.close()
