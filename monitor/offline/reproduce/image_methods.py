"""`monitor reproduce methods`: every trained detector of the table on the same pictures.

Two sets: parts on a simulated conveyor, of which some have a defect, and shoes of Fashion-MNIST,
sneakers being normal and ankle boots not. All with their default parameters and one seed, trained
and served as `monitor train` does it on normal pictures alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from monitor import journal
from monitor.detect import DETECTORS, learns_online
from monitor.errors import ConfigError, ModelError
from monitor.model import Model
from monitor.offline.figures import write_figures
from monitor.offline.measures import ranking
from monitor.offline.reproduce.image_sets import ImageSet, conveyor, shoes
from monitor.offline.reproduce.image_trials import (
    Outcome,
    Trial,
    constants,
    rows,
    side_by_side,
    told,
    trained,
)
from monitor.offline.reproduce.scores import write_scores
from monitor.types import Array

SETS: Mapping[str, Callable[[Path | None], ImageSet]] = {
    "conveyor": lambda _: conveyor(),
    "shoes": shoes,
}
_TIMED = 64
_FIGURES = ("auroc", "auprc", "f1_best", "pixel_auroc")


class Options(NamedTuple):
    """Which detectors (all if none is named), each so-manieth image, and the files to write."""

    detectors: tuple[str, ...] = ()
    every: int = 1
    json_file: Path | None = None
    scores: Path | None = None


class Job(NamedTuple):
    """One detector on one set."""

    data: Path | None
    of: str
    detector: str
    every: int


@dataclass(frozen=True, slots=True)
class Figures:
    """AUROC, AUPRC, best F1 (an oracle: its cut was chosen on these very labels), and costs.

    `pixel_auroc` ranks the pixels of anomalous pictures by their heat maps against the masks; None
    where there are no masks, or the detector cannot say. `refused` says why there are no figures.
    """

    detector: str
    of: str
    auroc: float | None = None
    auprc: float | None = None
    f1_best: float | None = None
    pixel_auroc: float | None = None
    fit_seconds: float | None = None
    frames_per_second: float | None = None
    refused: str = ""


class Done(NamedTuple):
    """The figures, and the scores where there are any."""

    figures: Figures
    outcome: Outcome | None


def run(data: Path | None, options: Options) -> None:
    """The command."""
    journal.configure(json=False, quiet=True)
    began = time.perf_counter()
    names = chosen(options.detectors)
    sets = {name: make(data).thinned(options.every) for name, make in SETS.items()}
    jobs = [Job(data, of, name, options.every) for of in SETS for name in names]
    done = side_by_side(measured, jobs, "detectors on images")
    for of in SETS:
        Console().print(table(of, [one.figures for one in done if one.figures.of == of]))
    if options.scores:
        for of, images in sets.items():
            own = [one.outcome for one in done if one.figures.of == of and one.outcome]
            write_scores(options.scores, f"methods-{of}", told(images, own))
    if options.json_file:
        found: dict[str, object] = {
            of: {d.figures.detector: asdict(d.figures) for d in done if d.figures.of == of}
            for of in SETS
        }
        found["seconds"] = round(time.perf_counter() - began, 1)
        write_figures(options.json_file, found)


def measured(job: Job) -> Done:
    """Train and judge; the reason where a detector cannot be trained on such a set."""
    images = SETS[job.of](job.data).thinned(job.every)
    try:
        return measure(job.detector, images)
    except (ConfigError, ModelError) as error:
        return Done(Figures(job.detector, images.name, refused=" ".join(str(error).split())), None)


def measure(detector: str, images: ImageSet) -> Done:
    """Train on the normal pictures as they come, and rank the others."""
    began = time.perf_counter()
    model = trained(detector, {}, images.training)
    fitted = time.perf_counter() - began
    x = rows(images.judged)
    scores = model.score(x, constants(model, len(x)))
    found = ranking(images.truth, scores)
    figures = Figures(
        detector,
        images.name,
        found.auroc,
        found.auprc,
        found.f1_best,
        pixel_auroc(model, images),
        round(fitted, 2),
        round(_frames_per_second(model, x[:_TIMED])),
    )
    return Done(figures, Outcome(Trial(detector, {}, 0), scores, 0.0, fitted, 0.0))


def pixel_auroc(model: Model, images: ImageSet) -> float | None:
    """How well heat maps rank the pixels of anomalous pictures; None where nobody can say."""
    if images.masks is None:
        return None
    bad = images.truth == 1
    x = rows(images.judged[bad])
    heat = model.heat_maps(x, constants(model, len(x)))
    return None if heat is None else of_pixels(heat, images.masks[bad])


def of_pixels(heat: Array, masks: NDArray[np.bool_]) -> float | None:
    """AUROC of pixels, of all pictures together: `(N, H, W), (N, H, W)`."""
    return ranking(masks.ravel().astype(np.int8), heat.ravel()).auroc


def chosen(detectors: Sequence[str]) -> list[str]:
    """Those that are trained; ConfigError for a name that is none of them."""
    known = [name for name in sorted(DETECTORS) if not learns_online(name)]
    if strange := [name for name in detectors if name not in known]:
        raise ConfigError(
            f"detector {strange[0]!r} is none that is trained; valid are {', '.join(known)}"
        )
    return list(detectors) or known


def table(of: str, found: Sequence[Figures]) -> Table:
    """The best first; those that cannot be trained on such pictures last."""
    simulated = ", simulated" if of == "conveyor" else ""
    shown = Table(title=f"Trained detectors on {of}{simulated}", box=SIMPLE_HEAD, show_edge=False)
    shown.caption = "F1: at the best cut, an oracle; frames/s: in calls of 64, one process"
    for head in ("detector", "AUROC", "AUPRC", "F1 best", "pixel AUROC", "fit s", "frames/s"):
        shown.add_column(head, justify="left" if head == "detector" else "right")
    for one in sorted(found, key=lambda one: -(one.auroc or 0)):
        if one.refused:
            shown.add_row(one.detector, one.refused[:60])
            continue
        cells = ["-" if (v := getattr(one, key)) is None else f"{v:.3f}" for key in _FIGURES]
        shown.add_row(one.detector, *cells, f"{one.fit_seconds:.1f}", f"{one.frames_per_second:,}")
    return shown


def _frames_per_second(model: Model, x: Array) -> float:
    """By the best of three calls after a first one."""
    taken = []
    for _ in range(4):
        began = time.perf_counter()
        model.score(x, constants(model, len(x)))
        taken.append(time.perf_counter() - began)
    return len(x) / min(taken[1:])
