"""The naive peer: what one writes first, one message and one library call at a time.

`json.loads`, the same nets in eager torch at batch 1, river's half-space trees, `np.quantile` over
a deque, `labels().set()`. Where there was a choice it was made in the peer's favour: its windows
are scaled and its statistics computed by our compiled kernels, its nets have batch normalisation
folded, all sensors share one forest (one each would take 3 GiB and leave the cache), and the
floats in its JSON are as short as they can be.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from river.anomaly import HalfSpaceTrees

from monitor.features.scaling import scale
from monitor.features.statistics import STATISTICS, statistics
from monitor.model import Model
from monitor.offline.bench.measure import Work
from monitor.offline.bench.workload import Workload
from monitor.types import Array

REMEMBERED = 1000
QUANTILE = 0.99
TREES, HEIGHT = 25, 8
FOREST = "half_space_trees"


def eager(model: Model, scaled: Array) -> float:
    """The score of one scaled window `(C, T)` by the model's net, in torch, at batch 1."""
    with torch.inference_mode():
        return float(model.detector.net(torch.from_numpy(scaled[None])).sum())  # type: ignore[attr-defined]


class HalfSpace:
    """River's online forest, told the limits of its inputs `(N, 16)` in advance."""

    def __init__(self, examples: Array, trees: int = TREES, height: int = HEIGHT) -> None:
        limits: dict[Hashable, tuple[float, float]] = {
            name: (float(column.min()), float(max(column.max(), column.min() + 1e-6)))
            for name, column in zip(STATISTICS, examples.T, strict=True)
        }
        self._forest: Any = HalfSpaceTrees(trees, height, limits=limits, seed=1)

    def take(self, features: dict[str, float]) -> float:
        """Score, then learn."""
        score = float(self._forest.score_one(features))
        self._forest.learn_one(features)
        return score


class Naive:
    """The whole path for one message after the other; a side of a comparison.

    The deques start full, as they are after a while. `scores` keeps the newest raw scores of each
    detector.
    """

    unit = 1

    def __init__(self, workload: Workload, models: Sequence[Model]) -> None:
        self.workload, self.models = workload, models
        self.scores: deque[dict[str, float]] = deque(maxlen=REMEMBERED)
        self.flagged = 0
        self._next = 0
        constants = np.repeat(models[0].group[None], workload.pool, axis=0)
        seen = statistics(scale(workload.windows, constants))[:, 0]
        self._forest = HalfSpace(seen)
        self._registry = CollectorRegistry()
        self._gauge = Gauge(
            "anomaly_score", "Raw score.", ["sensor", "detector"], registry=self._registry
        )
        self._past = self._full_deques({m.label: m.calibration.tolist() for m in models})

    def prepare(self, windows: int) -> Work:
        """As `Side.prepare`; the work ends with one scrape."""
        items = self.workload.items(self._next, windows)
        messages = [self.workload.text(item) for item in items]
        self._next += windows

        def work() -> None:
            for message in messages:
                self.take(message)
            generate_latest(self._registry)

        return work

    def take(self, message: bytes) -> None:
        """Score one message."""
        found = json.loads(message)
        sensor = found["sensor"]
        window = np.array(found["values"], np.float32)[None]
        scores = {model.label: self._net_score(model, sensor, window) for model in self.models}
        scores[FOREST] = self._forest_score(sensor, window)
        for detector, score in scores.items():
            past = self._past[sensor, detector]
            self.flagged += bool(score > np.quantile(past, QUANTILE))
            past.append(score)
            self._gauge.labels(sensor, detector).set(score)
        self.scores.append(scores)

    def _net_score(self, model: Model, sensor: str, window: Array) -> float:
        own = model.constants(sensor)
        constants = model.group if own is None else own
        return eager(model, scale(window[None], constants[None])[0])

    def _forest_score(self, sensor: str, window: Array) -> float:
        numbers = statistics(window[None])[0, 0].tolist()
        return self._forest.take(dict(zip(STATISTICS, numbers, strict=True)))

    def _full_deques(self, known: Mapping[str, list[float]]) -> dict[tuple[str, str], deque[float]]:
        known = {**known, FOREST: np.linspace(0, 1, REMEMBERED).tolist()}
        return {
            (sensor, detector): deque((scores * REMEMBERED)[:REMEMBERED], REMEMBERED)
            for sensor in self.workload.names
            for detector, scores in known.items()
        }
