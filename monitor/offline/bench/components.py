"""Single parts against what one would take instead, in microseconds per window."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from river.stats import RollingQuantile

from monitor.alerting import ThresholdConfig
from monitor.features.scaling import scale
from monitor.features.statistics import STATISTICS, statistics
from monitor.model import Model
from monitor.offline.bench.measure import (
    Advance,
    Comparison,
    Side,
    Simple,
    Work,
    compare,
    interleave,
    over,
)
from monitor.offline.bench.naive import QUANTILE, REMEMBERED, HalfSpace, eager
from monitor.offline.bench.ours import FOREST_PARAMS, Ours
from monitor.offline.bench.workload import STREAM, Workload
from monitor.protocols import Scorer
from monitor.stream.threshold import RollingThreshold
from monitor.types import Array, Slots

PART = 0.2


class Rival(NamedTuple):
    """Two ways to do the same."""

    name: str
    peer: str
    ours: Side
    theirs: Side


def rivals(paths: Sequence[Ours], models: Sequence[Model]) -> list[Rival]:
    """Every pair; the nets for the chunk of each path, the rest for that of the first."""
    first = paths[0]
    nets = [rival for path in paths for rival in _nets(path, models)]
    return [*_forests(first), *_thresholds(first), _decoders(first), *nets]


def compare_rivals(
    pairs: Sequence[Rival], seconds: float, advance: Advance | None = None
) -> list[Comparison]:
    """Each pair in turn; each of its sides gets about `seconds`."""
    found = []
    for rival in pairs:
        sides = [rival.ours, rival.theirs]
        slices = interleave(sides, seconds, min(seconds / 3, PART), advance)
        found.append(compare(rival.name, rival.peer, *slices))
    return found


def _forests(ours: Ours) -> Iterator[Rival]:
    """Ours has a forest for each sensor; the peer has one in all, so its memory stays in cache."""
    seen = statistics(ours.workload.windows)
    many, one = (_isolation(ours, seen, sensors) for sensors in (ours.workload.sensors, 1))
    for trees, height in ((25, 8), (10, 8)):
        peer = "river HalfSpaceTrees"
        theirs = _half_space(seen[:, 0], trees, height)
        yield Rival(f"forest/{trees}x{height}/sensors={ours.workload.sensors}", peer, many, theirs)
        yield Rival(f"forest/{trees}x{height}/sensors=1", peer, one, theirs)


def _isolation(ours: Ours, seen: Array, sensors: int) -> Side:
    """Score, learn and forget with windows full; a call has the chunk's rows, or one for one
    sensor.
    """
    forest = ours.pipeline.streams[0].lanes[0].online[0].make()
    rng = np.random.default_rng(1)

    def inputs(rows: int, calls: int) -> list[tuple[Slots, Array, Array]]:
        learn = np.full(rows, np.inf, np.float32)
        examples = rng.integers(len(seen), size=(calls, rows))
        return [(_distinct(rng, sensors, rows), seen[places], learn) for places in examples]

    for call in inputs(sensors, 1 + FOREST_PARAMS["window"]):
        forest.score_learn(*call)
    rows = min(ours.unit, sensors)
    return Simple(
        rows, lambda n: over(lambda call: forest.score_learn(*call), inputs(rows, n // rows))
    )


def _distinct(rng: np.random.Generator, sensors: int, rows: int) -> Slots:
    return np.asarray(rng.permutation(sensors)[:rows], np.int64)


def _half_space(seen: Array, trees: int, height: int) -> Side:
    forest = HalfSpace(seen, trees, height)
    rng = np.random.default_rng(1)
    examples = [dict(zip(STATISTICS, row, strict=True)) for row in seen.tolist()]

    def make(windows: int) -> Work:
        places = rng.integers(len(examples), size=windows).tolist()
        return over(forest.take, [examples[place] for place in places])

    return Simple(1, make)


def _thresholds(ours: Ours) -> Iterator[Rival]:
    mine = _percentile(ours.workload, ours.unit)
    yield Rival("threshold/numpy", "np.quantile of a deque", mine, _deque_quantile())
    yield Rival("threshold/river", "river RollingQuantile", mine, _river_quantile())


def _percentile(workload: Workload, chunk: int) -> Side:
    """One threshold read and updated for each of a chunk of sensors."""
    settings = ThresholdConfig(quantile=QUANTILE, window=REMEMBERED)
    threshold = RollingThreshold(1, settings, [None])
    rng = np.random.default_rng(2)
    every = np.arange(workload.sensors)
    for _ in range(REMEMBERED):
        threshold.update(every, rng.random((len(every), 1), np.float32))

    def take(call: tuple[Slots, Array]) -> None:
        threshold.cuts(call[0])
        threshold.update(*call)

    def make(windows: int) -> Work:
        slots = [_distinct(rng, workload.sensors, chunk) for _ in range(windows // chunk)]
        return over(take, [(rows, rng.random((len(rows), 1), np.float32)) for rows in slots])

    return Simple(min(chunk, workload.sensors), make)


def _deque_quantile() -> Side:
    rng = np.random.default_rng(3)
    past = deque(rng.random(REMEMBERED).tolist(), REMEMBERED)

    def take(score: float) -> None:
        np.quantile(past, QUANTILE)
        past.append(score)

    return Simple(1, lambda n: over(take, rng.random(n).tolist()))


def _river_quantile() -> Side:
    rng = np.random.default_rng(3)
    rolling = RollingQuantile(QUANTILE, REMEMBERED)
    for score in rng.random(REMEMBERED).tolist():
        rolling.update(score)

    def take(score: float) -> None:
        rolling.get()
        rolling.update(score)

    return Simple(1, lambda n: over(take, rng.random(n).tolist()))


def _decoders(ours: Ours) -> Rival:
    codec, workload = ours.pipeline.codecs[STREAM], ours.workload

    def parse(message: bytes) -> object:
        return np.array(json.loads(message)["values"], np.float32)

    def binary(n: int) -> Work:
        return over(codec.decode, [workload.record(item) for item in workload.items(0, n)])

    def text(n: int) -> Work:
        return over(parse, [workload.text(item) for item in workload.items(0, n)])

    return Rival("decode", "json.loads", Simple(1, binary), Simple(1, text))


def _nets(ours: Ours, models: Sequence[Model]) -> Iterator[Rival]:
    windows, scorers = ours.workload.windows, ours.pipeline.streams[0].lanes[0].scorers
    for model, scorer in zip(models, scorers, strict=True):
        name = f"{model.label}/batch={ours.unit}"
        mine, theirs = _batched(scorer, windows, ours.unit), _eager(model, windows)
        yield Rival(name, "torch eager batch 1", mine, theirs)


def _batched(scorer: Scorer, windows: Array, chunk: int) -> Side:
    constants = np.repeat(scorer.group[None], chunk, axis=0)
    rng = np.random.default_rng(4)

    def make(n: int) -> Work:
        places = rng.integers(len(windows), size=(n // chunk, chunk))
        return over(lambda x: scorer.score(x, constants), [windows[rows] for rows in places])

    return Simple(chunk, make)


def _eager(model: Model, windows: Array) -> Side:
    """Scaled in advance, in the peer's favour."""
    scaled = scale(windows, np.repeat(model.group[None], len(windows), axis=0))
    rng = np.random.default_rng(4)

    def make(n: int) -> Work:
        places: Any = rng.integers(len(scaled), size=n)
        return over(lambda x: eager(model, x), list(scaled[places]))

    return Simple(1, make)
