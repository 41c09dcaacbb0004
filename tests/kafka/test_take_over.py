"""Processes of one group share a topic; whoever ends, in whatever way, its partitions go on
elsewhere with their state: the results are those of one process that was never disturbed.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.config import parse
from monitor.connect.recording.reading import Recording
from monitor.offline.train import train
from monitor.stream.codec import encode_float32
from simulators.fleet import Fleet, Plan
from tests.kafka.conftest import MakeTopic, Topic
from tests.kafka.processes import Running, ends, results, running, wait_for, write_config

pytestmark = pytest.mark.kafka

MACHINES = 4
RATE = 64.0
START = 1_767_225_600.0
LONGEST = 3000.0  # seconds of the machines' time; more than any run of the test takes
SPEED = 8.0
SMALL = {"epochs": 2, "widths": [8], "latent": 8}


def settings(topic: Topic, folder: Path, group: str, name: str) -> dict[str, Any]:
    """Deep, statistical and learning detectors; snapshots are rarer than commits."""
    channels = list(Fleet(1, 1).channels)
    window = {"length": "1s", "hop": "0.5s", "rate": RATE, "channels": channels}
    use = [{"detector": "conv_ae:rotors@production", "params": SMALL}, "online_iforest"]
    kafka = {"bootstrap": [topic.address], "group": group, "session_timeout": "6s"}
    return {
        "source": {"kafka": {**kafka, "max_poll_records": 100}},
        "models": str(folder / "models"),
        "snapshots": {"directory": str(folder / group), "every": "2s"},
        "commit_every": "0.3s",
        "scoring": {"backend": "torch"},
        "streams": {
            "rotors": {
                "topics": [topic.name],
                "window": window,
                "models": [{"use": use}],
                "threshold": {"quantile": 0.99, "window": 256, "warm_up": 100, "margin": 1.2},
                "alert": {"raise": "3 of 5", "clear": "4 below 0.9"},
            }
        },
        "sinks": [{"jsonl": {"path": str(folder / f"{name}.jsonl"), "scores": True}}],
        "serve": {"port": 0},
    }


def learn(config: dict[str, Any], fleet: Fleet) -> None:
    """Train on a minute before the machines are read."""
    begin, time_ = START - 60.0, START - 60.0 + np.arange(60 * RATE) / RATE
    recorded = [
        Recording(
            sensor, time_, fleet.chunk(sensor, begin, START).data, fleet.channels, None, Path("x")
        )
        for sensor in fleet.sensors
    ]
    train(parse(json.dumps(config), "test"), {"rotors": recorded})


@contextmanager
def flowing(topic: Topic, fleet: Fleet) -> Iterator[None]:
    """Half a second of each machine again and again, each machine in one partition."""
    enough = threading.Event()

    def send() -> None:
        began = time.monotonic()
        for samples in fleet.samples(START, START + LONGEST):
            key = samples.sensor.encode()
            place = fleet.sensors.index(samples.sensor) % len(topic.partitions)
            topic.producer.send(topic.name, key=key, value=encode_float32(samples), partition=place)
            due = began + (samples.start - START) / SPEED
            if enough.wait(max(0.0, due - time.monotonic())):
                break
        topic.producer.flush(30)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join(60)


def alone_with(topic: Topic, *members: Running) -> bool:
    """These members, and they alone, hold all partitions, and each of them some."""
    held = [set(member.position()) for member in members]
    return all(held) and sum(map(len, held)) == 4 and set.union(*held) == set(topic.partitions)


def told_once(folder: Path, names: Iterable[str], kind: str, *keys: str) -> dict[Any, Any]:
    """Everything of one type by what identifies it; a repeat must be the same to the last bit."""
    found: dict[Any, Any] = {}
    for entry in (e for name in names for e in results(folder / f"{name}.jsonl", kind)):
        identity = tuple(entry[key] for key in keys)
        assert found.setdefault(identity, entry) == entry, "a repeat differs"
    return found


def test_whoever_ends_is_taken_over_with_its_state(make_topic: MakeTopic, tmp_path: Path) -> None:
    topic = make_topic(4)
    fleet = Fleet(5, MACHINES, rate=RATE, start=START - 60.0)
    fleet = fleet.with_faults(START + 60, START + LONGEST, Plan(per_machine=int(LONGEST // 90)))
    configs = {}
    for name, group in {"a": "all", "b": "all", "c": "all", "undisturbed": "one"}.items():
        config = settings(topic, tmp_path, f"{topic.name}-{group}", name)
        configs[name] = write_config(tmp_path / f"{name}.yaml", config)
    learn(config, fleet)
    with ExitStack() as stack:
        with flowing(topic, fleet):
            a, b, c, one = (stack.enter_context(running(file)) for file in configs.values())
            for member in (a, b, c, one):
                member.wait_until_ready()
            wait_for("three share", lambda: alone_with(topic, a, b, c))
            time.sleep(2)
            assert b.end(signal.SIGTERM) == 0
            wait_for("two share", lambda: alone_with(topic, a, c))
            time.sleep(2)
            a.end(signal.SIGKILL)
            wait_for("one has all", lambda: alone_with(topic, c))
            time.sleep(1)
        written = ends(topic)
        wait_for("all is read", lambda: c.position() == one.position() == written)
        assert [c.end(), one.end()] == [0, 0]
    for member in (a, b, c, one):
        assert not member.events("snapshot_missing")
    shared = {name: results(tmp_path / f"{name}.jsonl", "score") for name in "abc"}
    assert all(shared.values())
    for kind, *keys in (("score", "id"), ("alert", "id", "phase", "severity")):
        found = told_once(tmp_path, "abc", kind, *keys)
        expected = told_once(tmp_path, ["undisturbed"], kind, *keys)
        assert expected
        assert found == expected
