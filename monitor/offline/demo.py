"""The main job in a minute: simulated machines, training, faults, alerts, the page and `/metrics`.

The embedded log first holds a stretch of history, which the monitor catches up with at once, as
after a restart; then the machines run live, a few times faster than real time.
"""

from __future__ import annotations

import signal
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from monitor.config import parse
from monitor.connect.memory import MemoryLog
from monitor.connect.recording.reading import Recording
from monitor.connect.recording.source import RecordedSource
from monitor.connect.sinks import AtLeastOnce
from monitor.connect.snapshots import DirectorySnapshots
from monitor.errors import ServeError
from monitor.offline.demo_summary import Story, summary, table
from monitor.offline.figures import write_figures
from monitor.offline.train import train
from monitor.process import serve
from monitor.runner import Pace, Runner
from monitor.serve.http import Server
from monitor.serving import ServeConfig
from monitor.settings import Config
from monitor.stream.codec import encode_float32
from monitor.stream.rehearse import rehearse
from monitor.types import Partition, Record
from monitor.wiring import build_middle
from simulators.fleet import Fleet, Plan

STREAM = "rotors"
MACHINES = 6
TRAINING = 240.0  # seconds of normal operation to learn from
HISTORY = 150.0  # seconds in the log before the demo looks
SHORTEST = 30.0
SPEED = 4.0
PORT = 9464
ENDLESS = 7 * 86400.0


@dataclass(frozen=True)
class Scene:
    """What is simulated: `live` is when the live part begins, `end` when it ends (event time)."""

    fleet: Fleet
    begin: float
    live: float
    end: float


def run(*, seconds: float, seed: int, port: int | None, json_file: Path | None) -> None:
    """The command. `seconds` 0 runs until stopped; `port` None takes 9464, or a free one."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="monitor-demo-") as folder:
        config = load_config(Path(folder))
        scene = stage(seed, seconds)
        console.print(f"seed {seed}: {MACHINES} machines, {len(scene.fleet.faults)} faults to come")
        train(config, {STREAM: normal_operation(scene)}, console=console)
        story = Story(console, scene.fleet.faults)
        runner = build(config, scene, story)
        server = _started(runner, port)
        try:
            console.print(f"page     {server.url}/\nmetrics  {server.url}/metrics")
            _play(runner, seconds, story, server.url)
        finally:
            server.stop()
    found = summary(story, runner.pipeline.counts)
    console.print(table(found))
    if json_file:
        write_figures(json_file, found)


def load_config(folder: Path) -> Config:
    """The demo's configuration, with its models below a folder."""
    file = Path(__file__).with_name("demo.yaml")
    config = parse(file.read_text(encoding="utf-8"), file.name)
    return config.model_copy(update={"models": folder / "models"})


def stage(seed: int, seconds: float) -> Scene:
    """Another seed: other machines, other faults. Event time ends about now."""
    lasting = max(seconds, SHORTEST) * SPEED if seconds else ENDLESS
    live = float(round(time.time())) - (lasting if seconds else 0)
    begin = live - HISTORY
    fleet = Fleet(seed=seed, count=MACHINES, rate=128.0, start=begin - TRAINING)
    plan = Plan(per_machine=max(1, int(lasting // 240)))
    # Some seconds are left at the end, for the last alerts to be raised and resolved.
    return Scene(fleet.with_faults(live, live + lasting - 15, plan), begin, live, live + lasting)


def normal_operation(scene: Scene) -> list[Recording]:
    """What the models learn from."""
    fleet, found = scene.fleet, []
    for sensor in fleet.sensors:
        samples = fleet.chunk(sensor, fleet.start, fleet.start + TRAINING)
        time_ = samples.start + np.arange(samples.data.shape[1]) / fleet.rate
        found.append(
            Recording(sensor, time_, samples.data, fleet.channels, None, Path("simulated"))
        )
    return found


def build(config: Config, scene: Scene, story: Story) -> Runner:
    """The ordinary runner on an embedded log that fills as the machines run."""
    middle = build_middle(config)
    rehearse(middle.pipeline)
    topic = config.topics()[0]
    records = _records(topic, scene)
    source = RecordedSource(MemoryLog(topic, 4), records, time.monotonic, SPEED, head_start=HISTORY)
    snapshots = DirectorySnapshots(config.models.parent / "state")
    pace = Pace(snapshot_every=15.0, patience=0.05, live=False)
    delivery = AtLeastOnce([story], source)
    runner = Runner(source, middle.pipeline, delivery, snapshots, time.time, pace)
    runner.timings, runner.models = middle.timings, middle.models
    return runner


def _records(topic: str, scene: Scene) -> Iterator[Record]:
    """Half a second of a machine each; the log gives them their partition and offset."""
    nowhere = Partition(topic, 0)
    for samples in scene.fleet.samples(scene.begin, scene.end):
        end = samples.start + samples.data.shape[1] / scene.fleet.rate
        yield Record(nowhere, 0, samples.sensor.encode(), end, encode_float32(samples))


def _started(runner: Runner, port: int | None) -> Server:
    """On the wished port; without a wish on 9464, or on a free one where that is taken."""
    try:
        return serve(runner, ServeConfig(port=PORT if port is None else port)).start()
    except ServeError:
        if port is not None:
            raise
        return serve(runner, ServeConfig(port=0)).start()


def _play(runner: Runner, seconds: float, story: Story, url: str) -> None:
    """Run the loop until the time is over, all is played or somebody stops it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runner.stop())
    began = time.monotonic()
    runner.start()
    while not runner.stopping and (not seconds or time.monotonic() - began < seconds):
        runner.step()
        if story.alerts and story.served is None:
            story.served = _up(url)
    runner.close()
    story.seconds = time.monotonic() - began


def _up(url: str) -> bool:
    """Whether the page and `/metrics` answer, asked as a browser and as Prometheus would."""
    for path, said in (("/", b"<html"), ("/metrics", b"monitor_anomaly_score{")):
        with urllib.request.urlopen(url + path, timeout=10) as answer:
            if said not in answer.read():
                return False
    return True
