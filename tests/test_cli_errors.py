"""Whatever is wrong is told in clear lines and by the exit code: 2 for usage, 1 for run time."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from monitor.types import Array, State
from tests.kafka.processes import COMMAND, environment, running, told, wait_for
from tests.recorded import recording, write_csv
from tests.terminal import Outcome, command, plant, written

NOBODY = {"kafka": {"bootstrap": ["127.0.0.1:1"]}}
USE = "mahalanobis:pumps@production"


class Unfinished:
    """A class that cannot score."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


class Forgetful(Unfinished):
    """Learns in the stream, but has no state."""

    def score_learn(self, slots: Array, x: Array, cut: Array) -> Array:
        return cut


class Static(Unfinished):
    """Scores without training."""

    def score(self, x: Array) -> Array:
        loudest: Array = abs(x).max(axis=(1, 2))
        return loudest

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        pass


def pumps(folder: Path, use: Any = "online_iforest", **other: Any) -> dict[str, Any]:
    """A configuration for one recording of a pump, which is there."""
    write_csv(folder, recording("pump-1", 60.0))
    window = {"length": "1s", "rate": 16, "channels": ["x", "y"]}
    stream = {"topics": ["plant"], "window": window, "models": [{"use": [use]}]}
    source = {"recordings": {"paths": [str(folder / "pump-1.csv")]}}
    return plant(folder, **{"source": source, "streams": {"pumps": stream}, **other})


def complaint(found: Outcome, code: int) -> str:
    """The one line that says what is wrong."""
    assert found.code == code, found.err
    assert "Traceback" not in found.err + found.out
    lines = found.err.splitlines()
    assert len(lines) == 1, found.err
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


def test_a_command_that_is_not_there_is_a_mistake_in_usage() -> None:
    found = command("watch")
    assert found.code == 2
    assert "No such command 'watch'" in found.err


@pytest.mark.parametrize(
    ("arguments", "told_of"),
    [
        (["train"], "Missing argument 'CONFIG'"),
        (["train", "x.yaml"], "Missing argument 'RECORDINGS"),
        (["run"], "Missing argument 'CONFIG'"),
        (["run", "x.yaml", "--port", "many"], "Invalid value for '--port'"),
        (["check", "x.yaml", "--colour"], "No such option: --colour"),
    ],
)
def test_wrong_usage_is_told_with_the_way_to_the_help(arguments: list[str], told_of: str) -> None:
    found = command(*arguments)
    assert found.code == 2
    assert told_of in found.err
    assert f"monitor {arguments[0]} --help" in found.err


@pytest.mark.parametrize("name", ["train", "run", "replay", "evaluate", "models", "check"])
def test_a_configuration_that_is_not_there_is_told(name: str, tmp_path: Path) -> None:
    more = ["x.csv"] if name in ("train", "replay", "evaluate") else []
    found = complaint(command(name, tmp_path / "absent.yaml", *more), 2)
    assert f"{tmp_path}/absent.yaml" in found
    assert "No such file" in found


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    assert "directory" in complaint(command("run", tmp_path), 2)


def test_a_recording_is_no_configuration(tmp_path: Path) -> None:
    file = write_csv(tmp_path, recording())
    assert str(file) in complaint(command("run", file), 2)


def test_a_file_of_bytes_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"\xff\xfe\x00")
    assert "model.bin" in complaint(command("check", tmp_path / "model.bin"), 2)


def test_each_mistake_of_a_configuration_has_its_line(tmp_path: Path) -> None:
    file = written(tmp_path / "bad.yaml", pumps(tmp_path, modles="here", commit_every="soon"))
    found = command("run", file)
    assert found.code == 2
    first, second = sorted(found.err.splitlines())
    assert first.startswith(f"error: {file}: commit_every: 'soon': not a duration")
    assert "did you mean 'models'?" in second


def test_a_model_that_is_missing_is_told_with_what_to_do(tmp_path: Path) -> None:
    file = written(tmp_path / "plant.yaml", pumps(tmp_path, USE))
    found = complaint(command("run", file), 1)
    assert found.startswith("model mahalanobis:pumps@production is not in ")
    assert "monitor train" in found


def test_a_recording_without_a_channel_is_told_with_those_it_has(tmp_path: Path) -> None:
    file = written(tmp_path / "plant.yaml", pumps(tmp_path))
    (tmp_path / "other.csv").write_text("time,x,z\n1,2,3\n2,3,4\n")
    for name in ("replay", "evaluate", "train"):
        found = complaint(command(name, file, tmp_path / "other.csv"), 2)
        assert "other.csv" in found
        assert "'y'" in found


def test_a_recording_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "plant.yaml", pumps(tmp_path))
    assert "absent.csv" in complaint(command("replay", file, tmp_path / "absent.csv"), 2)


@pytest.mark.parametrize(
    ("text", "told_of"),
    [
        ("machine,from,to\n1,2,3\n", "has no column 'sensor', 'start', 'end'"),
        ("sensor,start,end\nfan-1,1,2\n", "recorded are 'pump-1'"),
        ("sensor,start,end\npump-1,9,2\n", "ends before it starts"),
    ],
)
def test_labels_that_cannot_be_used_are_told(tmp_path: Path, text: str, told_of: str) -> None:
    file, labels = written(tmp_path / "plant.yaml", pumps(tmp_path)), tmp_path / "labels.csv"
    labels.write_text(text)
    found = command("evaluate", file, tmp_path / "pump-1.csv", "--labels", labels)
    assert told_of in complaint(found, 2)


def test_labels_that_are_not_there_are_told(tmp_path: Path) -> None:
    file = written(tmp_path / "plant.yaml", pumps(tmp_path))
    found = command("evaluate", file, tmp_path / "pump-1.csv", "--labels", tmp_path / "no.csv")
    assert "no.csv" in complaint(found, 2)


def test_figures_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    file = written(tmp_path / "plant.yaml", pumps(tmp_path))
    arguments = ("replay", file, tmp_path / "pump-1.csv", "--out", tmp_path / "out")
    found = command(*arguments, "--json", tmp_path / "absent" / "figures.json")
    assert "figures.json: cannot be written" in complaint(found, 2)


@pytest.mark.parametrize("wish", ["mahalanobis", "mahalanobis:pumps", "what?=x", "=x"])
def test_a_promotion_of_another_form_is_told(tmp_path: Path, wish: str) -> None:
    file = written(tmp_path / "plant.yaml", pumps(tmp_path))
    found = complaint(command("models", file, "--promote", wish), 2)
    assert found.startswith(f"--promote '{wish}'")


@pytest.mark.parametrize(
    ("use", "code", "told_of"),
    [
        ("tests.test_cli_errors:Absent", 2, "cannot be loaded"),
        ("tests.no_such_module:Absent", 2, "No module named 'tests.no_such_module'"),
        ("tests.test_cli_errors:Unfinished", 2, "has to be trained; name its model"),
        ("tests.test_cli_errors:Forgetful", 2, "lacks one of shape, state, restore, forget"),
        ("tests.test_cli_errors:Static:x", 1, "is not in"),
    ],
)
def test_a_class_that_is_no_detector_is_told(
    tmp_path: Path, use: str, code: int, told_of: str
) -> None:
    file = written(tmp_path / "plant.yaml", pumps(tmp_path, use))
    assert told_of in complaint(command("run", file), code)


def test_training_what_is_no_detector_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "plant.yaml", pumps(tmp_path, "tests.test_cli_errors:Unfinished:x"))
    found = command("train", file, tmp_path / "pump-1.csv")
    assert "is no detector: it lacks score, state, restore" in found.err
    assert found.code == 2


def test_a_busy_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        file = written(tmp_path / "plant.yaml", pumps(tmp_path, serve={"port": port}))
        done = told("run", file, folder=tmp_path)
    found = complaint(Outcome(done.returncode, done.stdout, done.stderr), 1)
    assert f"127.0.0.1 port {port}" in found
    assert "in use" in found


def test_a_file_for_results_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sinks = [{"jsonl": {"path": str(tmp_path / "file" / "out.jsonl")}}]
    file = written(tmp_path / "plant.yaml", pumps(tmp_path, sinks=sinks))
    found = complaint(command("run", file), 1)
    assert f"cannot write {tmp_path}/file/out.jsonl" in found


@pytest.mark.parametrize("arguments", [["run"], ["check", "--connect"]])
def test_a_folder_for_snapshots_that_cannot_be_written_is_told(
    tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    snapshots = {"directory": str(tmp_path / "file" / "state")}
    file = written(tmp_path / "plant.yaml", pumps(tmp_path, source=NOBODY, snapshots=snapshots))
    found = complaint(command(*arguments, file), 1)
    assert found.startswith(f"snapshots.directory: {tmp_path}/file/state cannot be written")


def test_a_broker_out_of_reach_is_told_within_ten_seconds(tmp_path: Path) -> None:
    file = written(tmp_path / "plant.yaml", pumps(tmp_path, source=NOBODY))
    began = time.monotonic()
    found = complaint(command("check", "--connect", file), 1)
    assert found == "Kafka at 127.0.0.1:1 cannot be reached: connection refused"
    # Within 10 s of asking; the rest is what loading may take on a machine that is busy.
    assert time.monotonic() - began < 10 + 30


@pytest.mark.parametrize("sinks", [["log"], ["log", "kafka"]])
def test_a_process_without_its_broker_ends(tmp_path: Path, sinks: list[str]) -> None:
    file = written(tmp_path / "plant.yaml", pumps(tmp_path, source=NOBODY, sinks=sinks))
    done = told("run", file, "--port", "0", folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == "error: Kafka at 127.0.0.1:1 cannot be reached: connection refused"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_live_process_in_good_order(tmp_path: Path, number: int) -> None:
    source = {"recordings": {"paths": [str(tmp_path / "pump-1.csv")], "speed": 0.5}}
    file = written(tmp_path / "plant.yaml", pumps(tmp_path, source=source))
    with running(file) as process:
        process.wait_until_ready()
        assert process.end(signal.Signals(number)) == 0
    assert "Traceback" not in process.log.read_text()
    assert len(process.events("partition revoked")) == 4


def test_ctrl_c_ends_training_without_a_traceback(tmp_path: Path) -> None:
    long = {"epochs": 10_000, "patience": 10_000}  # minutes: the signal finds it at work
    use = {"detector": "deep_svdd:pumps", "params": long}
    file = written(tmp_path / "plant.yaml", pumps(tmp_path, use))
    with subprocess.Popen(
        [*COMMAND, "train", str(file), str(tmp_path / "pump-1.csv")],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert isinstance(process.stdout, io.BufferedReader)
        first = process.stdout.readline()
        assert b"training deep_svdd:pumps" in first
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert b"Traceback" not in rest
    wait_for("no model is left behind", lambda: not list(tmp_path.glob("models/*/*/1")))
