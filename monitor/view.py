"""What a process shows of itself: published by the loop, read by `serve/`; copies only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from monitor.types import Alert, Array, Evidence, Labels, Notice, Partition


@dataclass(frozen=True, slots=True)
class LaneView:
    """A copy of what is known now about the sensors of one lane of one partition; rows are
    sensors, columns detectors.

    `times`, `values` and `cuts` are the recent windows `(S, R)`, `(S, R, D)` and `(S, R, D)`,
    oldest first, NaN where there are none yet: raw scores and thresholds. `target` is the share of
    normal windows that may be flagged, `budget` the alerts that a sensor may have in a day, NaN
    where none is set.
    """

    stream: str
    partition: Partition
    detectors: tuple[str, ...]
    sensors: tuple[str, ...]
    labels: tuple[Labels, ...]
    raw: Array
    threshold: Array
    progress: Array
    window_end: NDArray[np.float64]
    last_seen: NDArray[np.float64]
    times: NDArray[np.float64]
    values: Array
    cuts: Array
    target: float = np.nan
    budget: float = np.nan


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One loaded model, for `/metrics` and the page."""

    stream: str
    detector: str
    name: str
    version: int
    fingerprint: str
    trained_at: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bucket (`bounds` are upper limits in seconds, the last bucket is unbounded) and
    the sum.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class View:
    """What the process shows of itself: published by the loop about once a second, read by
    `serve/`.

    `evidence` has the pictures of the latest alerts, the newest last. `counters` maps (metric,
    label values...) to a running total, named as in docs/metrics.md.
    `failing` names what does not work just now (source, delivery, snapshots), with the reason.
    """

    published: float
    lanes: tuple[LaneView, ...] = ()
    alerts: tuple[Alert, ...] = ()
    recent_alerts: tuple[Alert, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    notices: tuple[Notice, ...] = ()
    models: tuple[ModelInfo, ...] = ()
    counters: Mapping[tuple[str, ...], float] = field(default_factory=dict)
    histograms: Mapping[tuple[str, ...], Histogram] = field(default_factory=dict)
    position: Mapping[Partition, int] = field(default_factory=dict)
    lag: Mapping[Partition, int] = field(default_factory=dict)
    failing: Mapping[str, str] = field(default_factory=dict)


Publisher = Callable[[], View]
