"""What a process uses, and how that grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple


class Usage(NamedTuple):
    """At one moment; resident memory in MiB."""

    second: float
    resident: float
    files: int
    threads: int
    lag: int
    processed: int
    sensors: int
    series: int


def resident_mib(pid: int) -> float:
    """Memory that is not swapped out and not given back."""
    return _status(pid, "VmRSS") / 1024


def threads(pid: int) -> int:
    """Of Python and of the libraries."""
    return _status(pid, "Threads")


def open_files(pid: int) -> int:
    """Descriptors: files, sockets, pipes."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def growth(used: Sequence[Usage], part: float = 0.1) -> float:
    """How much the resident memory of the last part is above that of the first, as a share."""
    count = max(3, int(len(used) * part))
    first = median(each.resident for each in used[:count])
    last = median(each.resident for each in used[-count:])
    return last / first - 1


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ValueError(f"process {pid} has no {name}")
