"""`monitor` as real processes: started, asked over HTTP, and ended by their process id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kafka import KafkaConsumer, TopicPartition

from monitor.types import Partition
from tests.kafka.conftest import Topic

PATIENCE = 120.0  # a start compiles and loads torch, beside other tests on the same cores
COMMAND = (sys.executable, "-m", "monitor")
ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """One thread for each process, and this package importable from any folder."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "COLUMNS": "100"}


def told(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def wait_for(what: str, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Ask again and again; AssertionError after so many seconds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"still not after {seconds:g} s: {what}"
        time.sleep(0.2)


@dataclass
class Running:
    """One `monitor run`; `log` is where its standard error goes, as JSON lines."""

    process: subprocess.Popen[bytes]
    log: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """What it has logged under one name."""
        lines = self.log.read_text().splitlines()
        logged = (json.loads(line) for line in lines if line.startswith("{"))
        return [event for event in logged if event["event"] == name]

    def wait_until_ready(self) -> None:
        """Until `/readyz` says so."""
        wait_for("ready", lambda: self._alive() and self.events("serving") and self._is_ready())

    def get(self, path: str) -> str:
        """The body of an answer."""
        self._alive()
        url = self.events("serving")[0]["page"] + path
        with urllib.request.urlopen(url, timeout=30) as answer:
            return str(answer.read().decode())

    def position(self) -> dict[Partition, int]:
        """The partitions that it holds, and the offset that each has come to."""
        found = json.loads(self.get("/api/v1/status"))["partitions"]
        return {Partition(each["topic"], each["partition"]): each["position"] for each in found}

    def metric(self, name: str) -> dict[str, float]:
        """Every sample of a metric: its labels, as written, and its value."""
        lines = self.get("/metrics").splitlines()
        mine = [line for line in lines if line.partition("{")[0].partition(" ")[0] == name]
        return {line.rpartition(" ")[0][len(name) :]: float(line.split()[-1]) for line in mine}

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, by its process id, and wait; the exit status."""
        self._alive()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def _alive(self) -> bool:
        status = self.process.poll()
        assert status is None, f"ended with {status}: {self.log.read_text()[-3000:]}"
        return True

    def _is_ready(self) -> bool:
        try:
            return bool(self.get("/readyz"))
        except urllib.error.HTTPError:
            return False


@contextmanager
def running(config: Path) -> Iterator[Running]:
    """`monitor run` in the folder of its configuration, gone when the test is."""
    log = config.with_suffix(f".{time.monotonic_ns()}.log")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*COMMAND, "run", str(config), "--port", "0", "--log-json"],
            cwd=config.parent,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield Running(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def write_config(file: Path, settings: Mapping[str, Any]) -> Path:
    """A configuration as a file."""
    file.write_text(yaml.safe_dump(dict(settings), sort_keys=False), encoding="utf-8")
    return file


def results(file: Path, kind: str) -> list[dict[str, Any]]:
    """What a JSON lines sink has written of one type; a last line may be cut short by a kill."""
    lines = file.read_bytes().split(b"\n")[:-1]
    return [entry for line in lines if line and (entry := json.loads(line))["type"] == kind]


def ends(topic: Topic) -> dict[Partition, int]:
    """The offset that each partition's next record will get."""
    consumer = KafkaConsumer(bootstrap_servers=topic.address)
    found = consumer.end_offsets([TopicPartition(*each) for each in topic.partitions])
    consumer.close()
    return {Partition(*partition): offset for partition, offset in found.items()}
