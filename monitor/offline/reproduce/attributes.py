"""`monitor reproduce attributes`: nets that have seen no face with glasses find the glasses.

The well-known experiment is done on photographs of faces, split by an attribute; here the faces are
drawn (`faces.py`), so that it is known which pixels are the glasses. The cut is the 99th percentile
of the scores of faces that were held out of training.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from monitor import journal
from monitor.offline.figures import write_figures
from monitor.offline.reproduce.faces import faces
from monitor.offline.reproduce.image_methods import pixel_auroc
from monitor.offline.reproduce.image_report import Done, examples, write_report
from monitor.offline.reproduce.image_trials import Trial, figures, side_by_side, spread, told, tried
from monitor.offline.reproduce.mnist import Options
from monitor.offline.reproduce.scores import write_scores

DETECTORS: Mapping[str, Mapping[str, Any]] = {"conv_ae": {}, "dense_ae": {}}
REPORTED = "conv_ae"
TITLE = "Drawn faces: nets that know none with glasses"
_FIGURES = ("auroc", "pixel_auroc", "f1_at_cut", "false_alarm_rate_at_cut")


class Found(NamedTuple):
    """The outcome of one trial with its figures."""

    done: Done
    figures: Mapping[str, float]


def run(options: Options) -> None:
    """The command."""
    journal.configure(json=False, quiet=True)
    began = time.perf_counter()
    trials = [Trial(d, p, seed) for d, p in DETECTORS.items() for seed in range(options.seeds)]
    found = side_by_side(measured, trials, "faces")
    told_of = summary(found)
    told_of["seconds"] = round(time.perf_counter() - began, 1)
    Console().print(table(told_of))
    done = [one.done for one in found]
    if options.scores:
        write_scores(options.scores, "attributes", told(faces(), [one.outcome for one in done]))
    if options.json_file:
        write_figures(options.json_file, told_of)
    if options.report_file:
        write_report(options.report_file, TITLE, faces(), done)


def measured(trial: Trial) -> Found:
    """Train on faces without glasses, judge others, and compare heat maps with the glasses."""
    images = faces()
    model, outcome = tried(trial, images)
    shots = () if trial.seed else examples(model, images, outcome)
    own = figures(images, outcome)
    return Found(Done(outcome, shots), {**own, "pixel_auroc": pixel_auroc(model, images) or 0.0})


def summary(found: Sequence[Found]) -> dict[str, Any]:
    """`auroc` and `pixel_auroc` are the means over seeds of REPORTED; then every detector's."""
    own = {
        name: spread([one.figures for one in found if one.done.outcome.trial.detector == name])
        for name in DETECTORS
    }
    return {
        "detector": REPORTED,
        "auroc": own[REPORTED]["auroc"]["mean"],
        "pixel_auroc": own[REPORTED]["pixel_auroc"]["mean"],
        "simulated": True,
        "seeds": len(found) // len(DETECTORS),
        "detectors": own,
    }


def table(found: Mapping[str, Any]) -> Table:
    """Mean and worst of each figure."""
    title = f"Drawn faces, glasses: mean (worst) of {found['seeds']} seeds"
    shown = Table(title=title, box=SIMPLE_HEAD, show_edge=False)
    shown.caption = f"simulated; cut: 99th percentile of held-out faces; {found['seconds']:.0f} s"
    for head in ("detector", "AUROC", "pixel AUROC", "F1 at the cut", "false alarms"):
        shown.add_column(head, justify="left" if head == "detector" else "right")
    for name, own in found["detectors"].items():
        ends = {key: "most" if key.startswith("false") else "least" for key in _FIGURES}
        cells = [f"{own[key]['mean']:.3f} ({own[key][end]:.3f})" for key, end in ends.items()]
        shown.add_row(name, *cells)
    return shown
