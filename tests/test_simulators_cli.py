"""`python -m simulators`: quick to help, one line for a mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.errors import ConfigError, SinkError
from simulators import commands
from simulators.__main__ import app
from simulators.fleet import Fleet
from simulators.play import Disturbance, Message


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


class Kept:
    """A target that keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def close(self) -> None: ...


def outlet_to(target: Kept, labels_topic: str | None = None) -> commands.Outlet:
    return commands.Outlet(
        topic="plant",
        connect=lambda: target,
        format="float32",
        speed=0.0,
        labels_topic=labels_topic,
        disturbance=Disturbance(),
        as_json=True,
    )


@pytest.mark.parametrize("command", ["play", "machines", "record", "cameras", "inspect"])
def test_each_command_has_help_with_an_example(command: str) -> None:
    assert f"python -m simulators {command}" in " ".join(invoke(command, "--help").split())


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, simulators.__main__\n"
        "heavy = {'numpy', 'pandas', 'pydantic', 'kafka', 'torch', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_record_writes_files_and_tells_as_json(tmp_path: Path) -> None:
    out = invoke("record", str(tmp_path), "--seconds", "1", "--machines", "2", "--json")
    assert json.loads(out) == {"files": 2, "folder": str(tmp_path), "faults": 0}
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["labels.jsonl", "rotor-1.csv", "rotor-2.csv"]
    assert "files 1" in invoke("record", str(tmp_path), "--seconds", "1", "--machines", "1")


def test_recorded_machines_are_played_with_their_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--seconds", "70", "--faults", "1", "--machines", "1", "--start", "1000"]
    invoke("record", str(tmp_path), *options, "--kind", "pump")
    target = Kept()
    commands.play_files([tmp_path], outlet_to(target), (), None, None)
    summary = json.loads(capsys.readouterr().out)
    assert (summary["sensors"], summary["faults"]) == (1, 1)
    assert summary["messages"] == len(target.sent)
    topics = [message.topic for message in target.sent]
    assert topics.count("plant.labels") == 1
    assert topics.count("plant") >= 70
    assert {message.key for message in target.sent} == {b"pump-1"}


@pytest.mark.parametrize(("labels_topic", "labels"), [(None, 1), ("", 0)])
def test_machines_are_played_with_or_without_labels(
    labels_topic: str | None, labels: int, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Kept()
    fleet = commands.fleet_of(Fleet(2, 1, start=1000.0), 70.0, 1, 1.0)
    commands.play_machines(fleet, 70.0, outlet_to(target, labels_topic))
    assert sum(message.topic == "plant.labels" for message in target.sent) == labels
    assert json.loads(capsys.readouterr().out)["messages"] == len(target.sent)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["record", "x", "--seconds", "0"], "seconds 0: more than 0"),
        (["record", "x", "--format", "xml"], "'xml': valid are csv, parquet"),
        (["record", "x", "--faults", "1", "--seconds", "60"], "need 65 s with recovery"),
        (["record", "x", "--kind", "fan"], "'fan': valid are rotor, pump"),
        (["machines", "--topic", "t", "--disturb", "jitter=x"], "'x' is not a number"),
        (["machines", "--topic", "t", "--disturb", "wind=1"], "valid are jitter, late"),
        (["machines", "--topic", "t", "--bootstrap", "here"], "bootstrap 'here': not host:port"),
        (["machines", "--topic", "t", "--format", "xml"], "format 'xml'"),
        (["play", "absent.csv", "--topic", "t"], "absent.csv: cannot be read"),
    ],
)
def test_a_mistake_is_told(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_an_unreachable_broker_is_told() -> None:
    arguments = ["machines", "--topic", "t", "--bootstrap", "127.0.0.1:1", "--seconds", "100"]
    with pytest.raises(SinkError, match=r"127\.0\.0\.1:1 cannot be reached"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_the_command_ends_with_one_line_and_a_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulators", "record", str(tmp_path), "--rate", "1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr == "error: rate 1 Hz: the machines need 64 Hz or more\n"
