"""`monitor bench images`: frames per second of the detectors of images, on one core.

Each detector scores frames of the same size as in serving: scaled, in calls of one size, by the
backend that is installed. They run in turns, in one process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from monitor import journal
from monitor.detect.deep.training import one_thread
from monitor.errors import ConfigError
from monitor.model import CHUNK, Model
from monitor.offline.bench.measure import (
    Simple,
    Slice,
    Work,
    interleave,
    over,
    settled_heap,
    typical,
)
from monitor.offline.bench.report import CLOCK, machine, versions
from monitor.offline.figures import write_figures
from monitor.recipe import Recipe, train
from monitor.types import Array

DETECTORS: Mapping[str, Mapping[str, Any]] = {
    "conv_ae": {"epochs": 1},
    "padim": {},
    "patchcore": {"memory": 2000, "dimensions": 128},
}
COLOURS = ("red", "green", "blue")
SLICE = 1.0
_POOL = 16
_SEED = 20240


@dataclass(frozen=True)
class Options:
    """Each detector gets about `seconds` of CPU time, for frames of `side` x `side` pixels and
    three colours, in calls of `chunk`, after it learned from `training` frames.
    """

    seconds: float = 10.0
    side: int = 224
    training: int = 64
    chunk: int = CHUNK
    detectors: tuple[str, ...] = tuple(DETECTORS)


QUICK = Options(2.0, chunk=8)


@dataclass(frozen=True)
class Report:
    """What one run found: slices of each model, and its parameters in training."""

    options: Options
    models: Sequence[Model]
    slices: Sequence[Sequence[Slice]]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        results = [self._result(*pair) for pair in zip(self.models, self.slices, strict=True)]
        size = {"side": self.options.side, "colours": len(COLOURS), "chunk": self.options.chunk}
        return {
            "results": results,
            "frames": size,
            "clock": CLOCK,
            "machine": machine(),
            "versions": versions(),
        }

    def print(self, console: Console) -> None:
        """A table for people."""
        side = self.options.side
        title = f"Frames of {side} x {side} pixels, calls of {self.options.chunk}, one core"
        table = Table(title=title, box=SIMPLE_HEAD)
        for column in ("detector", "backend", "ms a frame", "frames/s", "low", "high"):
            table.add_column(column, justify="left" if len(table.columns) < 2 else "right")
        for row in self.as_json()["results"]:
            rates = (f"{row[key]:.0f}" for key in ("frames_per_second", "low", "high"))
            table.add_row(row["name"], row["backend"], f"{row['ms']:.2f}", *rates)
        console.print(table)
        console.print(f"[dim]Clock: {CLOCK}. {machine()['cpu']}.[/dim]")

    def _result(self, model: Model, slices: Sequence[Slice]) -> dict[str, Any]:
        low, high = np.quantile([1e6 / part.us for part in slices], (0.25, 0.75)).tolist()
        us = typical(slices)
        return {
            "name": model.label,
            "backend": model.backend,
            "ms": us / 1e3,
            "frames_per_second": 1e6 / us,
            "low": low,
            "high": high,
            "slices": len(slices),
            "params": dict(model.manifest.params),
            "state_bytes": sum(array.nbytes for array in model.state().values()),
        }


def run(seconds: float, json_file: Path | None = None, *, quick: bool = False) -> None:
    """The command: run, print a table, and write `json_file` where one is named.

    Raises ConfigError where that cannot be written, `seconds` makes no sense, or the backbone's
    weights are missing.
    """
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"--seconds is {seconds:g}; any number over 0 is valid")
    if json_file and not json_file.absolute().parent.is_dir():
        raise ConfigError(f"--json {json_file}: there is no folder {json_file.parent}")
    journal.configure(json=False, quiet=True)
    console = Console()
    options = QUICK if quick else Options(seconds)
    report = run_bench(options, console)
    report.print(console)
    if json_file:
        write_figures(json_file, report.as_json())


def run_bench(options: Options, console: Console | None = None) -> Report:
    """Train each detector, then time them in turns; with a console, show how far it is."""
    with (
        one_thread(),
        Progress(console=console, transient=True, disable=console is None) as progress,
    ):
        bar = progress.add_task("training", total=None)
        shown = pictures(options.training, options.side)
        models = [_trained(name, shown, options) for name in options.detectors]
        progress.update(bar, description="scoring", total=len(models) * options.seconds)
        sides = [_side(model, shown, options.chunk) for model in models]
        with settled_heap():
            slices = interleave(
                sides,
                options.seconds,
                min(SLICE, options.seconds),
                lambda s: progress.advance(bar, s),
            )
    return Report(options, models, slices)


def pictures(count: int, side: int) -> Array:
    """Pixels of a textured plate that never lies quite the same: `(count, 3, side * side)`. What is
    on a picture changes no detector's time.
    """
    rng = np.random.default_rng(_SEED)
    rows, columns = np.mgrid[:side, :side] / np.float32(side)
    phases = rng.uniform(0, 6, (count, 3, 1, 1)).astype(np.float32)
    waves = 60 * np.sin(40 * rows + 25 * columns + phases) + 127
    noise = rng.normal(0, 4, waves.shape)
    found: Array = np.clip(waves + noise, 0, 255).astype(np.float32)
    return np.reshape(found, (count, 3, side * side))


def _trained(name: str, shown: Array, options: Options) -> Model:
    front = {"frame": [options.side, options.side]}
    shape = (len(COLOURS), options.side**2)
    recipe = Recipe(name, "bench", shape, COLOURS, 1.0, DETECTORS[name], front)
    model = train(recipe, {"camera": shown})
    return Model(model.manifest, model.state(), model.detector, chunk=options.chunk)


def _side(model: Model, shown: Array, chunk: int) -> Simple:
    constants = np.repeat(model.group[None], chunk, axis=0)
    rng = np.random.default_rng(_SEED)

    def make(frames: int) -> Work:
        calls = shown[rng.integers(min(len(shown), _POOL), size=(min(frames // chunk, 4), chunk))]
        turns = [calls[place % len(calls)] for place in range(frames // chunk)]
        return over(lambda x: model.score(x, constants), turns)

    return Simple(chunk, make)
