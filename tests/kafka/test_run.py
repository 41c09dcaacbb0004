"""`monitor run` on a real broker: what is wrong is told, counted and kept, and the rest goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.stream.codec import encode_float32
from monitor.types import Samples
from tests.kafka.broker import PASSWORDS, Node
from tests.kafka.conftest import MakeTopic, Topic, read_all
from tests.kafka.processes import Running, results, running, told, wait_for, write_config

pytestmark = pytest.mark.kafka

(USER,) = PASSWORDS
START = 1_767_225_600.0
RATE = 16
GOOD = np.sin(np.arange(2 * RATE, dtype=np.float32)).reshape(2, RATE)


def settings(kafka: dict[str, Any], folder: Path, topic: str = "plant") -> dict[str, Any]:
    """One stream of ready windows."""
    window = {"length": "1s", "rate": RATE, "channels": ["x", "y"], "input": "windows"}
    stream = {"topics": [topic], "window": window, "models": [{"use": ["online_iforest"]}]}
    return {
        "source": {"kafka": {"group": f"{topic}-group", **kafka}},
        "snapshots": {"directory": str(folder / "state")},
        "commit_every": "0.2s",
        "streams": {"pumps": stream},
        "sinks": [{"jsonl": {"path": str(folder / "out.jsonl"), "scores": True}}],
        "serve": {"port": 0},
    }


def message(data: np.ndarray[Any, Any], number: int) -> bytes:
    return encode_float32(Samples("pump-1", START + number, data.astype(np.float32), whole=True))


def send(topic: Topic, value: bytes) -> int:
    """Add a record to the first partition; returns its offset."""
    sent = topic.producer.send(topic.name, value=value, key=b"pump-1", partition=0)
    return int(sent.get(30).offset)


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("protocol", "security", "reason"),
    [
        (
            "SASL_PLAINTEXT",
            {"mechanism": "SCRAM-SHA-512", "username": USER, "password": "${SECRET}"},
            f"refuses the login of '{USER}' with SCRAM-SHA-512",
        ),
        ("SSL", {"ca": "stranger"}, "is not trusted: CERTIFICATE_VERIFY_FAILED"),
        ("SSL", {"ca": "authority"}, "refuses the client certificate"),
        ("PLAINTEXT", {}, "hangs up; it may want a login"),
    ],
)
def test_a_broker_that_refuses_us_is_told_with_the_true_reason(
    broker: Node,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    protocol: str,
    security: dict[str, str],
    reason: str,
) -> None:
    monkeypatch.setenv("SECRET", "wrong-password")
    if "ca" in security:
        security = {**security, "ca": str(getattr(broker.certificates, security["ca"]))}
    address = broker.addresses["SASL_PLAINTEXT" if protocol == "PLAINTEXT" else protocol]
    kafka = {"bootstrap": [address], "security": {"protocol": protocol, **security}}
    file = write_config(tmp_path / "plant.yaml", settings(kafka, tmp_path))
    began = time.monotonic()
    more = ["--connect"] if command == "check" else ["--port", "0"]
    done = told(command, file, *more, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: Kafka at {address} {reason}")
    assert "Traceback" not in done.stderr
    assert "wrong-password" not in done.stderr + done.stdout
    # Within 10 s of asking; the rest is what a start may take on a machine that is busy.
    assert time.monotonic() - began < 10 + 30


def test_what_cannot_be_used_is_counted_and_kept_and_the_rest_is_scored(
    make_topic: MakeTopic, tmp_path: Path
) -> None:
    topic, alerts, dead = make_topic(1), make_topic(1), make_topic(1)
    config = settings({"bootstrap": [topic.address]}, tmp_path, topic.name)
    config["sinks"].append({"kafka": {"alerts": alerts.name, "dead_letters": dead.name}})
    truncated, square = message(GOOD, 1)[:-3], message(np.ones((3, RATE)), 2)
    with running(write_config(tmp_path / "plant.yaml", config)) as process:
        process.wait_until_ready()
        offsets = [
            send(topic, value) for value in (message(GOOD, 0), truncated, square, message(GOOD, 3))
        ]
        scored = tmp_path / "out.jsonl"
        wait_for("two scores", lambda: len(results(scored, "score")) == 2)
        wait_for("both counted", lambda: sum(rejected(process).values()) == 2)
        assert rejected(process) == {"truncated": 1, "wrong_shape": 1}
        assert process.end() == 0
    kept = read_all(dead)
    assert [record.value for record in kept] == [truncated, square]
    assert [record.headers["reason"] for record in kept] == [b"truncated", b"wrong_shape"]
    assert [int(record.headers["offset"]) for record in kept] == offsets[1:3]
    assert {record.key for record in kept} == {b"pump-1"}
    assert [score["offset"] for score in results(scored, "score")] == [offsets[0], offsets[3]]
    assert [entry["reason"] for entry in results(scored, "rejected")] == [
        "truncated",
        "wrong_shape",
    ]


def rejected(process: Running) -> dict[str, int]:
    """How many records were refused, by reason."""
    found = process.metric("monitor_messages_invalid_total")
    by_reason = {
        labels.partition('reason="')[2].partition('"')[0]: n for labels, n in found.items()
    }
    return {reason: int(count) for reason, count in by_reason.items() if count}


def test_what_comes_before_a_restart_is_neither_lost_nor_repeated(
    make_topic: MakeTopic, tmp_path: Path
) -> None:
    topic = make_topic(1)
    config = settings({"bootstrap": [topic.address]}, tmp_path, topic.name)
    file, out = write_config(tmp_path / "plant.yaml", config), tmp_path / "out.jsonl"
    for number in range(6):
        send(topic, message(GOOD, number))
        if number % 3 == 2:
            run_until(file, out, number + 1)
    assert [score["offset"] for score in results(out, "score")] == list(range(6))
    assert json.loads(out.read_bytes().splitlines()[0])["topic"] == topic.name


def run_until(file: Path, out: Path, scores: int) -> None:
    """A process that ends once so many scores are written."""
    with running(file) as process:
        process.wait_until_ready()
        wait_for("all scored", lambda: len(results(out, "score")) == scores)
        assert process.end() == 0
