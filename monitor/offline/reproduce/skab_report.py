"""What comes of the Skoltech Anomaly Benchmark: figures, a table beside the published ones, CSV."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from monitor import journal
from monitor.errors import ConfigError
from monitor.offline.figures import write_figures
from monitor.offline.measures import ranking
from monitor.offline.reproduce.scores import Recorded, Told, write_scores, write_series
from monitor.offline.reproduce.skab import (
    CHANGES,
    OUTLIERS,
    PAUSE,
    TRAINING,
    Scored,
    find_runs,
    read_runs,
    score_runs,
)
from monitor.offline.reproduce.skab_scoring import (
    Changes,
    ChangeScore,
    Ratios,
    Rows,
    change_score,
    leave_one_out,
    rows_at,
    told_once,
)
from monitor.offline.reproduce.told_report import write_told

FLOOR_ROW, FLOOR_PERIOD = 550, 60  # what needs no data: see `floors`


class Published(NamedTuple):
    """A row of the leaderboard: F1, FAR, MAR of outliers, NAB (standard) of change points."""

    name: str
    outliers: tuple[float, float, float] | None
    changes: float | None


# The README of github.com/waico/SKAB, "Proposed leaderboard": test rows alone, windows of 60 s to
# the right of a change.
PUBLISHED = (
    Published("Conv-AE", (0.78, 0.1355, 0.2802), 23.61),
    Published("MSET", (0.78, 0.3973, 0.1413), 13.84),
    Published("T-squared+Q (PCA)", (0.76, 0.2662, 0.2492), 25.35),
    Published("LSTM-AE", (0.74, 0.2996, 0.2592), 23.51),
    Published("T-squared", (0.66, 0.1921, 0.4260), 19.54),
    Published("Isolation forest", (0.29, 0.0256, 0.8289), 26.16),
    Published("MSCRED", (0.36, 0.4994, 0.6988), 32.42),
)


def run(
    data: Path | None = None,
    *,
    json_file: Path | None = None,
    scores: Path | None = None,
    report: Path | None = None,
) -> None:
    """The command: run the benchmark, print a table beside the leaderboard, write figures."""
    journal.configure(json=False, quiet=True)
    runs = read_runs(find_runs(data))
    began = time.perf_counter()
    outliers = score_runs(runs, OUTLIERS, progress=True)
    changes = score_runs(runs, CHANGES, progress=True)
    found = {**figures(outliers, changes), "seconds": round(time.perf_counter() - began, 1)}
    if scores:
        write(scores, {OUTLIERS.detector: outliers, f"{CHANGES.detector}-change": changes})
    if report:
        write_told(report, "SKAB", told(OUTLIERS.detector, outliers), {OUTLIERS.detector: 1.0})
    Console().print(table(found))
    if json_file:
        write_figures(json_file, found)


def figures(outliers: Sequence[Scored], changes: Sequence[Scored]) -> dict[str, Any]:
    """All numbers. `f1_label_free` has the cut of held-out training rows, `f1_live` the thresholds
    of the product as they moved, `f1_leave_one_out` a multiplier of the cut that is best on all
    other runs, so with their labels.
    """
    ratios = [Ratios(run.truth, run.value) for run in outliers]
    live = [Ratios(run.truth, run.raw / run.moving) for run in outliers]
    auroc = {run.run.name: _auroc(run) for run in outliers}
    worst = min(auroc, key=auroc.__getitem__)
    left_out = leave_one_out(ratios)
    return {
        **_named(rows_at(ratios, [1.0] * len(ratios)), "f1_label_free", ""),
        **_named(left_out.rows, "f1_leave_one_out", "_leave_one_out"),
        **_named(rows_at(live, [1.0] * len(live)), "f1_live", "_live"),
        "auroc": float(np.mean(list(auroc.values()))),
        "auroc_spread": float(np.std(list(auroc.values()))),
        "auroc_worst": {"file": worst, "auroc": auroc[worst]},
        **_changes(change_score([_told(run) for run in changes])),
        "floors": floors(outliers),
        "files": {run.run.name: _of_file(run, auroc) for run in outliers},
        "multipliers": list(left_out.multipliers),
    }


def floors(scored: Sequence[Scored]) -> dict[str, Any]:
    """What rules get that look at no data: all rows from FLOOR_ROW on are anomalous, and a change
    is told every FLOOR_PERIOD rows. A figure says little unless it is well above these.
    """
    late = [Ratios(r.truth, _after(r, FLOOR_ROW)) for r in scored]
    periodic = [_at(r, np.arange(1, len(r.truth) + 1) % FLOOR_PERIOD == 0) for r in scored]
    rows, told = rows_at(late, [0.5] * len(late)), change_score(periodic)
    return {
        "anomalous_from_row": FLOOR_ROW,
        **_named(rows, "f1", ""),
        "change_told_every": FLOOR_PERIOD,
        **_changes(told),
    }


def write(folder: Path, found: Mapping[str, Sequence[Scored]]) -> None:
    """Every score: a CSV for each run and detector, and all in one with the labels."""
    every = [(name, one) for name, scored in found.items() for one in scored]
    rows = [
        Recorded(one.run.name, one.run.stamps[TRAINING:], name, one.raw, one.value)
        for name, one in every
    ]
    write_series(folder, rows)
    write_scores(folder, "skab", chain(*(told(name, scored) for name, scored in found.items())))


def told(detector: str, scored: Sequence[Scored]) -> Iterator[Told]:
    """Every row of each run after its training, with its score in units of the cut from there."""
    for one in scored:
        items = [f"{one.run.name}/{stamp}" for stamp in one.run.stamps[TRAINING:]]
        yield Told(items, one.truth.astype(np.int64), detector, one.value)


def table(found: Mapping[str, Any]) -> Table:
    """Ours, the leaderboard's best, and what needs no data."""
    heads = "F1", "FAR %", "MAR %", "AUROC", "changes"
    shown = Table(title="SKAB", box=SIMPLE_HEAD, show_edge=False)
    shown.caption = "rows pooled over 34 runs, causal; changes: NAB (standard), 60 s"
    shown.add_column("method")
    for head in heads:
        shown.add_column(head, justify="right")
    for name, key, end in (
        ("monitor, cut without labels", "f1_label_free", ""),
        ("monitor, its own thresholds", "f1_live", "_live"),
        ("monitor, labels of other runs", "f1_leave_one_out", "_leave_one_out"),
    ):
        ours = found[key], found[f"far{end}"], found[f"mar{end}"]
        shown.add_row(name, *_percent(ours), f"{found['auroc']:.3f}", _one(found, end))
    shown.add_section()
    for row in PUBLISHED:
        changes = "-" if row.changes is None else f"{row.changes:.1f}"
        shown.add_row(row.name, *_percent(row.outliers), "-", changes)
    shown.add_section()
    floor = found["floors"]
    late = _percent((floor["f1"], floor["far"], floor["mar"]))
    shown.add_row(f"no data: from row {FLOOR_ROW} on", *late, "-", "-")
    every = f"{floor['changepoint_standard']:.1f}"
    shown.add_row(f"no data: each {FLOOR_PERIOD} rows", "-", "-", "-", "-", every)
    return shown


def _one(found: Mapping[str, Any], end: str) -> str:
    return f"{found['changepoint_standard']:.1f}" if not end else ""


def _percent(rows: tuple[float, float, float] | None) -> tuple[str, str, str]:
    if rows is None:
        return "-", "-", "-"
    return f"{rows[0]:.3f}", f"{100 * rows[1]:.1f}", f"{100 * rows[2]:.1f}"


def _named(rows: Rows, f1: str, end: str) -> dict[str, float]:
    return {f1: rows.f1, f"far{end}": rows.far, f"mar{end}": rows.mar}


def _changes(score: ChangeScore) -> dict[str, float]:
    return {
        "changepoint_standard": score.standard,
        "changepoint_low_fp": score.low_false_alarms,
        "changepoint_low_fn": score.low_missed,
        "changepoints": score.changes,
        "changepoints_missed": score.missed,
        "changepoints_false": score.false,
    }


def _of_file(run: Scored, auroc: Mapping[str, float]) -> dict[str, float]:
    rows = rows_at([Ratios(run.truth, run.value)], [1.0])
    return {"auroc": auroc[run.run.name], **_named(rows, "f1_label_free", ""), "cut": run.cut}


def _auroc(run: Scored) -> float:
    found = ranking(run.truth.astype(np.int8), run.raw).auroc
    if found is None:
        raise ConfigError(f"{run.run.name}: all rows after the first {TRAINING} are of one kind")
    return found


def _told(run: Scored) -> Changes:
    return _at(run, told_once(run.value > 1, PAUSE))


def _at(run: Scored, told: Any) -> Changes:
    times, changing = run.run.times[TRAINING:], run.run.changing[TRAINING:]
    return Changes(times, times[changing], told)


def _after(run: Scored, row: int) -> Any:
    return (np.arange(len(run.truth)) >= row - TRAINING).astype(np.float64)
