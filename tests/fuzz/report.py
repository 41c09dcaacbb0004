"""The figures of a run as JSON and as a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tests.fuzz.trial import Found

MOST_GROWTH_MIB = 16.0
_LIBRARIES = ("numpy", "pandas", "pyarrow", "orjson", "msgpack", "safetensors", "PyYAML", "atheris")


def faults(found: Sequence[Found]) -> list[str]:
    """One line for each."""
    told = [f"{each.name}: {what}" for each in found for what in each.faults]
    grown = [each for each in found if each.grown_mib > MOST_GROWTH_MIB]
    return told + [f"{each.name}: grew by {each.grown_mib} MiB" for each in grown]


def figures(found: Sequence[Found], seed: int, seconds: float) -> dict[str, Any]:
    """Sums first, then each target, then what it ran on."""
    return {
        "payloads": sum(each.payloads for each in found),
        "accepted": sum(each.accepted for each in found),
        "faults": faults(found),
        "slowest_ms": max(each.slowest_ms for each in found),
        "grown_mib": max(each.grown_mib for each in found),
        "seconds": round(seconds, 1),
        "seed": seed,
        "targets": [each.as_json() for each in found],
        "versions": {"python": platform.python_version()} | _versions(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
    }


def table(found: Sequence[Found]) -> Table:
    """A line for each target."""
    shown = Table(box=SIMPLE_HEAD, show_edge=False)
    shown.add_column("reader", no_wrap=True)
    for head in (
        "payloads",
        "accepted",
        "refused",
        "reasons",
        "slowest, ms",
        "grown, MiB",
        "faults",
    ):
        shown.add_column(head, justify="right")
    for each in found:
        refused = sum(each.refused.values())
        counts = each.payloads, each.accepted, refused, len(each.refused)
        rest = f"{each.slowest_ms:.1f}", f"{each.grown_mib:.1f}", str(len(each.faults))
        shown.add_row(each.name, *(f"{count:,}" for count in counts), *rest)
    return shown


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
