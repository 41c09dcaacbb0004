"""The command line as a user at a terminal meets it, without the cost of a process."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import structlog
import yaml

from monitor.cli import main

CHANNELS = ["vibration_x", "vibration_y", "current", "temperature"]
SMALL = {"epochs": 2, "widths": [8], "latent": 8}
MODELS = ({"detector": "conv_ae:rotors@production", "params": SMALL}, "mahalanobis:rotors")


class Outcome(NamedTuple):
    """What a command has left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


def command(*arguments: str | Path) -> Outcome:
    """`monitor ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    words = ["monitor", *map(str, arguments)]
    with _unchanged(), patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Outcome(code, out.getvalue(), err.getvalue())


@contextmanager
def _unchanged() -> Iterator[None]:
    """What a command changes for its process is as before when it is over."""
    path = list(sys.path)
    try:
        with patch.dict(os.environ, COLUMNS="120"):
            yield
    finally:
        sys.path[:] = path
        structlog.reset_defaults()


def plant(folder: Path, **other: Any) -> dict[str, Any]:
    """A configuration for recordings of simulated rotors; keywords replace its sections."""
    window = {"length": "1s", "hop": "0.5s", "rate": 64, "channels": CHANNELS}
    stream = {
        "topics": ["plant.rotors"],
        "window": window,
        "models": [{"use": [*MODELS, "online_iforest"]}],
        "threshold": {"quantile": 0.99, "window": 256, "warm_up": 100, "margin": 1.2},
        "alert": {"raise": "3 of 5", "clear": "5 below 0.9"},
    }
    return {
        "source": {"recordings": {"paths": [str(folder / "faulty")]}},
        "models": str(folder / "models"),
        "snapshots": {"directory": str(folder / "state")},
        "streams": {"rotors": stream},
        "serve": {"port": 0},
        **other,
    }


def written(file: Path, settings: dict[str, Any]) -> Path:
    """A configuration as a file."""
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return file
