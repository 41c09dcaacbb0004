"""Recordings of normal operation -> trained models in the store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from monitor.connect.store import ModelStore
from monitor.detect import detector_class, learns_online
from monitor.errors import ConfigError
from monitor.notation import Reference
from monitor.offline.dataset import Recorded, SensorWindows, of_rule, read_recorded, windows_of
from monitor.offline.figures import write_figures
from monitor.offline.labels import Event, quoted
from monitor.offline.taught import read_taught, taught
from monitor.recipe import Recipe
from monitor.recipe import train as train_model
from monitor.settings import Config, Use
from monitor.windowing import Window

QUANTILES = (0.5, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Trained:
    """One published model. `windows` were learned from or held out; of those that are labelled
    anomalous it learned from `faults` and left out the `anomalous`. `held_out` has quantiles of
    the scores of held-out windows.
    """

    detector: str
    model: str
    version: int
    aliases: tuple[str, ...]
    windows: int
    anomalous: int
    faults: int
    sensors: int
    seconds: float
    held_out: Mapping[str, float]


@dataclass
class Job:
    """One model to train, and every place of the configuration that uses it."""

    use: Use
    window: Window
    places: list[tuple[str, int]] = field(default_factory=list)  # stream, rule
    aliases: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As the configuration calls it, without alias or version."""
        return f"{self.use.reference.detector}:{self.use.reference.model}"


def run(
    config: Config,
    paths: Sequence[Path],
    *,
    labels: Path | None = None,
    promote: bool = True,
    time_column: str | None = None,
    json_file: Path | None = None,
) -> None:
    """The command: train every model of the configuration on files, and print a table."""
    console = Console()
    recorded = read_recorded(config, paths, time_column)
    events = read_taught(labels, config, recorded) if labels else None
    found = train(config, recorded, events, promote=promote, console=console)
    console.print(_table(found))
    if json_file:
        write_figures(json_file, {"models": [asdict(each) for each in found]})


def train(
    config: Config,
    recorded: Recorded,
    events: Sequence[Event] | None = None,
    *,
    promote: bool = True,
    console: Console | None = None,
) -> list[Trained]:
    """Train and publish each model that the recorded streams use, on the windows of the sensors
    that would be scored by it.

    Windows that are labelled anomalous are left out. With `events`, what an operator says beside
    the recordings' own labels, detectors that can learn from labels are given all of them.

    The rest is as in `train_on`.
    """
    windows = {name: windows_of(found, config.streams[name]) for name, found in recorded.items()}
    if events is not None:
        for name, own in windows.items():
            windows[name] = taught(own, events, name, config.streams[name].window)
    labelled = events is not None
    return train_on(config, windows, labelled=labelled, promote=promote, console=console)


def train_on(
    config: Config,
    windows: Mapping[str, Mapping[str, SensorWindows]],
    *,
    labelled: bool = False,
    promote: bool = True,
    console: Console | None = None,
) -> list[Trained]:
    """The same on windows that are cut already, by stream and sensor; `labelled` says that
    detectors which can learn from labels are given all of them.

    The aliases that the configuration names are pointed to the new versions, if `promote`.
    Progress goes to the console, if there is one. Raises ConfigError where there is nothing to
    train, a rule has no recorded sensor, or two uses of a model contradict each other; ModelError
    where there is too little to learn from.
    """
    jobs = [job for job in jobs_of(config) if any(name in windows for name, _ in job.places)]
    if not jobs:
        raise ConfigError(
            f"nothing to train: streams {', '.join(windows)} use no detector with a model, such "
            "as conv_ae:NAME@production"
        )
    chosen = [(job, _windows_for(job, config, windows)) for job in jobs]
    store = ModelStore(config.models)
    return [
        _train(
            job,
            found,
            store,
            labelled=labelled and learns_labels(job),
            promote=promote,
            console=console,
        )
        for job, found in chosen
    ]


def jobs_of(config: Config) -> list[Job]:
    """Each model of the configuration once, in its order.

    Raises ConfigError where a trained detector names no model, or two uses of one model differ.
    """
    jobs: dict[tuple[str, str], Job] = {}
    for name, stream in config.streams.items():
        for place, rule in enumerate(stream.models):
            for use in rule.use:
                wanted = use.reference
                if not wanted.model:
                    _check_online(f"streams.{name}.models[{place}]", wanted)
                    continue
                job = jobs.setdefault((wanted.detector, wanted.model), Job(use, stream.window))
                _check_same(job, use, stream.window, name)
                job.places.append((name, place))
                if not wanted.version.isdecimal() and wanted.version not in job.aliases:
                    job.aliases.append(wanted.version)
    return list(jobs.values())


def _check_online(place: str, wanted: Reference) -> None:
    if not learns_online(wanted.detector):
        raise ConfigError(
            f"{place}: {wanted.detector} has to be trained; name its model, as in "
            f"{wanted.detector}:NAME@production"
        )


def _check_same(job: Job, use: Use, window: Window, stream: str) -> None:
    if use.params != job.use.params:
        raise ConfigError(
            f"{job.name} is used with params {job.use.params} and with {use.params}; one model "
            "has one set of them: give each its own name"
        )
    wanted, other = (_examples(w) for w in (job.window, window))
    if wanted != other:
        raise ConfigError(
            f"{job.name} is used in stream {stream!r} for windows of {other} and in "
            f"{job.places[0][0]!r} for {wanted}; give each its own name"
        )


def _examples(window: Window) -> str:
    channels, samples = window.model_channels, window.model_shape[1]
    front = f", {window.front}" if window.front else ""
    return f"{', '.join(channels)} with {samples} samples at {window.rate:g} Hz{front}"


def _windows_for(
    job: Job, config: Config, windows: Mapping[str, Mapping[str, SensorWindows]]
) -> dict[str, SensorWindows]:
    """What a model learns from: the sensors of every rule that uses it.

    A sensor's name that occurs in two streams is one to the model.
    """
    found: dict[str, SensorWindows] = {}
    for name, rule in job.places:
        own = of_rule(windows.get(name, {}), config.streams[name], rule)
        for sensor, more in own.items():
            found[sensor] = _joined(found[sensor], more) if sensor in found else more
    if not found:
        patterns = [config.streams[name].models[rule].match for name, rule in job.places]
        sensors = {sensor for each in windows.values() for sensor in each}
        raise ConfigError(
            f"{job.name}: no recorded sensor is matched by {quoted(patterns)}, or an earlier rule "
            f"takes it; recorded are {quoted(sensors)}"
        )
    return found


def _joined(one: SensorWindows, other: SensorWindows) -> SensorWindows:
    ends = np.concatenate([one.ends, other.ends])
    order = np.argsort(ends, kind="stable")
    data = np.concatenate([one.data, other.data])[order]
    return SensorWindows(data, ends[order], np.concatenate([one.labels, other.labels])[order])


def _train(
    job: Job,
    windows: Mapping[str, SensorWindows],
    store: ModelStore,
    *,
    labelled: bool,
    promote: bool,
    console: Console | None,
) -> Trained:
    anomalous = sum(int((own.labels == 1).sum()) for own in windows.values())
    known = {name: own.labels.astype(np.float32) for name, own in windows.items()}
    kept = {name: labelled | (known[name] != 1) for name in windows}
    lesson = {name: own.data[kept[name]] for name, own in windows.items()}
    count = sum(map(len, lesson.values()))
    if console:
        faults = f", {anomalous:,} of them faults," if labelled else ""
        console.print(f"training {job.name} on {count:,} windows{faults} of {len(lesson)} sensors")
    show = console is not None
    model = train_model(recipe_of(job), lesson, known if labelled else None, progress=show)
    manifest = store.publish(model, alias=None)
    wanted = Reference(job.use.reference.detector, manifest.name, str(manifest.version))
    for alias in job.aliases if promote else ():
        store.point(wanted, alias)
    return Trained(
        detector=wanted.label,
        model=manifest.name,
        version=manifest.version,
        aliases=tuple(job.aliases) if promote else (),
        windows=int(count - manifest.metrics["windows_left_out"]),
        anomalous=0 if labelled else anomalous,
        faults=anomalous if labelled else 0,
        sensors=len(manifest.sensors),
        seconds=round(manifest.metrics["seconds"], 2),
        held_out={f"{q:g}": float(np.quantile(manifest.calibration, q)) for q in QUANTILES},
    )


def learns_labels(job: Job) -> bool:
    """Whether the detector learns from known faults; any other one leaves them out."""
    found = detector_class(job.use.reference.detector)
    return bool(getattr(found, "uses_labels", False))


def recipe_of(job: Job) -> Recipe:
    """Between training and held-out windows lies the time of at least one window."""
    window, wanted = job.window, job.use.reference
    gap = math.ceil(2 * window.samples / window.hop_samples) - 1
    return Recipe(
        detector=wanted.detector,
        name=wanted.model,
        shape=window.model_shape,
        channels=window.model_channels,
        rate=window.rate,
        params=job.use.params,
        front=window.front,
        gap=gap,
    )


def _table(found: Sequence[Trained]) -> Table:
    table = Table(title="Trained models", box=SIMPLE_HEAD, show_edge=False)
    table.caption = "q0.99: of the scores of held-out windows"
    table.add_column("model", no_wrap=True)
    table.add_column("aliases", overflow="fold")
    for head in ("sensors", "windows", "faults", "left out", "s", "q0.99"):
        table.add_column(head, justify="right")
    for each in found:
        counts = each.sensors, each.windows, each.faults, each.anomalous
        figures = [f"{count:,}" for count in counts]
        name = f"{each.detector}:{each.model}@{each.version}"
        aliases = ", ".join(each.aliases) or "-"
        table.add_row(
            name, aliases, *figures, f"{each.seconds:.1f}", f"{each.held_out['0.99']:.4g}"
        )
    return table
