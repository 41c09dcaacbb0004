"""The main job in a minute: simulated machines that are measured, heard and watched, training,
faults, alerts, the page and `/metrics`.

The embedded log first holds a stretch of history, which the monitor catches up with at once, as
after a restart; then the machines run live, a few times faster than real time.
"""

from __future__ import annotations

import signal
import tempfile
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from monitor.config import parse
from monitor.connect.memory import MemoryLog
from monitor.connect.recording.source import RecordedSource
from monitor.connect.sinks import AtLeastOnce
from monitor.connect.snapshots import DirectorySnapshots
from monitor.detect.images.weights import PACKAGE
from monitor.errors import ServeError
from monitor.offline.demo_scene import HISTORY, SPEED, Scene, stage
from monitor.offline.demo_summary import Story, summary, table
from monitor.offline.figures import write_figures
from monitor.offline.train import train_on
from monitor.process import serve
from monitor.runner import Pace, Runner
from monitor.serve.http import Server
from monitor.serving import ServeConfig
from monitor.settings import Config
from monitor.stream.rehearse import rehearse
from monitor.wiring import build_middle

PORT = 9464
CAMERA = "conveyor"


def run(*, seconds: float, seed: int, port: int | None, json_file: Path | None) -> None:
    """The command. `seconds` 0 runs until stopped; `port` None takes 9464, or a free one."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="monitor-demo-") as folder:
        config = load_config(Path(folder))
        if CAMERA not in config.streams:
            console.print("no camera: its detector needs pip install 'monitor\\[images]'")
        scene = stage(config, seed, seconds)
        console.print(f"seed {seed}: {', '.join(scene.parts)}; {len(scene.faults)} faults to come")
        train_on(config, scene.normal(config), console=console)
        story = Story(console, scene.faults)
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
    """The demo's configuration, with its models below a folder; without a camera where the weights
    for its detector are not installed.
    """
    file = Path(__file__).with_name("demo.yaml")
    config = parse(file.read_text(encoding="utf-8"), file.name)
    watched = find_spec(PACKAGE) is not None
    streams = {name: s for name, s in config.streams.items() if watched or name != CAMERA}
    return config.model_copy(update={"models": folder / "models", "streams": streams})


def build(config: Config, scene: Scene, story: Story) -> Runner:
    """The ordinary runner on an embedded log that fills as the machines run."""
    middle = build_middle(config)
    rehearse(middle.pipeline)
    log, records = MemoryLog(config.topics(), 2, keep=2000), scene.records(config)
    source = RecordedSource(log, records, time.monotonic, SPEED, head_start=HISTORY)
    snapshots = DirectorySnapshots(config.models.parent / "state")
    pace = Pace(snapshot_every=15.0, patience=0.05, live=False)
    delivery = AtLeastOnce([story], source)
    runner = Runner(source, middle.pipeline, delivery, snapshots, time.time, pace)
    runner.timings, runner.models = middle.timings, middle.models
    return runner


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
