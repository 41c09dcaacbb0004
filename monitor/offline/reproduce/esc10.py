"""`monitor reproduce esc10`: a machine that runs, and sounds that are not its own.

40 clips of helicopters are the machine; clips of chainsaws, rain and dogs are foreign. A detector
learns from clips of some recordings and judges the clips of all others: no recording has clips on
both sides, so what is judged are helicopters, microphones and places that it has never heard. The
cut is the 99th percentile of the scores of normal windows that were held out of training.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from monitor import journal
from monitor.config import parse
from monitor.connect.recording.reading import read_recordings
from monitor.errors import ConfigError
from monitor.model import Model
from monitor.offline.dataset import windows_of
from monitor.offline.figures import write_figures
from monitor.offline.measures import ranking
from monitor.offline.reproduce.data import download, find, listed
from monitor.offline.reproduce.image_trials import cut_of, side_by_side, spread
from monitor.offline.reproduce.scores import Told, write_scores
from monitor.recipe import Recipe, train
from monitor.settings import StreamConfig, Use
from monitor.types import Array

URL = (
    "https://raw.githubusercontent.com/karolpiczak/ESC-10/553c8f1743b9dba6b282e1323c3ca8fa76923448/"
)
REGISTRY = Path(__file__).with_name("esc10.sha256")
CONFIGURATION = Path(__file__).with_name("esc10.yaml")
NORMAL = "helicopter"
FOLDERS = {  # of the data set, and where they are called otherwise
    "007%20-%20Helicopter": NORMAL,
    "008%20-%20Chainsaw": "chainsaw",
    "002%20-%20Rain": "rain",
    "001%20-%20Dog%20bark": "dog_bark",
}
SEEDS = 10
TRAINED = 0.6  # of the normal clips
SPLITS = ("source", "clip")


class Clip(NamedTuple):
    """One file: `FOLD-SOURCE-TAKE`, and its spectrograms `(n, F, T)` in the order of time."""

    kind: str
    name: str
    windows: Array

    @property
    def source(self) -> str:
        """The recording that it was cut from."""
        return self.name.rpartition("-")[0]


class Options(NamedTuple):
    """What to run and to write; `detectors` are all of the configuration where none is named."""

    seeds: int = SEEDS
    detectors: Sequence[str] = ()
    split: str = "source"
    json_file: Path | None = None
    scores: Path | None = None


class Job(NamedTuple):
    """One detector on one split."""

    data: Path | None
    detector: str
    seed: int
    split: str


class Outcome(NamedTuple):
    """The clips that were judged: their names and kinds, scores `(n,)`, and the cut."""

    job: Job
    items: list[str]
    kinds: list[str]
    scores: Array
    cut: float


def run(data: Path | None, options: Options) -> None:
    """The command."""
    journal.configure(json=False, quiet=True)
    began = time.perf_counter()
    if options.split not in SPLITS:
        raise ConfigError(f"split {options.split!r}: valid are {', '.join(SPLITS)}")
    names = _chosen(options.detectors)
    find_clips(data)  # a download, or a mistake, before processes are made
    jobs = [Job(data, n, seed, options.split) for n in names for seed in range(options.seeds)]
    outcomes = side_by_side(judged, jobs, "splits")
    found = {**summary(outcomes), "seconds": round(time.perf_counter() - began, 1)}
    if options.scores:
        write_scores(options.scores, "esc10", [told(outcome) for outcome in outcomes])
    Console().print(table(found))
    if options.json_file:
        write_figures(options.json_file, found)


def stream() -> StreamConfig:
    """The one configuration that is used."""
    return parse(CONFIGURATION.read_text("utf-8"), str(CONFIGURATION)).streams["clips"]


def uses() -> dict[str, Use]:
    """Detectors of the configuration by their names."""
    return {use.reference.label: use for rule in stream().models for use in rule.use}


def find_clips(data: Path | None) -> list[tuple[str, Path]]:
    """Every clip's kind and file. Raises ConfigError where the data is incomplete."""
    there = [line.partition("/") for line in listed(REGISTRY)]
    folder = find(data, "esc10", [f"{FOLDERS[f]}/{name}" for f, _, name in there])
    if folder is not None:
        return [(FOLDERS[f], folder / FOLDERS[f] / name) for f, _, name in there]
    folder = download("esc10", URL, REGISTRY)
    return [(FOLDERS[f], folder / f / name) for f, _, name in there]


@lru_cache(maxsize=1)
def read_clips(data: Path | None) -> list[Clip]:
    """All of them."""
    return [read_clip(kind, path) for kind, path in find_clips(data)]


def read_clip(kind: str, path: Path) -> Clip:
    """One as the product reads and cuts it."""
    settings = stream()
    ((name, own),) = windows_of(read_recordings([path], settings), settings).items()
    return Clip(kind, name, own.data)


def divided(clips: Sequence[Clip], seed: int, split: str) -> tuple[list[Clip], list[Clip]]:
    """Normal clips to learn from, in the order of their sources; and all others.

    Sources (or with `clip` the clips, each by itself) are drawn until TRAINED of the normal clips
    are there.
    """
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        if clip.kind == NORMAL:
            groups.setdefault(clip.source if split == "source" else clip.name, []).append(clip)
    wanted = TRAINED * sum(map(len, groups.values()))
    drawn: list[Clip] = []
    for place in np.random.default_rng(seed).permutation(len(groups)).tolist():
        if len(drawn) < wanted:
            drawn += list(groups.values())[place]
    names = {clip.name for clip in drawn}
    return drawn, [c for c in clips if c.kind != NORMAL or c.name not in names]


def judged(job: Job) -> Outcome:
    """Train on one side of a split, judge the other."""
    training, others = divided(read_clips(job.data), job.seed, job.split)
    model = trained(job.detector, training)
    scores = np.array([score_of(model, clip) for clip in others], np.float32)
    items = [f"{clip.kind}/{clip.name}" for clip in others]
    return Outcome(job, items, [clip.kind for clip in others], scores, cut_of(model))


def trained(detector: str, clips: Sequence[Clip]) -> Model:
    """The model of all windows of the clips."""
    window, use = stream().window, uses()[detector]
    recipe = Recipe(
        detector=use.reference.detector,
        name=NORMAL,
        shape=window.model_shape,
        channels=window.model_channels,
        rate=window.rate,
        params=use.params,
        front=window.front,
        gap=-(-window.samples // window.hop_samples),
    )
    return train(recipe, {NORMAL: np.concatenate([clip.windows for clip in clips])})


def score_of(model: Model, clip: Clip) -> float:
    """The mean of what its windows score."""
    constants = np.repeat(model.group[None], len(clip.windows), axis=0)
    return float(model.score(clip.windows, constants).mean())


def told(outcome: Outcome) -> Told:
    """Scores as they are written."""
    name = f"{outcome.job.detector}/seed {outcome.job.seed}"
    return Told(outcome.items, _truth(outcome).astype(np.int64), name, outcome.scores)


def figures(outcome: Outcome) -> dict[str, float]:
    """AUROC, over all and against each kind of foreign sound, and what the cut gives."""
    kinds, truth = np.array(outcome.kinds), _truth(outcome)
    over = outcome.scores > outcome.cut
    found = {"auroc": _auroc(truth, outcome.scores)}
    for kind in sorted(set(outcome.kinds) - {NORMAL}):
        own = (kinds == kind) | (kinds == NORMAL)
        found[f"auroc_{kind}"] = _auroc(truth[own], outcome.scores[own])
    found["recall_at_cut"] = float(over[truth == 1].mean())
    found["false_alarm_rate_at_cut"] = float(over[truth == 0].mean())
    return found


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """`auroc` is the mean over the seeds of the first detector; then every detector's figures."""
    names = list(dict.fromkeys(outcome.job.detector for outcome in outcomes))
    each = {n: spread([figures(o) for o in outcomes if o.job.detector == n]) for n in names}
    first = each[names[0]]["auroc"]
    return {
        "detector": names[0],
        "auroc": first["mean"],
        "auroc_sd": first["sd"],
        "auroc_worst": first["least"],
        "seeds": len(outcomes) // len(names),
        "split": outcomes[0].job.split,
        "detectors": each,
    }


def table(found: Mapping[str, Any]) -> Table:
    """A row for each detector."""
    title = (
        f"ESC-10, helicopters against foreign sounds: {found['seeds']} splits by {found['split']}"
    )
    shown = Table(title=title, box=SIMPLE_HEAD, show_edge=False)
    shown.caption = f"clips of 5 s; cut: 99 % of held-out normal windows; {found['seconds']:.0f} s"
    columns = {"auroc": "AUROC"}
    for own in found["detectors"].values():
        columns |= {key: key.removeprefix("auroc_") for key in own if key.startswith("auroc_")}
    columns |= {"recall_at_cut": "found", "false_alarm_rate_at_cut": "false alarms"}
    for head in ("detector", "AUROC", "sd", "worst", *list(columns.values())[1:]):
        shown.add_column(head, justify="left" if head == "detector" else "right")
    for name, own in found["detectors"].items():
        cells = [own["auroc"][part] for part in ("mean", "sd", "least")]
        cells += [own[key]["mean"] for key in list(columns)[1:]]
        shown.add_row(name, *(f"{cell:.3f}" for cell in cells))
    return shown


def _chosen(named: Sequence[str]) -> list[str]:
    known = list(uses())
    if strange := [name for name in named if name not in known]:
        raise ConfigError(f"detector {strange[0]!r}: valid are {', '.join(known)}")
    return list(named) or known


def _truth(outcome: Outcome) -> NDArray[np.int8]:
    return np.array([kind != NORMAL for kind in outcome.kinds], np.int8)


def _auroc(truth: NDArray[np.int8], scores: Array) -> float:
    found = ranking(truth, scores).auroc
    if found is None:
        raise ConfigError("esc10: the clips that are judged are all of one kind")
    return found
