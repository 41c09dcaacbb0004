"""`monitor false-alarms`: how many windows are flagged where nothing is wrong, against the target.

Scores are simulated: autocorrelated, of a scale that swings by the day and grows, and 5 % of them
anomalous, as single spikes or as faults that last; thresholds start with clean calibration, as
those of trained detectors do. With a folder of the Numenta Anomaly Benchmark also the steps between
the neighbouring values of its series, outside of their labelled windows. What counts is a normal
window while no alert is open: no other can raise a false one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from monitor.alerting import AlertConfig, ThresholdConfig
from monitor.errors import ConfigError
from monitor.offline.figures import write_figures
from monitor.offline.suggest import THRESHOLD
from monitor.stream.alarm import Alarm
from monitor.stream.threshold import RollingThreshold
from monitor.types import Array

Mask = NDArray[np.bool_]

RATES = (1e-2, 1e-3)
FAULTS = ("none", "spikes", "lasting")
CONTAMINATION = 0.05
MEMORY = 0.8  # correlation of neighbouring scores
DAY = 8640  # windows, one each 10 s
SWING, GROWTH = 0.3, 0.5  # of the logarithm of the scale, in a day and in all
LASTS = 50  # windows of a fault, in the mean
CALIBRATED = 5000
GOAL = (0.7, 1.4)
FITTED: Mapping[str, Any] = {"tail": "pareto"}
CONTROLLED: Mapping[str, Any] = {**FITTED, "rate_step": 0.1}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "percentile": {},
    "fitted tail": FITTED,
    "with rate control": CONTROLLED,
    "and outliers left out": THRESHOLD,  # what `monitor init` suggests
}


@dataclass(frozen=True)
class Options:
    """How much is simulated: `samples` for each seed, as the windows of so many sensors."""

    seeds: int = 3
    samples: int = 1_000_000
    sensors: int = 40


class Scored(NamedTuple):
    """Scores `(n, S)`, NaN where there is none; which are anomalous; clean ones to begin with."""

    scores: Array
    anomalous: Mask
    calibration: Array | None


@dataclass(frozen=True)
class Found:
    """Realised over nominal rate of each seed, and the share of anomalous windows that is found."""

    data: str
    variant: str
    nominal: float
    ratios: tuple[float, ...]
    found: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.ratios))

    @property
    def worst(self) -> float:
        """The ratio that is farthest from 1, either way."""
        return max(self.ratios, key=lambda ratio: abs(np.log(max(ratio, 1e-9))))


def run(options: Options, data: Path | None, json_file: Path | None, figure: Path | None) -> None:
    """The command. Raises ConfigError where a file cannot be read or written."""
    series = None if data is None else read_nab(data)
    console = Console()
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("false alarms", total=None)
        found = []
        for one in study(options, series):
            found.append(one)
            progress.update(bar, description=f"{one.data}, {one.variant}, {one.nominal:g}")
    console.print(table(found))
    if json_file:
        rows = [{**asdict(each), "mean": each.mean, "worst": each.worst} for each in found]
        write_figures(json_file, {"options": asdict(options), "figures": rows})
    if figure:
        draw(found, figure)


def study(options: Options, series: Scored | None = None) -> Iterator[Found]:
    """Every kind of faults, variant and rate; then the recorded series, if there are any."""
    for faults in FAULTS:
        made = [simulated(faults, options, seed) for seed in range(1, options.seeds + 1)]
        yield from _compared(f"simulated, faults: {faults}", made)
    if series is not None:
        yield from _compared("NAB, steps between values", [series])


def _compared(name: str, made: Sequence[Scored]) -> Iterator[Found]:
    for rate in RATES:
        for variant, settings in VARIANTS.items():
            asked = ThresholdConfig(quantile=1 - rate, **settings)
            played = [play(each, asked) for each in made]
            ratios = tuple(false_rate / rate for false_rate, _ in played)
            yield Found(name, variant, rate, ratios, float(np.mean([found for _, found in played])))


def simulated(faults: str, options: Options, seed: int) -> Scored:
    """Absolute values of a first-order autoregression, times a scale that drifts."""
    rng = np.random.default_rng(seed)
    count = CALIBRATED + options.samples // options.sensors
    noise = rng.standard_normal((count, options.sensors)) * np.sqrt(1 - MEMORY**2)
    noise[0] /= np.sqrt(1 - MEMORY**2)
    for i in range(1, count):
        noise[i] += MEMORY * noise[i - 1]
    scores = np.abs(noise)
    calibration = np.quantile(scores[:CALIBRATED], np.linspace(0, 1, 1001)).astype(np.float32)
    scores = scores[CALIBRATED:]
    time = np.arange(len(scores))[:, None]
    phase = rng.uniform(0, 2 * np.pi, options.sensors)
    swing = np.sin(2 * np.pi * time / DAY + phase) - np.sin(phase)
    scale = np.exp(SWING * swing + GROWTH * time / len(scores))
    anomalous = _faulty(faults, scores.shape, rng)
    scores[anomalous] += rng.uniform(4, 12, int(anomalous.sum()))
    return Scored((scores * scale).astype(np.float32), anomalous, calibration)


def _faulty(faults: str, shape: tuple[int, ...], rng: np.random.Generator) -> Mask:
    anomalous = np.zeros(shape, np.bool_)
    if faults == "spikes":
        anomalous = rng.random(shape) < CONTAMINATION
    if faults == "lasting":
        starts = np.argwhere(rng.random(shape) < CONTAMINATION / LASTS)
        for (row, sensor), length in zip(
            starts, rng.geometric(1 / LASTS, len(starts)), strict=True
        ):
            anomalous[row : row + length, sensor] = True
    return anomalous


def read_nab(folder: Path) -> Scored:
    """The steps between neighbouring values of every series in `folder/data`, a column each."""
    try:
        windows = json.loads((folder / "labels" / "combined_windows.json").read_text("utf-8"))
        steps, labels = [], []
        for name in sorted(windows):
            read = pd.read_csv(folder / "data" / name, parse_dates=["timestamp"])
            labelled = np.zeros(len(read), np.bool_)
            for begin, end in windows[name]:
                labelled |= read["timestamp"].between(pd.Timestamp(begin), pd.Timestamp(end))
            steps.append(read["value"].diff().abs().to_numpy(np.float32))
            labels.append(labelled)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{folder}: not the NAB's data and labels: {error}") from error
    longest = max(map(len, steps))
    scores = np.full((longest, len(steps)), np.nan, np.float32)
    anomalous = np.zeros(scores.shape, np.bool_)
    for column, (values, labelled) in enumerate(zip(steps, labels, strict=True)):
        scores[: len(values), column], anomalous[: len(values), column] = values, labelled
    return Scored(scores, anomalous, None)


def play(given: Scored, settings: ThresholdConfig) -> tuple[float, float]:
    """The share of normal windows outside of alerts that is flagged, and of anomalous ones."""
    slots = np.arange(given.scores.shape[1])
    threshold = RollingThreshold(1, settings, [given.calibration])
    alarm = Alarm(AlertConfig())
    flagged, open_ = (np.zeros(given.scores.shape, np.bool_) for _ in range(2))
    known = np.isfinite(given.scores)
    for i, raw in enumerate(given.scores):
        cuts, held = threshold.cuts(slots), alarm.firing(slots)
        threshold.update(slots, raw[:, None], held)
        values = raw / cuts[:, 0]
        flagged[i], open_[i] = values > 1, held
        known[i] &= np.isfinite(cuts[:, 0])
        alarm.step(slots, values, np.full(len(slots), float(i)))
    normal = known & ~given.anomalous & ~open_
    faulty = known & given.anomalous
    found = float(flagged[faulty].mean()) if faulty.any() else 1.0
    return float(flagged[normal].mean()), found


def table(found: Sequence[Found]) -> Table:
    """For people."""
    shown = Table("data", "threshold", "nominal", "realised / nominal", "worst seed", "found")
    for each in found:
        inside = GOAL[0] <= each.worst <= GOAL[1]
        numbers = f"{each.nominal:g}", f"{each.mean:.2f}", f"{each.worst:.2f}", f"{each.found:.0%}"
        shown.add_row(each.data, each.variant, *numbers, style=None if inside else "yellow")
    return shown


def draw(found: Sequence[Found], path: Path) -> None:
    """Realised over nominal rates as a figure: a panel for each rate, a dot for each seed."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    kinds = list(dict.fromkeys(each.data for each in found))
    for axes, rate in zip(
        np.atleast_1d(figure.subplots(1, len(RATES), sharey=True)), RATES, strict=True
    ):
        axes.axhspan(*GOAL, color="tab:green", alpha=0.15)
        axes.axhline(1, color="tab:green", lw=1)
        for k, variant in enumerate(VARIANTS):
            rows = [each for each in found if (each.variant, each.nominal) == (variant, rate)]
            places = [
                kinds.index(each.data) + 0.18 * (k - 1.5) for each in rows for _ in each.ratios
            ]
            ratios = [max(ratio, 0.01) for each in rows for ratio in each.ratios]
            axes.scatter(places, ratios, label=variant, s=28)
        axes.set(yscale="log", ylim=(0.009, 12), title=f"nominal rate {rate:g}")
        axes.set_xticks(
            range(len(kinds)), [kind.replace(", ", ",\n") for kind in kinds], fontsize=8
        )
    figure.axes[0].set_ylabel("realised / nominal (0.01: or less)")
    figure.axes[-1].legend(fontsize=8, loc="lower right")
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be written: {error}") from error
