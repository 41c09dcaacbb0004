"""`monitor reproduce fashion`: sneakers are normal, ankle boots are not, and ten boots are known.

Metric learning without and with the ten labelled anomalies, and DOC, over several seeds: mean,
spread and worst. The cut is the 99th percentile of the scores of sneakers that nothing was learned
from, never of pictures that are judged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from monitor import journal
from monitor.errors import ConfigError
from monitor.model import Model
from monitor.offline.figures import write_figures
from monitor.offline.measures import ranking
from monitor.offline.reproduce.fashion_data import SIDE, TRAINED, Pixels, Split, clothes, split
from monitor.offline.reproduce.image_trials import constants, cut_of, side_by_side, spread
from monitor.offline.reproduce.scores import Told, write_scores
from monitor.recipe import Recipe, train
from monitor.types import Array

PLAIN, WEAK, DOC = "plain", "weak", "doc"
ARMS = (PLAIN, WEAK, DOC)
LEARNERS = ("l2_softmax", "adacos")
# AUROC and accuracy of the best of ten runs with LOF, the worst of the plain ones .65, as a
# Japanese tutorial on "weak anomaly detection" (8-class references, MobileNetV2) reports them.
PUBLISHED = {PLAIN: (0.93, 0.90), WEAK: (0.99, 0.97), DOC: (0.90, 0.83)}


class Options(NamedTuple):
    """How many seeds, which learner, and what to write; no file is written unless it is named."""

    seeds: int = 10
    detector: str = LEARNERS[0]
    json_file: Path | None = None
    scores: Path | None = None


class Job(NamedTuple):
    """One training; `arm` is one of ARMS."""

    data: Path | None
    detector: str
    arm: str
    seed: int
    params: Mapping[str, Any] = {}


class Outcome(NamedTuple):
    """Scores of the judged pictures by each head, the product's own first; its cut; CPU seconds."""

    job: Job
    scores: Mapping[str, Array]
    truth: NDArray[np.int64]
    items: Sequence[str]
    cut: float
    cpu_seconds: float


def run(data: Path | None, options: Options) -> None:
    """The command."""
    journal.configure(json=False, quiet=True)
    if options.detector not in LEARNERS:
        raise ConfigError(f"detector is {options.detector!r}; valid are {', '.join(LEARNERS)}")
    began = time.perf_counter()
    jobs = [Job(data, options.detector, arm, seed) for seed in range(options.seeds) for arm in ARMS]
    outcomes = side_by_side(tried, jobs, "trainings")
    found = summary(outcomes)
    found["seconds"] = round(time.perf_counter() - began, 1)
    if options.scores:
        write_scores(options.scores, "fashion", told(outcomes))
    Console().print(table(found))
    if options.json_file:
        write_figures(options.json_file, found)


def tried(job: Job) -> Outcome:
    """Train on one split as `monitor train` does it, and score what it is judged on."""
    own = split(clothes(job.data), job.seed)
    began = time.process_time()
    model = trained(job, own)
    x = rows(own.judged)
    detector: Any = model.detector
    scores = {detector.head: model.score(x, constants(model, len(x)))}
    for head in detector.heads[1:]:
        detector.rejudge(head, *_lesson(job, own, model))
        scores[head] = detector.score(_scaled(own.judged, model))
    taken = time.process_time() - began
    return Outcome(job, scores, own.truth, own.items, cut_of(model), taken)


def trained(job: Job, own: Split) -> Model:
    """The model: sneakers of a camera, and a catalogue of other clothes, with boots if `weak`."""
    others = own.references if job.arm != WEAK else np.concatenate([own.references, own.known])
    recipe = Recipe(
        detector="doc" if job.arm == DOC else job.detector,
        name="shoes",
        shape=(1, SIDE * SIDE),
        channels=("gray",),
        rate=1.0,
        params={**job.params, "seed": job.seed},
        front={"frame": [SIDE, SIDE], "color": "gray"},
        gap=0,
    )
    labels = {"camera": np.full(len(own.normal), -1, np.float32), "catalogue": _classes(job, own)}
    return train(recipe, {"camera": rows(own.normal), "catalogue": rows(others)}, labels)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Mean, spread and worst AUROC of each arm, by the head that serves and by each other one."""
    found: dict[str, Any] = {"seeds": len(outcomes) // len(ARMS)}
    for arm in ARMS:
        own = [outcome for outcome in outcomes if outcome.job.arm == arm]
        heads = {head: spread([_ranked(o, head) for o in own]) for head in own[0].scores}
        served = next(iter(heads))
        auroc = heads[served]["auroc"]
        found |= {f"{arm}_mean": auroc["mean"], f"{arm}_worst": auroc["least"]}
        found[f"{arm}_sd"] = auroc["sd"]
        at_cut = spread([_at_cut(outcome) for outcome in own])
        found[arm] = {"served_by": served, "heads": heads, "at_cut": at_cut}
    pairs = zip(_served(outcomes, PLAIN), _served(outcomes, WEAK), strict=True)
    found["weak_beats_plain"] = sum(weak > plain for plain, weak in pairs)
    found["cpu_seconds"] = round(sum(outcome.cpu_seconds for outcome in outcomes), 1)
    return found


def told(outcomes: Sequence[Outcome]) -> Iterator[Told]:
    """Scores as they are written, by detector, arm, head and seed."""
    for job, scores, truth, items, _, _ in outcomes:
        name = "doc" if job.arm == DOC else f"{job.detector}-{job.arm}"
        for head, values in scores.items():
            yield Told(items, truth, f"{name}/{head}/seed {job.seed}", values)


def table(found: Mapping[str, Any]) -> Table:
    """Each arm and head beside what was published."""
    shown = Table(title=f"Sneakers and boots, {found['seeds']} seeds", box=SIMPLE_HEAD)
    shown.caption = (
        f"AUROC; weak beats plain in {found['weak_beats_plain']} of {found['seeds']} seeds; right, "
        f"and false alarms: at the 99th percentile of held-out sneakers; published: AUROC and "
        f"accuracy, best of ten runs (worst plain one .65); {found['seconds']:.0f} s"
    )
    for head in ("arm", "head", "mean", "sd", "worst", "right", "false", "published"):
        justify: Literal["left", "right"] = "left" if head in ("arm", "head") else "right"
        shown.add_column(head, justify=justify, no_wrap=True)
    for arm in ARMS:
        own = found[arm]
        for head, figures in own["heads"].items():
            auroc, cut, best = figures["auroc"], own["at_cut"], PUBLISHED[arm]
            cells = [f"{auroc[key]:.4f}" for key in ("mean", "sd", "least")]
            served = head == own["served_by"]
            cells += [f"{cut[k]['mean']:.3f}" if served else "" for k in ("accuracy", "false")]
            cells.append(f"{best[0]:.2f} {best[1]:.0%}" if head == "lof" else "")
            shown.add_row(arm, head, *cells)
    return shown


def rows(pictures: Pixels) -> Array:
    """As the pipeline carries them: `(n, 28, 28) -> (n, 1, 784)`."""
    return pictures.reshape(len(pictures), 1, -1).astype(np.float32)


def _scaled(pictures: Pixels, model: Model) -> Array:
    centre, scale = model.group[:, 0]
    found: Array = ((pictures[:, None] - centre) / scale).astype(np.float32)
    return found


def _lesson(job: Job, own: Split, model: Model) -> tuple[Array, Array]:
    """What is normal, and what is known not to be, as the model's detector sees it."""
    known = own.known if job.arm == WEAK else own.known[:0]
    x = np.concatenate([own.normal[:TRAINED], known])
    return _scaled(x, model), np.repeat(np.array([-1, 1], np.float32), [TRAINED, len(known)])


def _classes(job: Job, own: Split) -> Array:
    """2, 3, ... for the other clothes, 1 for the boots."""
    labels = own.classes + 2
    if job.arm == WEAK:
        labels = np.concatenate([labels, np.ones(len(own.known), np.int64)])
    return labels.astype(np.float32)


def _served(outcomes: Sequence[Outcome], arm: str) -> list[float]:
    """The AUROC of each seed, by the head that serves."""
    own = [outcome for outcome in outcomes if outcome.job.arm == arm]
    return [_ranked(outcome, next(iter(outcome.scores)))["auroc"] for outcome in own]


def _ranked(outcome: Outcome, head: str) -> dict[str, float]:
    found = ranking(outcome.truth.astype(np.int8), outcome.scores[head])
    return {"auroc": found.auroc or 0.0, "auprc": found.auprc or 0.0}


def _at_cut(outcome: Outcome) -> dict[str, float]:
    flagged = next(iter(outcome.scores.values())) > outcome.cut
    bad = outcome.truth == 1
    return {
        "accuracy": float((flagged == bad).mean()),
        "recall": float(flagged[bad].mean()),
        "false": float(flagged[~bad].mean()),
    }
