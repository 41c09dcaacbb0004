"""`monitor run` while its broker is away, and when it is told to end."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaProducer

from deploy.broker.broker import Broker
from monitor.stream.codec import encode_float32
from monitor.types import Samples
from tests.kafka.broker import Node
from tests.kafka.conftest import MakeTopic
from tests.kafka.processes import Running, results, running, wait_for, write_config

pytestmark = pytest.mark.kafka

RATE = 16
START = 1_767_225_600.0
AWAY = 12.0  # long enough for a flush and a commit to give up
PROMISED = 5.0  # seconds from SIGTERM to the end


@pytest.fixture
def own_broker(broker: Node, tmp_path: Path) -> Iterator[Broker]:
    """A node that may be killed; the shared one tells whether a node can run at all."""
    node = Broker(tmp_path / "kafka")
    node.start()
    try:
        yield node
    finally:
        node.kill()


def settings(address: str, topic: str, folder: Path) -> dict[str, Any]:
    """One stream of ready windows; results into a file and into topics."""
    window = {"length": "1s", "rate": RATE, "channels": ["x"], "input": "windows"}
    return {
        "source": {"kafka": {"bootstrap": [address], "group": topic, "session_timeout": "6s"}},
        "snapshots": {"directory": str(folder / "state"), "every": "2s"},
        "commit_every": "0.2s",
        "streams": {
            "pumps": {"topics": [topic], "window": window, "models": [{"use": ["online_iforest"]}]}
        },
        "sinks": [
            {"jsonl": {"path": str(folder / "out.jsonl"), "scores": True}},
            {"kafka": {"alerts": f"{topic}.alerts", "scores": f"{topic}.scores"}},
        ],
        "serve": {"port": 0},
    }


def send(address: str, topic: str, numbers: range) -> None:
    """One window of each number; by a producer that is gone before its broker is."""
    random = np.random.default_rng(1)
    producer = KafkaProducer(bootstrap_servers=address, acks="all")
    for number in numbers:
        data = random.standard_normal((1, RATE)).astype(np.float32)
        value = encode_float32(Samples("pump-1", START + number, data, whole=True))
        producer.send(topic, value=value, key=b"pump-1")
    producer.flush(60)
    producer.close()


def ready(process: Running) -> dict[str, Any]:
    """The answer of `/readyz`, whatever its status."""
    url = process.events("serving")[0]["page"] + "/readyz"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return dict(json.loads(answer.read()))
    except urllib.error.HTTPError as refused:
        if refused.code != 503:
            raise
        return dict(json.loads(refused.read()))


def delivery(process: Running) -> dict[str, Any]:
    """The condition that results can be delivered."""
    (found,) = [c for c in ready(process)["conditions"] if c["name"] == "delivery"]
    return dict(found)


def scored(folder: Path) -> list[float]:
    """The times of all scores, repeats left out."""
    return sorted({entry["time"] for entry in results(folder / "out.jsonl", "score")})


def test_while_the_broker_is_away_it_says_so_and_then_nothing_is_lost(
    own_broker: Broker, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "m.yaml", settings(own_broker.address, "plant", tmp_path))
    send(own_broker.address, "plant", range(50))
    with running(config) as process:
        process.wait_until_ready()
        wait_for("the first are scored", lambda: len(scored(tmp_path)) == 50)
        own_broker.kill()
        began = time.monotonic()
        wait_for("it is told", lambda: not delivery(process)["ok"])
        assert not ready(process)["ready"]
        assert own_broker.address in delivery(process)["detail"]
        time.sleep(max(0.0, AWAY - (time.monotonic() - began)))
        assert process.metric("monitor_failing") == {'{what="delivery"}': 1.0}
        own_broker.start()
        wait_for("it is ready again", lambda: ready(process)["ready"])
        send(own_broker.address, "plant", range(50, 100))
        wait_for("all are scored", lambda: len(scored(tmp_path)) == 100)
        assert not process.metric("monitor_failing")
        assert process.end() == 0
    failed = process.events("failed, will try again")
    assert 1 <= len(failed) < 10, "told, but not at every attempt"


def test_after_sigterm_everything_is_handed_over_within_the_promised_time(
    make_topic: MakeTopic, tmp_path: Path
) -> None:
    topic = make_topic(2)
    config = write_config(tmp_path / "m.yaml", settings(topic.address, topic.name, tmp_path))
    with running(config) as process:
        process.wait_until_ready()
        send(topic.address, topic.name, range(500))
        wait_for("some are scored", lambda: scored(tmp_path))
        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(60) == 0
        took = time.monotonic() - began
    assert took < PROMISED
    assert len(process.events("partition revoked")) == 2
    (committed,) = {e["offset"] for e in results(tmp_path / "out.jsonl", "score")[-1:]}
    snapshots = list((tmp_path / "state" / topic.name).glob("*/*.snapshot"))
    assert max(int(path.stem) for path in snapshots) == committed + 1
