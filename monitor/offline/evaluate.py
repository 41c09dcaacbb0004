"""Recordings with labels -> how good scores and alerts are, by file and for all together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from monitor import journal
from monitor.connect.recording.reading import Recording
from monitor.errors import ConfigError
from monitor.offline.dataset import Recorded, by_sensor, read_labelled
from monitor.offline.evaluate_table import alerting_table, ranking_table
from monitor.offline.figures import write_figures
from monitor.offline.heard import Heard, Track
from monitor.offline.intervals import auroc_interval
from monitor.offline.labels import (
    Event,
    Truth,
    span,
    truth_from,
    truth_in,
)
from monitor.offline.measures import (
    Alerting,
    Found,
    Ranking,
    Watch,
    alerting,
    ranking,
    rules_of,
)
from monitor.offline.replay import Replayed, play
from monitor.offline.volume import Series, vus_pr
from monitor.settings import Config, StreamConfig
from monitor.stream.fusion import fuse
from monitor.types import Array

BLOCK = 10


@dataclass(frozen=True, slots=True)
class Part:
    """The figures of one file, or of all of a stream.

    `raw` ranks each detector's own scores, `value` those scores in units of the thresholds that
    moved along with them, and `fused` the values that the alarm judged. `unknown` is the number
    of windows without a label.
    """

    windows: int
    anomalous: int
    unknown: int
    raw: dict[str, Ranking]
    value: dict[str, Ranking]
    fused: Ranking
    alerts: Alerting
    events: list[Found]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """All figures: by stream, pooled and by file."""

    pooled: dict[str, Part]
    files: dict[str, dict[str, Part]]
    replay: Replayed


@dataclass(frozen=True, slots=True)
class Piece:
    """One recording with its windows: ends `(N,)` in s since the epoch, truth `(N,)`, scores `(N,
    D)`, as the detectors gave them and in units of their thresholds, and fused values `(N,)`.
    """

    path: Path
    sensor: str
    detectors: tuple[str, ...]
    ends: NDArray[np.float64]
    truth: NDArray[np.int8]
    raw: Array
    value: Array
    fused: Array
    watch: Watch


def run(
    config: Config,
    paths: Sequence[Path],
    labels: Path | None = None,
    *,
    time_column: str | None = None,
    json_file: Path | None = None,
) -> None:
    """The command: evaluate files and print tables."""
    journal.configure(json=False, quiet=True)
    recorded, events = read_labelled(config, paths, labels, time_column)
    found = evaluate(config, recorded, events, progress=True)
    console = Console()
    for stream in found.pooled:
        parts = {**found.files[stream], "pooled": found.pooled[stream]}
        console.print(ranking_table(stream, parts))
        console.print(alerting_table(stream, parts))
    if json_file:
        write_figures(json_file, asdict(found))


def evaluate(
    config: Config,
    recorded: Recorded,
    events: Sequence[Event] | None = None,
    *,
    progress: bool = False,
) -> Evaluated:
    """Replay recordings and compare what comes of it with events, or else with the recordings'
    own labels; with events, all other time is normal.

    Raises ConfigError where nothing is labelled.
    """
    if events is None:
        _check_labelled(recorded)
    heard = Heard()
    replayed = play(config, recorded, heard, progress=progress)
    pooled, files = {}, {}
    for name, recordings in recorded.items():
        stream = config.streams[name]
        pieces = list(pieces_of(recordings, stream, heard.tracks(name), events))
        pooled[name] = part_of(pieces, stream)
        paths = dict.fromkeys(piece.path for piece in pieces)
        files[name] = {
            str(path): part_of([p for p in pieces if p.path == path], stream) for path in paths
        }
    return Evaluated(pooled, files, replayed)


def _check_labelled(recorded: Recorded) -> None:
    every = [recording for each in recorded.values() for recording in each]
    if all(recording.labels is None for recording in every):
        raise ConfigError(
            f"{every[0].path}: has no labels, nor has any other recording; add a column 'anomaly' "
            "(1 where anomalous, else 0) or give a file of events by --labels"
        )


def pieces_of(
    recordings: Iterable[Recording],
    stream: StreamConfig,
    tracks: Mapping[str, Track],
    events: Sequence[Event] | None,
) -> Iterable[Piece]:
    """Each recording with the windows that end in it, and the alerts that open in it, as `tracks`
    have them by sensor; its truth from `events`, or else from its own labels.
    """
    rate = stream.window.rate
    for sensor, own in by_sensor(recordings).items():
        track = tracks.get(sensor) or Track.empty()
        begins = np.array([recording.time[0] for recording in own])
        windows = np.searchsorted(begins, track.ends - 0.5 / rate) - 1
        opened = np.array([alert.opened for alert in track.alerts])
        alerts = np.searchsorted(begins, opened - 0.5 / rate) - 1
        for place, recording in enumerate(own):
            told = (
                truth_in(recording, rate) if events is None else truth_from(events, recording, rate)
            )
            rows = np.flatnonzero(np.maximum(windows, 0) == place)
            mine = np.flatnonzero(np.maximum(alerts, 0) == place).tolist()
            yield _piece(recording, track.part(rows, mine, span(recording, rate)[1]), told, stream)


def _piece(recording: Recording, track: Track, told: Truth, stream: StreamConfig) -> Piece:
    rules = rules_of(stream)
    truth = told.of_windows(track.ends - rules.length, stream.window)
    watch = Watch(told.events, track.raised(), told.unknown, track.ends[truth == 0])
    value = track.value()
    fused = fuse(value, stream.alert.votes)
    said = track.detectors, track.ends, truth, track.raw, value, fused
    return Piece(recording.path, recording.sensor, *said, watch)


def part_of(pieces: Sequence[Piece], stream: StreamConfig) -> Part:
    """The figures of some recordings of a stream together."""
    truth = np.concatenate([piece.truth for piece in pieces])
    alerts, events = alerting([piece.watch for piece in pieces], rules_of(stream))
    return Part(
        windows=len(truth),
        anomalous=int((truth == 1).sum()),
        unknown=int((truth == -1).sum()),
        raw=_rankings(pieces, lambda piece: piece.raw, stream),
        value=_rankings(pieces, lambda piece: piece.value, stream),
        fused=_ranked([Series(piece.truth, piece.fused) for piece in pieces], stream),
        alerts=alerts,
        events=events,
    )


def _rankings(
    pieces: Sequence[Piece], scores: Callable[[Piece], Array], stream: StreamConfig
) -> dict[str, Ranking]:
    """Of each detector, over the recordings that it scored."""
    found = {}
    for detector in dict.fromkeys(d for piece in pieces for d in piece.detectors):
        own = [piece for piece in pieces if detector in piece.detectors]
        columns = [scores(piece)[:, piece.detectors.index(detector)] for piece in own]
        series = [Series(piece.truth, c) for piece, c in zip(own, columns, strict=True)]
        found[detector] = _ranked(series, stream)
    return found


def _ranked(series: Sequence[Series], stream: StreamConfig) -> Ranking:
    """The figures of all recordings together; a block of time is at least BLOCK windows' lengths
    long.
    """
    truth, scores = (np.concatenate([each[i] for each in series]) for i in range(2))
    found = ranking(truth.astype(np.int8), scores)
    if found.auroc is None:
        return found
    length = math.ceil(stream.window.samples / stream.window.hop_samples)
    low, high = auroc_interval(series, BLOCK * length) or (None, None)
    return replace(found, vus_pr=vus_pr(series, length), auroc_low=low, auroc_high=high)
