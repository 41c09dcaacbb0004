"""`python -m tests.encoders --json encoders.json`: what docs/adr/0010-encoders.md is made from.

Convolutions against products of matrices as the encoder of an autoencoder and of Deep SVDD, and one
encoder with two heads against separate ones: how much they find, and what they cost. The same
windows, seeds and training for all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from monitor.detect import build
from monitor.detect.deep.training import one_thread
from monitor.detect.seeded_faults import found_by
from monitor.testing import normal_examples
from monitor.types import Array
from tests.encoders.sets import Case, machines, water_circuit
from tests.encoders.shared import Shared

KINDS: dict[str, dict[str, Any]] = {
    "conv": {"encoder": "conv", "widths": (16, 32)},
    "patch": {"encoder": "patch", "widths": (16, 32)},
    "patch, twice as wide": {"encoder": "patch", "widths": (32, 64)},
}
CHUNK, ROUNDS = 64, 60
Found = dict[str, dict[str, list[float]]]


def scores(kind: str, case: Case, epochs: int, seed: int) -> dict[str, dict[str, Array]]:
    """Each candidate's scores of the case's windows, by what is in them."""
    shape, plan = case.train.shape[1:], {**KINDS[kind], "epochs": epochs, "seed": seed}
    made = {
        f"conv_ae {kind}": build("conv_ae", shape, **plan),
        f"deep_svdd {kind}": build("deep_svdd", shape, **plan),
        f"shared {kind}": Shared(shape, **plan),
    }
    windows = {"normal": case.normal, **case.faulty}
    result = {}
    for name, detector in made.items():
        detector.fit(case.train)
        result[name] = {key: detector.score(x) for key, x in windows.items()}
    apart = (result[f"conv_ae {kind}"], result[f"deep_svdd {kind}"])
    result[f"separate {kind}"] = {key: apart[0][key] + apart[1][key] for key in windows}
    return result


def quality(cases: list[Case], epochs: int, seeds: int) -> Found:
    """AUROC by candidate and what was to be found: the mean over the cases, for each seed."""
    found: Found = {}
    for seed in track(range(seeds), "training", transient=True):
        once: dict[tuple[str, str], list[float]] = {}
        for case in cases:
            for kind in KINDS:
                for name, by_key in scores(kind, case, epochs, seed).items():
                    for key in case.faulty:
                        area = found_by(by_key["normal"], by_key[key])
                        once.setdefault((name, key), []).append(area)
        for (name, key), areas in once.items():
            found.setdefault(name, {}).setdefault(key, []).append(mean(areas))
    return found


def costs(shape: tuple[int, int]) -> dict[str, float]:
    """CPU time in us for a window, in calls of 64; the candidates take turns in every round."""
    x = normal_examples(shape, CHUNK)
    running: dict[str, Callable[[Array], Any]] = {}
    for kind, params in KINDS.items():
        for name in ("conv_ae", "deep_svdd"):
            detector = build(name, shape, **params, epochs=1)
            detector.fit(normal_examples(shape, 64))
            running[f"{name} {kind}, ONNX Runtime"] = detector.compile(CHUNK, "onnx")
            running[f"{name} {kind}, torch"] = detector.compile(CHUNK, "torch")
        both = Shared(shape, **params, epochs=1, seed=0)
        both.fit(normal_examples(shape, 64))
        running[f"shared {kind}, torch"] = both.score
    spent: dict[str, list[float]] = {name: [] for name in running}
    with one_thread():
        for _ in range(ROUNDS):
            for name, call in running.items():
                started = time.process_time_ns()
                for _ in range(5):
                    call(x)
                spent[name].append((time.process_time_ns() - started) / 5e3 / CHUNK)
    return {name: median(times) for name, times in spent.items()}


def table(title: str, found: Found) -> Table:
    """Mean over the seeds, and the worst seed, of what each candidate finds."""
    keys = list(next(iter(found.values())))
    shown = Table("encoder", *keys, "mean", "worst seed", title=title)
    for name, by_key in sorted(found.items()):
        seeds = np.array([by_key[key] for key in keys]).mean(axis=0)
        cells = [f"{mean(by_key[key]):.3f}" for key in keys]
        shown.add_row(name, *cells, f"{seeds.mean():.3f}", f"{seeds.min():.3f}")
    return shown


def main(
    seeds: Annotated[int, typer.Option(help="how often everything is trained")] = 3,
    epochs: Annotated[int, typer.Option(help="of each training")] = 10,
    every: Annotated[int, typer.Option(help="take each so many-th file of SKAB")] = 8,
    file: Annotated[Path | None, typer.Option("--json", help="where the figures go")] = None,
) -> None:
    """Compare the encoders."""
    console = Console(width=120)
    found = {
        "AUROC on SKAB": quality(list(water_circuit(every)), epochs, seeds),
        "AUROC on simulated machines": quality(list(machines()), epochs, seeds),
    }
    found = {title: part for title, part in found.items() if part}
    spent = {str(shape): costs(shape) for shape in ((1, 256), (4, 256))}
    for title, part in found.items():
        console.print(table(title, part))
    for shape, by_name in spent.items():
        shown = Table("encoder", "us/window", title=f"CPU time, windows {shape}, calls of {CHUNK}")
        for name, cost in sorted(by_name.items()):
            shown.add_row(name, f"{cost:.1f}")
        console.print(shown)
    if file:
        file.write_text(json.dumps({**found, "us per window": spent}, indent=1))


if __name__ == "__main__":
    typer.run(main)
