"""`monitor reproduce skab`: the Skoltech Anomaly Benchmark with the product as it is.

34 runs of a water circulation testbed, 8 channels at 1 Hz. Of each run the first 400 rows train a
model of its own, without labels; the rest is judged row by row, from the past alone. Training,
windows, scores and thresholds are those of `monitor train` and `monitor replay`. As in the
published results a row is a sample: the second that is left out now and then, and the gaps of some
runs, are not filled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitor.connect.recording.reading import Recording
from monitor.connect.recording.table import read_frame
from monitor.connect.store import ModelStore
from monitor.errors import ConfigError
from monitor.notation import reference
from monitor.offline.heard import Heard, Track
from monitor.offline.replay import play
from monitor.offline.reproduce.data import download, find, listed
from monitor.offline.suggest import THRESHOLD
from monitor.offline.train import train
from monitor.settings import Config
from monitor.types import Array

CHANNELS = (
    "Accelerometer1RMS",
    "Accelerometer2RMS",
    "Current",
    "Pressure",
    "Temperature",
    "Thermocouple",
    "Voltage",
    "Volume Flow RateRMS",
)
TRAINING = 400  # rows
STREAM = "skab"
START = 1_577_836_800.0  # of every run; rows are numbered in seconds from here on
CHUNK = 8  # each model serves one run: large calls would be padding
REGISTRY = Path(__file__).with_name("skab.sha256")
URL = "https://raw.githubusercontent.com/waico/SKAB/f3d94c49e08bcebba810eec28f5b7cc82523441d/"
_MARKS = "anomaly", "changepoint"


@dataclass(frozen=True, slots=True)
class Method:
    """What is used on windows of so many rows, one for each row."""

    detector: str
    samples: int
    params: Mapping[str, Any] = field(default_factory=dict)


# `monitor init` suggests 24 samples for these recordings. A change takes 57 s in this testbed.
OUTLIERS = Method("ensemble", 24)
CHANGES = Method("mahalanobis", 80, {"view": "change", "wander": 0.0})
PAUSE = 30  # rows after which a change that goes on is told again


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One file: times in s, data `(C, n)`, which rows are anomalous, and at which one something
    changes.
    """

    name: str
    times: NDArray[np.float64]
    stamps: tuple[str, ...]
    data: Array
    anomalous: NDArray[np.bool_]
    changing: NDArray[np.bool_]

    def recording(self, rows: slice) -> Recording:
        """Some rows, without labels, a second each."""
        number = np.arange(len(self.times), dtype=np.float64)[rows]
        path = Path(f"{self.name}.csv")
        return Recording(self.name, START + number, self.data[:, rows], CHANNELS, None, path)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The rows of one run after its training: raw scores, the product's thresholds as they moved,
    and the cut that its training alone gives.
    """

    run: Run
    raw: NDArray[np.float64]
    moving: NDArray[np.float64]
    cut: float

    @property
    def value(self) -> NDArray[np.float64]:
        """Scores in units of the cut from training."""
        return self.raw / self.cut

    @property
    def truth(self) -> NDArray[np.bool_]:
        return self.run.anomalous[TRAINING:]


def find_runs(data: Path | None) -> Path:
    """The folder of the benchmark in the folder `data`, or where `data.find` looks else; downloaded
    where there is none. Raises ConfigError where it cannot be had.
    """
    return find(data, STREAM, listed(REGISTRY)) or download(STREAM, URL, REGISTRY)


def read_runs(folder: Path) -> list[Run]:
    """The labelled runs. Raises ConfigError where one is missing or is none."""
    return [read_run(folder / file) for file in listed(REGISTRY)]


def score_runs(runs: Sequence[Run], method: Method, *, progress: bool = False) -> list[Scored]:
    """Train a model for each run on its first rows, and play all of its rows.

    The cut is the quantile of held-out training scores from which the product's thresholds start.
    """
    with tempfile.TemporaryDirectory(prefix="monitor-skab-") as folder:
        config = config_of(runs, method, Path(folder))
        train(config, {STREAM: [run.recording(slice(None, TRAINING)) for run in runs]})
        heard = Heard()
        whole = {STREAM: [run.recording(slice(None)) for run in runs]}
        play(config, whole, heard, progress=progress)
        tracks, store = heard.tracks(STREAM), ModelStore(config.models)
        models = {run.name: store.load(reference(_model(method, run))) for run in runs}
    quantile = config.streams[STREAM].threshold.quantile
    cuts = {name: float(np.quantile(m.calibration, quantile)) for name, m in models.items()}
    return [_scored(run, tracks[run.name], cuts[run.name]) for run in runs]


def config_of(runs: Sequence[Run], method: Method, folder: Path) -> Config:
    """One stream; each run is a sensor with a model of its own."""
    window = {"length": method.samples, "hop": 1, "rate": 1, "channels": list(CHANNELS)}
    rules = [
        {"match": run.name, "use": [{"detector": _model(method, run), "params": method.params}]}
        for run in runs
    ]
    stream = {"topics": [STREAM], "window": window, "models": rules, "threshold": THRESHOLD}
    return Config.model_validate(
        {
            "source": {"recordings": {"paths": [STREAM]}},
            "models": folder,
            "scoring": {"chunk": CHUNK},
            "streams": {STREAM: stream},
        }
    )


def _model(method: Method, run: Run) -> str:
    return f"{method.detector}:{run.name}@production"


def _scored(run: Run, track: Track, cut: float) -> Scored:
    """The window that ends with a row is that row's."""
    rows = np.round(track.ends - START).astype(np.int64) - 1
    raw, moving = (np.full(len(run.times), np.nan) for _ in range(2))
    raw[rows], moving[rows] = track.raw[:, 0], track.cuts[:, 0]
    if not np.isfinite(raw[TRAINING:]).all():
        raise ConfigError(f"{run.name}: some rows after the first {TRAINING} have no score")
    return Scored(run, raw[TRAINING:], moving[TRAINING:], cut)


def read_run(path: Path) -> Run:
    """One file, named by its folder and its number. Raises ConfigError where it is no run."""
    frame = read_frame(path)
    missing = [name for name in (*CHANNELS, "datetime", *_MARKS) if name not in frame.columns]
    if missing:
        raise ConfigError(f"{path}: is no run of SKAB: it has no column {missing[0]!r}")
    if len(frame) <= TRAINING:
        raise ConfigError(f"{path}: has {len(frame)} rows; more than {TRAINING} are needed")
    stamps = pd.to_datetime(frame["datetime"])
    return Run(
        name=f"{path.parent.name}-{path.stem}",
        times=stamps.to_numpy("datetime64[ns]").astype(np.int64) / 1e9,
        stamps=tuple(map(str, frame["datetime"])),
        data=np.ascontiguousarray(frame[list(CHANNELS)].to_numpy(np.float32).T),
        anomalous=frame["anomaly"].to_numpy(np.float64) == 1,
        changing=frame["changepoint"].to_numpy(np.float64) == 1,
    )
