"""One detector on one set of images: trained as `monitor train` does it, judged once."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, NamedTuple, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import Progress

from monitor.model import Model
from monitor.offline.measures import ranking
from monitor.offline.reproduce.image_sets import ImageSet, Pixels
from monitor.offline.reproduce.scores import Told
from monitor.recipe import Recipe, train
from monitor.types import Array
from monitor.windowing import COLOURS

PROCESSES = 2
QUANTILE = 0.99
_COLOURS = {len(names): names for names in COLOURS.values()}

Job = TypeVar("Job")
Found = TypeVar("Found")


class Trial(NamedTuple):
    """What to train: a detector of the table with parameters; `seed` orders the images, too."""

    detector: str
    params: Mapping[str, Any]
    seed: int

    @property
    def own(self) -> dict[str, Any]:
        """The parameters, with the seed."""
        return {**self.params, "seed": self.seed}


class Outcome(NamedTuple):
    """Scores of the judged images `(m,)`, the cut from held-out normal ones, and seconds."""

    trial: Trial
    scores: Array
    cut: float
    fitted: float
    scored: float


def trained(detector: str, params: Mapping[str, Any], training: Pixels) -> Model:
    """A model of images `(n, C, H, W)`, which are taken to be independent of each other."""
    colours, height, width = training.shape[1:]
    recipe = Recipe(
        detector=detector,
        name="images",
        shape=(colours, height * width),
        channels=_COLOURS[colours],
        rate=1.0,
        params=params,
        front={"frame": [height, width]},
        gap=0,
    )
    return train(recipe, {"camera": rows(training)})


def rows(images: Pixels) -> Array:
    """As the pipeline carries them: `(n, C, H, W) -> (n, C, H * W)`."""
    return images.reshape(*images.shape[:2], -1).astype(np.float32)


def constants(model: Model, count: int) -> Array:
    """The model's constants for each of so many images: `(count, 2, C)`."""
    return np.repeat(model.group[None], count, axis=0)


def cut_of(model: Model) -> float:
    """The 99th percentile of the scores of the normal images that were held out of training."""
    places = np.linspace(0, 1, len(model.calibration))
    return float(np.interp(QUANTILE, places, model.calibration))


def tried(trial: Trial, images: ImageSet) -> tuple[Model, Outcome]:
    """Train on the normal images in a seeded order, and score the others."""
    order = np.random.default_rng(trial.seed).permutation(len(images.training))
    began = time.perf_counter()
    model = trained(trial.detector, trial.own, images.training[order])
    fitted = time.perf_counter()
    scores = model.score(rows(images.judged), constants(model, len(images.judged)))
    scored = time.perf_counter() - fitted
    return model, Outcome(trial, scores, cut_of(model), fitted - began, scored)


def figures(images: ImageSet, outcome: Outcome) -> dict[str, float]:
    """AUROC, AUPRC, the best F1 (an oracle), and what the cut from held-out normals gives."""
    found = ranking(images.truth, outcome.scores)
    bad, told = images.truth == 1, outcome.scores > outcome.cut
    right, flagged = int((bad & told).sum()), int(told.sum())
    return {
        "auroc": found.auroc or 0.0,
        "auprc": found.auprc or 0.0,
        "f1_best_oracle": found.f1_best or 0.0,
        "f1_at_cut": 2 * right / (flagged + int(bad.sum())),
        "recall_at_cut": right / int(bad.sum()),
        "false_alarm_rate_at_cut": int((~bad & told).sum()) / int((~bad).sum()),
        "fit_seconds": round(outcome.fitted, 1),
    }


def spread(found: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, least and most of each figure over several trials."""
    table = {key: np.array([one[key] for one in found]) for key in found[0]}
    return {
        key: {
            "mean": float(values.mean()),
            "sd": float(values.std()),
            "least": float(values.min()),
            "most": float(values.max()),
        }
        for key, values in table.items()
    }


def told(images: ImageSet, outcomes: Sequence[Outcome]) -> Iterator[Told]:
    """Scores as they are written: an item is a set's image by its place and class."""
    items = [f"{images.name}/{n}/{name}" for n, name in enumerate(images.classes)]
    for outcome in outcomes:
        name = f"{outcome.trial.detector}/seed {outcome.trial.seed}"
        yield Told(items, images.truth.astype(np.int64), name, outcome.scores)


def side_by_side(
    work: Callable[[Job], Found], jobs: Sequence[Job], title: str, *, processes: int = PROCESSES
) -> list[Found]:
    """The results of all jobs, in their order, each in one of a few processes."""
    console = Console(stderr=True)
    context = multiprocessing.get_context("spawn")
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
        ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context) as pool,
    ):
        task = bar.add_task(title, total=len(jobs))
        running = {pool.submit(work, job): place for place, job in enumerate(jobs)}
        found: dict[int, Found] = {}
        for done in as_completed(running):
            found[running[done]] = done.result()
            bar.advance(task)
    return [found[place] for place in range(len(jobs))]
