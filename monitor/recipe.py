"""Training: the windows of a fleet -> a calibrated model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from monitor.arrays import fingerprint, put_under
from monitor.detect import build, curves
from monitor.errors import ConfigError, ModelError
from monitor.features.scaling import scale, scaling_of
from monitor.model import FORMAT, Model, identity, view, view_shape
from monitor.protocols import Detector, Online, Trainable
from monitor.types import Array, Clock, Manifest, State

QUANTILES = 256
FEWEST_WINDOWS = 50
FEWEST_PER_SENSOR = 5
_HELD_OUT = 0.2
_POOLED = 4096
_MEMBERS = ("shape", "score", "state", "restore")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to train: a detector of the table or a class path, for windows of `shape` `(C, T)`.

    `rate` is in samples/s; `front` as in `Manifest`. `gap` is the number of windows between
    training and held-out ones; with overlapping windows it must be enough that they share no
    sample.
    """

    detector: str
    name: str
    shape: tuple[int, int]
    channels: tuple[str, ...]
    rate: float
    params: Mapping[str, Any] = field(default_factory=dict)
    front: Mapping[str, Any] = field(default_factory=dict)
    gap: int = 1

    def scaling(self, x: Array) -> Array:
        """The constants `(2, C)` for examples `(N, C, T)`: fitted, but fixed for frames."""
        return scaling_of(self.front)(x)


def train(
    recipe: Recipe,
    windows: Mapping[str, Array],
    labels: Mapping[str, Array] | None = None,
    *,
    progress: bool = False,
    clock: Clock = time.time,
) -> Model:
    """Train on the windows `(n, C, T)` of each sensor, in the order of time.

    The last 20 % of each sensor are held out: their scores become the calibration. A detector that
    says `refits` then learns anew from all windows, the newest too, since machines change; its
    calibration stays that of windows it had not seen. One that has `held_out` scores after `fit`
    holds out windows itself, and is given all of them at once.

    `labels` are those of `Trainable.fit`, `(n,)` for each sensor that has any; known anomalies and
    examples of other known classes enter no constants and no calibration. A detector without `fit`
    is only calibrated. Windows that are not finite are left out, and so is a sensor with fewer than
    FEWEST_PER_SENSOR others; the metrics count them. Raises ModelError where there is too little to
    learn from or a shape is wrong, ConfigError for what is no detector, or learns in the stream.
    """
    detector = _untrained(recipe, progress=progress)
    fleet = _fleet(recipe, windows, labels or {})
    manifest = _manifest(recipe, fleet, windows)
    started = time.perf_counter()
    whole = [sensor._replace(end=len(sensor.x)) for sensor in fleet]
    with curves.heard() as history:
        if hasattr(detector, "held_out"):
            state = _fit(detector, recipe, whole, labelled=labels is not None)
            scores: Array = detector.held_out
        else:
            state = _fit(detector, recipe, fleet, labelled=labels is not None)
            scores = _held_out_scores(Model(manifest, state, detector), fleet, state["constants"])
            if getattr(detector, "refits", False):
                history.clear()
                detector = _untrained(recipe, progress=progress)
                state = _fit(detector, recipe, whole, labelled=labels is not None)
    metrics = {**getattr(detector, "metrics", {}), "seconds": time.perf_counter() - started}
    metrics["windows"] = float(sum(sensor.end for sensor in fleet))
    left_out = sum(map(len, windows.values())) - sum(len(sensor.x) for sensor in fleet)
    metrics["windows_left_out"] = float(left_out)
    metrics["sensors_left_out"] = float(len(windows) - len(fleet))
    quantiles = np.quantile(scores, np.linspace(0, 1, QUANTILES)).astype(np.float32)
    calibration = tuple(map(float, quantiles))
    manifest = replace(manifest, metrics=metrics, trained_at=clock(), calibration=calibration)
    manifest = replace(manifest, history=tuple(history))
    manifest = replace(manifest, fingerprint=identity(manifest, state))
    return Model(manifest, state, detector)


class _Sensor(NamedTuple):
    """The usable windows of one sensor and their labels: those before `end` are learned from, the
    normal ones from `edge` on are held out.
    """

    name: str
    x: Array
    y: Array
    end: int
    edge: int

    def normal(self) -> Array:
        """The training windows that are not known anomalies, all if there are no others."""
        x, known = self.x[: self.end], self.y[: self.end] <= 0
        return x[known] if known.any() else x

    def learned(self) -> tuple[Array, Array]:
        """Training windows and their labels. What is labelled as no normal window is learned from
        wherever it stands: there is little of it, and it calibrates nothing. It comes first, since
        a detector may hold out what comes last.
        """
        told = self.end + np.flatnonzero(self.y[self.end :] >= 1)
        order = np.concatenate([told, np.arange(self.end)])
        return self.x[order], self.y[order]

    def held_out(self) -> Array:
        """Normal windows that nothing is learned from."""
        return self.x[self.edge :][self.y[self.edge :] <= 0]


def _fit(detector: Detector, recipe: Recipe, fleet: Sequence[_Sensor], *, labelled: bool) -> State:
    """Learn from the training windows of all; the arrays of the model."""
    constants = np.stack([recipe.scaling(sensor.normal()) for sensor in fleet])
    x, y = _interleaved(fleet, constants)
    if hasattr(detector, "gap"):
        detector.gap = -(-recipe.gap // 2) * len(fleet)  # enough to share no sample
    if isinstance(detector, Trainable):
        detector.fit(view(recipe, x), y if labelled else None)
    group = recipe.scaling(_thinned(np.concatenate([sensor.normal() for sensor in fleet])))
    learned = x[y <= 0] if (y <= 0).any() else x
    span = np.stack([learned.min(axis=(0, 2)), learned.max(axis=(0, 2))])
    arrays: State = {"constants": constants, "group": group, "span": span}
    return {**arrays, **put_under("detector", detector.state())}


def _untrained(recipe: Recipe, *, progress: bool) -> Detector:
    detector = build(recipe.detector, view_shape(recipe), **recipe.params)
    if isinstance(detector, Online):
        raise ConfigError(f"detector {recipe.detector!r} learns in the stream: no model to train")
    if not isinstance(detector, Detector):
        lacks = [name for name in _MEMBERS if not hasattr(detector, name)]
        raise ConfigError(
            f"{recipe.detector!r} is no detector: it lacks {', '.join(lacks)}; see "
            "monitor.protocols.Detector"
        )
    if hasattr(detector, "show_progress"):
        detector.show_progress = progress
    return detector


def _fleet(
    recipe: Recipe, windows: Mapping[str, Array], labels: Mapping[str, Array]
) -> list[_Sensor]:
    """Every sensor with enough windows, divided. Raises ModelError where all is too little."""
    divided = [_divided(recipe, name, windows[name], labels.get(name)) for name in sorted(windows)]
    fleet = [sensor for sensor in divided if len(sensor.x) >= FEWEST_PER_SENSOR and sensor.end]
    count = sum(len(sensor.x) for sensor in divided)
    if sum(len(sensor.x) for sensor in fleet) < FEWEST_WINDOWS:
        raise ModelError(
            f"training {recipe.detector} {recipe.name!r} needs at least {FEWEST_WINDOWS} usable "
            f"windows, and {FEWEST_PER_SENSOR} of each sensor; there are {count} windows of "
            f"{len(windows)} sensors"
        )
    for part, rows in (
        ("train on", sum(s.end for s in fleet)),
        ("hold out", sum(len(s.held_out()) for s in fleet)),
    ):
        if not rows:
            raise ModelError(
                f"training {recipe.detector} {recipe.name!r}: of {count} windows none is left to "
                f"{part}, with a gap of {recipe.gap}; record more normal operation"
            )
    return fleet


def _divided(recipe: Recipe, name: str, x: Array, y: Array | None) -> _Sensor:
    known = np.full(len(x), -1, np.float32) if y is None else np.asarray(y, np.float32)
    if x.shape[1:] != recipe.shape or known.shape != x.shape[:1]:
        raise ModelError(
            f"sensor {name!r}: windows {x.shape} and labels {known.shape} do not fit; valid are "
            f"(n, *{recipe.shape}) and (n,)"
        )
    usable = np.isfinite(x).all(axis=(1, 2))
    x, known = np.asarray(x[usable], np.float32), known[usable]
    edge = len(x) - round(_HELD_OUT * len(x))
    return _Sensor(name, x, known, max(edge - recipe.gap, 0), edge)


def _interleaved(fleet: Sequence[_Sensor], constants: Array) -> tuple[Array, Array]:
    """Scaled training windows of all sensors, ordered by how far into its own data each stands.

    A detector may hold out the last rows for an early stop: these are then of every sensor.
    """
    parts = [sensor.learned() for sensor in fleet]
    place = np.concatenate([np.arange(len(y)) / max(len(y), 1) for _, y in parts])
    order = np.argsort(place, kind="stable")
    each = zip(parts, constants, strict=True)
    x = np.concatenate([_scaled(x, own) for (x, _), own in each])
    return x[order], np.concatenate([y for _, y in parts])[order]


def _scaled(x: Array, constants: Array) -> Array:
    return scale(x, np.repeat(constants[None], len(x), axis=0))


def _thinned(x: Array) -> Array:
    """At most _POOLED windows, evenly spaced: plenty for three quantiles."""
    return x[:: -(-len(x) // _POOLED)]


def _held_out_scores(model: Model, fleet: Sequence[_Sensor], constants: Array) -> Array:
    held_out = [sensor.held_out() for sensor in fleet]
    x, counts = np.concatenate(held_out), [len(rows) for rows in held_out]
    return model.score(x, np.repeat(constants, counts, axis=0))


def _manifest(recipe: Recipe, fleet: Sequence[_Sensor], windows: Mapping[str, Array]) -> Manifest:
    """What is known before training; version 0 means not published."""
    data = [part for name in sorted(windows) for part in (name, windows[name].tobytes())]
    return Manifest(
        detector=recipe.detector,
        name=recipe.name,
        version=0,
        shape=(int(recipe.shape[0]), int(recipe.shape[1])),
        channels=tuple(recipe.channels),
        rate=float(recipe.rate),
        params=dict(recipe.params),
        calibration=(),
        metrics={},
        sensors=tuple(sensor.name for sensor in fleet),
        trained_at=0.0,
        fingerprint="",
        data_fingerprint=fingerprint(*data),
        front=dict(recipe.front),
        format=FORMAT,
    )
