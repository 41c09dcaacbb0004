"""A wall clock of its own for a process, which is then moved from outside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.kafka.processes import environment

_HOOK = Path(__file__).with_name("skewed")


def with_own_clock(file: Path) -> Mapping[str, str]:
    """What its environment needs; the clock is then off by what `set_clock` says."""
    set_clock(file, 0)
    paths = os.pathsep.join([str(_HOOK), environment()["PYTHONPATH"]])
    return {"PYTHONPATH": paths, "CHAOS_CLOCK": str(file)}


def set_clock(file: Path, seconds: float) -> None:
    """Let it be off by so many seconds from now on."""
    beside = file.with_suffix(".new")
    beside.write_text(f"{seconds}\n", encoding="ascii")
    beside.replace(file)
