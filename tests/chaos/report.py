"""The figures of a run as JSON and as a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from deploy.broker.broker import VERSION
from tests.chaos.outcome import Outcome

FAULTS = (
    "differences",
    "uncounted",
    "doubled_without_same_id",
    "exactly_once_differences",
    "lost",
)


def figures(outcomes: Sequence[Outcome], failed: Sequence[str], seed: int, members: int) -> Any:
    """Sums first, then each trial, then what it ran on. `failed` came to no comparison."""
    trials = [outcome.as_json() for outcome in outcomes]
    return {
        "scenarios": sorted({outcome.scenario for outcome in outcomes}),
        "kills": sum(sum(outcome.kills.values()) for outcome in outcomes),
        **{name: sum(trial[name] for trial in trials) for name in FAULTS},
        "failed": list(failed),
        "repeats": sum(outcome.verdict.repeats for outcome in outcomes),
        "records": sum(outcome.records for outcome in outcomes),
        "scores": sum(outcome.scores for outcome in outcomes),
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 1),
        "members": members,
        "seed": seed,
        "trials": trials,
        "versions": {
            "kafka": VERSION,
            "python": platform.python_version(),
            **{name: version(name) for name in ("kafka-python", "numpy", "numba", "torch")},
        },
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
    }


def table(outcomes: Sequence[Outcome]) -> Table:
    """A line for each trial."""
    found = Table(box=SIMPLE_HEAD, show_edge=False)
    found.add_column("scenario", no_wrap=True)
    found.add_column("delivery", no_wrap=True)
    heads = ("kills", "troubles", "records", "scores", "alerts", "repeats", "faults")
    for head in (*heads, "recovery, s", "longest"):
        found.add_column(head, justify="right")
    for each in outcomes:
        kills, troubles = sum(each.kills.values()), sum(each.troubles.values())
        counts = kills, troubles, each.records, each.scores, each.alerts, each.verdict.repeats
        recovery = [f"{seconds:.1f}" for seconds in each.recovery_seconds.values()] or ["-", "-"]
        faults = "0" if each.is_good else f"[red]{each.verdict.faults or 'see below'}[/red]"
        shown = [f"{count:,}" for count in counts]
        found.add_row(each.scenario, each.delivery.replace("_", " "), *shown, faults, *recovery)
    return found
