"""The commands one after the other, as in the README: each works with what the last one left."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import monitor
from monitor import passwords
from monitor.cli import app
from tests.kafka.processes import environment, results, told
from tests.terminal import Outcome, command, plant, written

COMMANDS = sorted(
    str(each.callback.__name__).replace("_", "-")
    for each in app.registered_commands
    if each.callback
)
KAFKA = {"bootstrap": ["127.0.0.1:1"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings, a configuration and trained models."""
    folder = tmp_path_factory.mktemp("plant")
    options = ["--machines", "2", "--rate", "64", "--seed", "3"]
    play = [sys.executable, "-m", "simulators", "record"]
    for name, more in (
        ("normal", ["--seconds", "40", "--start", "1700000000"]),
        ("faulty", ["--seconds", "80", "--start", "1700001000", "--faults", "1"]),
    ):
        subprocess.run([*play, name, *options, *more], cwd=folder, env=environment(), check=True)
    written(folder / "plant.yaml", plant(folder))
    found = command("train", folder / "plant.yaml", folder / "normal", "--json", folder / "t.json")
    assert found.code == 0, found.err
    assert "conv_ae:rotors@1" in found.out
    return folder


def test_the_version_is_told() -> None:
    assert command("--version") == (0, f"monitor {monitor.__version__}\n", "")


def test_without_a_command_the_commands_are_listed() -> None:
    found = command()
    assert found.code == 2
    assert all(re.search(rf"^. {name} ", found.out + found.err, re.MULTILINE) for name in COMMANDS)


def test_every_command_that_was_promised_is_there() -> None:
    promised = {"train", "run", "replay", "evaluate", "models", "check", "demo", "bench"}
    assert promised <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example(name: str) -> None:
    found = command(name, "--help")
    assert found.code == 0
    assert f"Example: monitor {name}" in " ".join(found.out.split())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["run", "--help"], ["demo", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['monitor', *{arguments}]\n"
        "from monitor.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numba', 'numpy', 'pandas', 'kafka', 'uvicorn', 'river'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_training_tells_what_it_learned_from(folder: Path) -> None:
    (net, baseline) = json.loads((folder / "t.json").read_text())["models"]
    assert (net["detector"], net["model"], net["version"]) == ("conv_ae", "rotors", 1)
    assert (baseline["detector"], baseline["aliases"]) == ("mahalanobis", ["production"])
    assert net["sensors"] == 2
    assert net["windows"] == 2 * 79


def test_the_models_are_listed(folder: Path) -> None:
    shown = command("models", folder / "plant.yaml")
    assert shown.code == 0
    assert re.search(r"conv_ae:rotors@1 +production", shown.out)
    listed = json.loads(command("models", folder / "plant.yaml", "--json").out)
    assert [(m["detector"], m["version"], m["aliases"]) for m in listed] == [
        ("conv_ae", 1, ["production"]),
        ("mahalanobis", 1, ["production"]),
    ]


def test_an_alias_is_moved(folder: Path) -> None:
    found = command("models", folder / "plant.yaml", "--promote", "conv_ae:rotors@1=staging")
    assert found.code == 0
    assert "production, staging" in found.out


def test_the_configuration_is_shown_with_its_defaults(folder: Path) -> None:
    found = command("check", folder / "plant.yaml", "--connect")
    assert found.code == 0
    assert found.err == f"{folder}/plant.yaml: valid\n"
    assert "commit_every: 1.0" in found.out
    as_json = json.loads(command("check", folder / "plant.yaml", "--json").out)
    assert as_json["streams"]["rotors"]["alert"]["raise"] == "3 of 5"


def test_what_check_shows_is_a_configuration_again(folder: Path) -> None:
    shown = command("check", folder / "plant.yaml").out
    (folder / "shown.yaml").write_text(shown)
    assert command("check", folder / "shown.yaml").out == shown


def hashed(typed: bytes, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """`monitor hash-password` at the end of a pipe."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
    return command("hash-password")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nmore\n"])
def test_a_password_from_a_pipe_becomes_its_hash(
    end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hashed("correct hörse".encode() + end, monkeypatch)
    assert (found.code, found.err) == (0, "")
    assert passwords.parse(found.out.strip()).matches("correct hörse")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (b"", "a password of 0 characters; 8 to 1000 bytes are valid"),
        (b"hunter2", "a password of 7 characters; 8 to 1000 bytes are valid"),
        (b"hunter2" * 200, "a password of 1002 characters; 8 to 1000 bytes are valid"),
        (b"hunter2\xff", "standard input: the password is not UTF-8"),
    ],
)
def test_a_password_that_is_none_is_refused_unseen(
    typed: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hashed(typed, monkeypatch) == (2, "", f"error: {told}\n")


def test_a_password_is_never_an_argument() -> None:
    found = command("hash-password", "hunter2hunter2")
    assert found.code == 2
    assert found.out == ""


def test_check_shows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "hush-hush")
    security = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "u"}
    secret = {**security, "password": "${BROKER_PASSWORD}"}
    source = {"kafka": {**KAFKA, "security": secret}}
    serve = {"login": {"tokens": {"ada": "also-hush-and-long-enough-for-a-token"}}}
    file = written(tmp_path / "secret.yaml", plant(tmp_path, source=source, serve=serve))
    for options in ([], ["--json"], ["--connect"]):
        found = command("check", file, *options)
        assert "hush" not in found.out + found.err
        assert found.code == (1 if options == ["--connect"] else 0)


def test_a_replay_gives_scores_and_alerts(folder: Path, tmp_path: Path) -> None:
    out, figures = tmp_path / "found", tmp_path / "figures.json"
    arguments = (folder / "plant.yaml", folder / "faulty", "--out", out, "--json", figures)
    found = command("replay", *arguments, "--format", "csv")
    assert found.code == 0, found.err
    assert f"{out}/scores.csv" in found.out.replace("\n", "")
    told = json.loads(figures.read_text())
    assert told["windows"] == 2 * 159
    assert told["scores"] == 3 * told["windows"]
    assert (out / "scores.csv").read_text().count("\n") == told["scores"] + 1
    assert told["alerts"] > 0
    assert not told["rejected"]


@pytest.mark.parametrize("labels", [[], ["--labels", "labels.jsonl"]])
def test_an_evaluation_compares_with_labels(
    folder: Path, tmp_path: Path, labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder / "faulty")
    figures = tmp_path / "figures.json"
    arguments = (folder / "plant.yaml", folder / "faulty", "--json", figures)
    found = command("evaluate", *arguments, *labels)
    assert found.code == 0, found.err
    pooled = json.loads(figures.read_text())["pooled"]["rotors"]
    assert pooled["raw"]["mahalanobis"]["auroc"] > 0.9
    assert len(pooled["events"]) == 2


def test_recordings_are_run_to_their_end_by_a_real_process(folder: Path, tmp_path: Path) -> None:
    sinks = [{"jsonl": {"path": str(tmp_path / "out.jsonl"), "scores": True}}]
    file = written(tmp_path / "run.yaml", plant(folder, sinks=sinks))
    done = told("run", file, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "serving" in done.stderr
    assert len(results(tmp_path / "out.jsonl", "score")) == 3 * 2 * 159
