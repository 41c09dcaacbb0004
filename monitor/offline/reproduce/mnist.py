"""`monitor reproduce mnist`: autoencoders that have seen nothing but 1s tell them from 9s.

The dense net 784-392-64-392-784 is the usual first example; both nets learn to rebuild digits from
noisy ones. The cut is the 99th percentile of the scores of 1s that were held out of training, never
of test images, and what is reported is the mean, spread and worst of several seeds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table

from monitor import journal
from monitor.offline.figures import write_figures
from monitor.offline.reproduce.image_report import Done, examples, write_report
from monitor.offline.reproduce.image_sets import ImageSet, digits
from monitor.offline.reproduce.image_trials import (
    Outcome,
    Trial,
    figures,
    side_by_side,
    spread,
    told,
    tried,
)
from monitor.offline.reproduce.scores import write_scores

CLEAN = {"noise": 1.0, "trim": 0.0}
DETECTORS: Mapping[str, Mapping[str, Any]] = {
    "dense_ae": {"widths": [392], "latent": 64, **CLEAN},
    "conv_ae": CLEAN,
}
REPORTED = "dense_ae"
SEEDS = 3
_BARS, _WIDEST = 24, 30
TITLE = "MNIST: nets that know 1s, shown 9s"
_FIGURES = ("auroc", "f1_at_cut", "recall_at_cut", "false_alarm_rate_at_cut", "fit_seconds")


class Options(NamedTuple):
    """What to write, and how many seeds; none of the files is written unless it is named."""

    seeds: int = SEEDS
    json_file: Path | None = None
    scores: Path | None = None
    report_file: Path | None = None


class Job(NamedTuple):
    """A trial in a process of its own."""

    data: Path | None
    trial: Trial
    shown: bool


def run(data: Path | None, options: Options) -> None:
    """The command."""
    journal.configure(json=False, quiet=True)
    began = time.perf_counter()
    images = digits(data)
    trials = [Trial(d, p, seed) for d, p in DETECTORS.items() for seed in range(options.seeds)]
    jobs = [Job(data, t, bool(options.report_file) and t.seed == 0) for t in trials]
    done = side_by_side(measured, jobs, "digits")
    found = summary(images, [one.outcome for one in done])
    found["seconds"] = round(time.perf_counter() - began, 1)
    if options.scores:
        write_scores(options.scores, "mnist", told(images, [one.outcome for one in done]))
    Console().print(shown(images, done, found))
    if options.json_file:
        write_figures(options.json_file, found)
    if options.report_file:
        write_report(options.report_file, TITLE, images, done)


def measured(job: Job) -> Done:
    """Train and judge one."""
    images = digits(job.data)
    model, outcome = tried(job.trial, images)
    return Done(outcome, examples(model, images, outcome) if job.shown else ())


def summary(images: ImageSet, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """`auroc` and `f1_at_cut` are the means over seeds of REPORTED; then every detector's."""
    found: dict[str, Any] = {}
    for detector in DETECTORS:
        own = [o for o in outcomes if o.trial.detector == detector]
        found[detector] = spread([figures(images, o) for o in own])
    best = found[REPORTED]
    return {
        "detector": REPORTED,
        "auroc": best["auroc"]["mean"],
        "f1_at_cut": best["f1_at_cut"]["mean"],
        "seeds": len(outcomes) // len(DETECTORS),
        "detectors": found,
    }


def shown(images: ImageSet, done: Sequence[Done], found: Mapping[str, Any]) -> Group:
    """Figures by detector, and the first seed's scores by digit: means, and a histogram."""
    firsts = [one.outcome for one in done if one.outcome.trial.seed == 0]
    parts = [_figures_table(found), *(_digit_table(images, outcome) for outcome in firsts)]
    reported = next(o for o in firsts if o.trial.detector == REPORTED)
    return Group(*parts, histogram(images, reported))


def histogram(images: ImageSet, outcome: Outcome) -> Table:
    """How many images of each class have which score; scores on a log scale."""
    edges = np.geomspace(outcome.scores.min(), outcome.scores.max(), _BARS + 1)
    table = Table(
        title=f"{outcome.trial.detector}: images by score", box=None, title_justify="left"
    )
    table.add_column("score", justify="right")
    counts = {}
    for name in sorted(set(images.classes)):
        own = outcome.scores[np.array(images.classes) == name]
        counts[name] = np.histogram(np.clip(own, edges[0], edges[-1]), edges)[0]
        table.add_column(name)
    most = max(int(own.max()) for own in counts.values())
    for n in range(_BARS):
        at_cut = " cut" if edges[n] <= outcome.cut < edges[n + 1] else ""
        bars = [_bar(int(own[n]), most) for own in counts.values()]
        table.add_row(f"{edges[n]:.2f}{at_cut}", *bars)
    return table


def _figures_table(found: Mapping[str, Any]) -> Table:
    title = f"MNIST, 1 against 9: mean (worst) of {found['seeds']} seeds"
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False)
    table.caption = (
        f"cut: 99th percentile of held-out 1s; {found['seconds']:.0f} s; figures of the JSON: "
        f"{found['detector']}"
    )
    for head in ("detector", "AUROC", "F1 at the cut", "found", "false alarms", "s to train"):
        table.add_column(head, justify="left" if head == "detector" else "right")
    for detector, own in found["detectors"].items():
        cells = []
        for key in _FIGURES:
            worst = "most" if key in ("false_alarm_rate_at_cut", "fit_seconds") else "least"
            digits_shown = 1 if key == "fit_seconds" else 4
            mean, end = own[key]["mean"], own[key][worst]
            cells.append(f"{mean:.{digits_shown}f} ({end:.{digits_shown}f})")
        table.add_row(detector, *cells)
    return table


def _digit_table(images: ImageSet, outcome: Outcome) -> Table:
    table = Table(title=f"{outcome.trial.detector}: scores by digit", box=SIMPLE_HEAD)
    for head in ("digit", "images", "mean", "median", "over the cut"):
        table.add_column(head, justify="right")
    for name in sorted(set(images.classes)):
        own = outcome.scores[np.array(images.classes) == name]
        over = (own > outcome.cut).mean()
        cells = f"{len(own):,}", f"{own.mean():.3f}", f"{np.median(own):.3f}", f"{over:.2%}"
        table.add_row(name, *cells)
    return table


def _bar(count: int, most: int) -> str:
    return "#" * max(round(_WIDEST * count / most), int(count > 0))
