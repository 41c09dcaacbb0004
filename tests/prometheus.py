"""A real Prometheus on loopback that scrapes a monitor every second, ended by its process id."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.tools import program

START = 60.0


class Prometheus:
    """Its HTTP API."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=10)

    def close(self) -> None:
        self._client.close()

    def ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def query(self, expr: str) -> list[Any]:
        """The series that a query returns now."""
        return self._result("query", query=expr)

    def over(self, expr: str, seconds: float) -> list[Any]:
        """The series that a query returned at any second of the time just past."""
        now = time.time()
        return self._result("query_range", query=expr, start=now - seconds, end=now, step=1)

    def scrapes(self) -> float:
        """How many scrapes went well in the last ten minutes."""
        found = self.query('sum(sum_over_time(up{job="monitor"}[10m]))')
        return float(found[0]["value"][1]) if found else 0.0

    def _result(self, kind: str, **parameters: Any) -> list[Any]:
        answer = self._client.get(f"/api/v1/{kind}", params=parameters)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        found: list[Any] = answer.json()["data"]["result"]
        return found


@contextmanager
def scraping(target: str, rules: list[Path], folder: Path, **job: Any) -> Iterator[Prometheus]:
    """Prometheus with these rules, scraping `http://host:port` with its data in `folder`; keywords
    are further settings of the job.
    """
    path = program("prometheus", "prometheus")
    file = folder / "prometheus.yml"
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rule) for rule in rules],
        "scrape_configs": [
            {
                "job_name": "monitor",
                "static_configs": [{"targets": [target.rpartition("//")[2]]}],
                **job,
            }
        ],
    }
    file.write_text(yaml.safe_dump(settings))
    port = free_port()
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                path,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    served = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_until(served.ready, f"prometheus, see {folder / 'prometheus.log'}")
        yield served
    finally:
        served.close()
        process.terminate()
        process.wait(30)


def wait_until(condition: Any, what: str) -> None:
    """Ask again and again until it holds; fails after a generous time."""
    end = time.monotonic() + START
    while not condition():
        assert time.monotonic() < end, f"waited {START:g} s for {what}"
        time.sleep(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
