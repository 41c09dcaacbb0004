"""`monitor reproduce methods --on windows`: every trained detector on the same labelled windows.

All with their default parameters, trained and served as `monitor train` does it, none with labels.
Not a benchmark of its own: it says what each is good for, and what it costs.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from monitor import journal
from monitor.detect import DETECTORS, learns_online
from monitor.errors import ConfigError, ModelError
from monitor.model import Model
from monitor.offline.figures import write_figures
from monitor.offline.measures import ranking
from monitor.offline.reproduce.data import download, find, listed
from monitor.offline.reproduce.method_sets import (
    Split,
    channels_of,
    nab_splits,
    simulated_splits,
    skab_splits,
)
from monitor.offline.reproduce.nab_report import REGISTRY, URL
from monitor.offline.reproduce.scores import Told, write_scores
from monitor.recipe import Recipe, train

SETS = ("skab", "simulators", "nab")
PROCESSES = 2
_TIMED = 1024  # windows


@dataclass(frozen=True, slots=True)
class Measured:
    """One detector: mean AUROC over the sensors of each set, the spread over them, what it costs.

    `refused` says why it has no figures, as of one that cannot do without labels.
    """

    detector: str
    auroc: Mapping[str, float]
    spread: Mapping[str, float]
    sensors: Mapping[str, int]
    microseconds: float | None
    state_bytes: int | None
    seconds: float
    refused: str = ""
    told: Sequence[Told] = ()


def run(
    data: Path | None = None,
    *,
    detectors: Sequence[str] = (),
    every: int = 1,
    json_file: Path | None = None,
    scores: Path | None = None,
) -> None:
    """The command: `every` takes each so-manieth recording of SKAB and series of NAB only."""
    journal.configure(json=False, quiet=True)
    chosen = _chosen(detectors)
    context = multiprocessing.get_context("spawn")
    found: dict[str, Measured] = {}
    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
        ProcessPoolExecutor(PROCESSES, mp_context=context) as pool,
    ):
        task = bar.add_task("detectors", total=len(chosen))
        jobs = [pool.submit(measured, name, data, every) for name in chosen]
        for job in as_completed(jobs):
            found[job.result().detector] = job.result()
            bar.advance(task)
    rows = [found[name] for name in chosen]
    Console().print(table(rows))
    if json_file:
        write_figures(json_file, {row.detector: figures(row) for row in rows})
    if scores:
        write_scores(scores, "methods-windows", (one for row in rows for one in row.told))


def figures(row: Measured) -> dict[str, Any]:
    """One detector's figures, without its scores."""
    return asdict(replace(row, told=()))


def measured(detector: str, data: Path | None, every: int) -> Measured:
    """One detector on all sets."""
    return measure_or_refuse(
        detector, lambda: chain(skab_splits(data, every), simulated_splits(), _nab(data, every))
    )


def measure_or_refuse(detector: str, splits: Callable[[], Iterable[Split]]) -> Measured:
    """Its figures, or why it has none."""
    try:
        return measure(detector, splits(), time.perf_counter())
    except (ConfigError, ModelError) as error:
        return Measured(detector, {}, {}, {}, None, None, 0.0, " ".join(str(error).split()))


def measure(detector: str, splits: Iterable[Split], began: float) -> Measured:
    """Train on each split and judge it. Costs are those of the first model, which is of SKAB."""
    found: dict[str, list[float]] = {name: [] for name in SETS}
    costs: tuple[float, int] | None = None
    told: list[Told] = []
    for split in splits:
        model = _trained(detector, split)
        costs = costs or (_microseconds(model, split), _state_bytes(model))
        own = list(_judged(detector, model, split))
        areas = (ranking(one.labels.astype(np.int8), one.scores).auroc for one in own)
        found[split.of] += [area for area in areas if area is not None]
        told += own
    there = {name: areas for name, areas in found.items() if areas}
    return Measured(
        detector=detector,
        auroc={name: float(np.mean(areas)) for name, areas in there.items()},
        spread={name: float(np.std(areas)) for name, areas in there.items()},
        sensors={name: len(areas) for name, areas in there.items()},
        microseconds=costs[0] if costs else None,
        state_bytes=costs[1] if costs else None,
        seconds=round(time.perf_counter() - began, 1),
        told=told,
    )


def table(rows: Sequence[Measured]) -> Table:
    """A row for each detector."""
    shown = Table(title="Trained detectors", box=SIMPLE_HEAD, show_edge=False)
    shown.caption = "mean AUROC over sensors; us: a window of 8 channels in calls of 64, one core"
    for head in ("detector", *SETS, "us", "kB", "s"):
        shown.add_column(head, justify="left" if head == "detector" else "right")
    for row in rows:
        areas = [f"{row.auroc[name]:.3f}" if name in row.auroc else "-" for name in SETS]
        cost = "-" if row.microseconds is None else f"{row.microseconds:,.1f}"
        size = "-" if row.state_bytes is None else f"{row.state_bytes / 1000:,.0f}"
        shown.add_row(row.detector, *areas, cost, size, f"{row.seconds:,.0f}")
    return shown


def _chosen(detectors: Sequence[str]) -> list[str]:
    known = [name for name in sorted(DETECTORS) if not learns_online(name)]
    if strange := [name for name in detectors if name not in known]:
        raise ConfigError(
            f"detector {strange[0]!r} is none that is trained; valid are {', '.join(known)}"
        )
    return list(detectors) or known


def _nab(data: Path | None, every: int) -> Iterator[Split]:
    folder = find(data, "nab", listed(REGISTRY)) or download("nab", URL, REGISTRY)
    return nab_splits(folder, every)


def _trained(detector: str, split: Split) -> Model:
    sensors = list(split.sensors.values())
    shape = sensors[0].training.shape[1:]
    recipe = Recipe(
        detector=detector,
        name="compared",
        shape=(int(shape[0]), int(shape[1])),
        channels=channels_of(sensors),
        rate=1.0,
        gap=split.gap,
    )
    return train(recipe, {name: sensor.training for name, sensor in split.sensors.items()})


def _judged(detector: str, model: Model, split: Split) -> Iterator[Told]:
    """The scores of each sensor's windows."""
    for name, sensor in split.sensors.items():
        constants = model.constants(name)
        if constants is None:
            raise ModelError(f"{split.of}: sensor {name!r} has too few windows to learn from")
        scores = model.score(sensor.judged, np.repeat(constants[None], len(sensor.judged), axis=0))
        items = [f"{split.of}/{name}/{n}" for n in range(len(scores))]
        yield Told(items, sensor.truth.astype(np.int64), detector, scores)


def _microseconds(model: Model, split: Split) -> float:
    """The best of three calls, in calls of the model's own size."""
    one = next(iter(split.sensors.values())).training
    windows = np.resize(one, (_TIMED, *one.shape[1:]))
    constants = np.repeat(model.group[None], _TIMED, axis=0)
    taken = []
    for _ in range(4):
        began = time.perf_counter()
        model.score(windows, constants)
        taken.append(time.perf_counter() - began)
    return min(taken[1:]) / _TIMED * 1e6


def _state_bytes(model: Model) -> int:
    """The arrays of the model file, which all its sensors share."""
    return sum(array.nbytes for array in model.state().values())
