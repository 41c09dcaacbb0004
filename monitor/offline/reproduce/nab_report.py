"""What comes of the Numenta Anomaly Benchmark: figures, a table beside the published ones, CSV."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from monitor import journal
from monitor.offline.figures import write_figures
from monitor.offline.reproduce.data import download, find, listed
from monitor.offline.reproduce.nab import (
    CONFIGURATION,
    Scored,
    Series,
    by_group,
    configuration,
    marked,
    read_profiles,
    read_series,
    score_series,
)
from monitor.offline.reproduce.nab_scoring import (
    Marked,
    Profile,
    best,
    leave_one_group_out,
    total_at,
)
from monitor.offline.reproduce.scores import Recorded, Told, write_scores, write_series
from monitor.offline.reproduce.told_report import write_told

URL = "https://raw.githubusercontent.com/numenta/NAB/ea702d75cc2258d9d7dd35ca8e5e2539d71f3140/"
REGISTRY = Path(__file__).with_name("nab.sha256")
STANDARD = "standard"
TOGETHER = "together"  # what the detectors say together, in the place of a detector's name


class Published(NamedTuple):
    """A row of the leaderboard: the three profiles."""

    name: str
    standard: float
    low_false_alarms: float
    low_misses: float


# The scoreboard in the README of github.com/numenta/NAB, the known ones; of HTM,
# whose seeds differ, the best.
PUBLISHED = (
    Published("ARTime", 74.9, 65.1, 80.4),
    Published("Numenta HTM", 70.5, 62.6, 75.2),
    Published("CAD OSE", 69.9, 67.0, 73.2),
    Published("KNN CAD", 58.0, 43.4, 64.8),
    Published("Relative Entropy", 54.6, 47.6, 58.8),
    Published("Random Cut Forest", 51.7, 38.4, 59.7),
    Published("Windowed Gaussian", 39.6, 20.9, 47.4),
)


def run(
    data: Path | None,
    *,
    json_file: Path | None = None,
    scores: Path | None = None,
    report: Path | None = None,
) -> None:
    """The command: run the benchmark, print the table and write figures and scores."""
    journal.configure(json=False, quiet=True)
    folder = find(data, "nab", listed(REGISTRY)) or download("nab", URL, REGISTRY)
    began = time.perf_counter()
    series, profiles = read_series(folder), read_profiles(folder)
    detectors, scored = _with_progress(series)
    judged = marked(series, scored)
    found = figures(judged, profiles)
    found["seconds"] = round(time.perf_counter() - began, 1)
    if scores:
        write_series(scores, recorded(detectors, series, scored))
        write_scores(scores, "nab", told(detectors, series, scored, judged))
    if report:
        cut = {TOGETHER: found["thresholds"][STANDARD]}
        write_told(report, "NAB", told(detectors, series, scored, judged), cut)
    console = Console()
    console.print(table(found))
    console.print(f"configuration of every series: {CONFIGURATION}")
    if json_file:
        write_figures(json_file, found)


def figures(found: Mapping[str, Marked], profiles: Mapping[str, Profile]) -> dict[str, Any]:
    """The score in each profile with the threshold that is best for it, as the benchmark has it;
    and for the standard profile with thresholds that the other groups of series chose.
    """
    every = list(found.values())
    reached = {name: best(every, profile) for name, profile in profiles.items()}
    standard = profiles[STANDARD]
    at = reached[STANDARD].threshold
    return {
        **{name: round(one.score, 2) for name, one in reached.items()},
        "leave_one_group_out_standard": round(leave_one_group_out(by_group(found), standard), 2),
        "thresholds": {name: one.threshold for name, one in reached.items()},
        "series": len(found),
        "rows": sum(len(one.scores) for one in every),
        "files": {name: round(total_at(one, standard, at), 3) for name, one in found.items()},
    }


def recorded(
    detectors: Sequence[str], series: Mapping[str, Series], scored: Mapping[str, Scored]
) -> Iterator[Recorded]:
    """What each detector says of each series, and what they say together, with the benchmark's
    score as the value.
    """
    for name, said in scored.items():
        stamps = pd.to_datetime(series[name].time, unit="s")
        columns = zip(detectors, said.raw.T, said.value.T, strict=True)
        for detector, raw, value in [*columns, (TOGETHER, said.fused, said.score)]:
            yield Recorded(name, stamps, detector, raw, value)


def told(
    detectors: Sequence[str],
    series: Mapping[str, Series],
    scored: Mapping[str, Scored],
    found: Mapping[str, Marked],
) -> Iterator[Told]:
    """What each detector says of every record, in units of its threshold, and the benchmark's score
    of what they say together; anomalous are the records inside of labelled windows.
    """
    for name, said in scored.items():
        stamps = pd.to_datetime(series[name].time, unit="s").astype(str)
        items = [f"{name}/{stamp}" for stamp in stamps]
        labels = (found[name].window >= 0).astype(np.int64)
        columns = zip(detectors, said.value.T, strict=True)
        for detector, value in [*columns, (TOGETHER, said.score)]:
            yield Told(items, labels, detector, value)


def table(found: Mapping[str, Any]) -> Table:
    """Ours and the leaderboard."""
    title = f"Numenta Anomaly Benchmark: {found['series']} series, {found['rows']:,} rows"
    shown = Table("detector", title=title, box=SIMPLE_HEAD, show_edge=False)
    for column in (STANDARD, "low FP rate", "low FN rate", "leave one group out"):
        shown.add_column(column, justify="right")
    keys = STANDARD, "reward_low_FP_rate", "reward_low_FN_rate", "leave_one_group_out_standard"
    shown.add_row(f"monitor ({found['seconds']:.0f} s)", *(f"{found[key]:.1f}" for key in keys))
    for name, *published in PUBLISHED:
        shown.add_row(name, *(f"{score:.1f}" for score in published), "")
    return shown


def _with_progress(series: Mapping[str, Series]) -> tuple[tuple[str, ...], dict[str, Scored]]:
    """Scores of all rows, and a progress bar for a person at a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("scoring", total=int(np.sum([len(s.value) for s in series.values()])))
        return score_series(series, configuration(), lambda rows: bar.advance(task, rows))
