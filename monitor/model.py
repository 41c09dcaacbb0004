"""A trained model: manifest, scaling constants and detector, scoring raw windows.

`recipe.py` trains one, `connect/store.py` keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from monitor.arrays import fingerprint, put_under, to_bytes, under
from monitor.detect import build, view_of
from monitor.errors import ConfigError, ModelError
from monitor.features import WHOLE, natural, natural_shape, seen, seen_shape
from monitor.features.scaling import beyond, scale, unscale
from monitor.protocols import Detector, Embedder, Explainer, Localiser, Rebuilding
from monitor.types import Array, Manifest, State

FORMAT = 1
CHUNK = 64
_NOT_IN_FINGERPRINT = ("version", "metrics", "trained_at", "fingerprint", "history")


class Program(Protocol):
    """A detector's score for one fixed number of rows; `backend` says what runs it."""

    backend: str

    def __call__(self, x: Array) -> Array: ...


@runtime_checkable
class Compilable(Protocol):
    """A detector that has a faster form for calls of one fixed size."""

    def compile(self, chunk: int, backend: str = "auto") -> Program: ...


class Model:
    """A `monitor.protocols.Scorer`: scales examples, shows them to the detector as it wants them.

    Every call of the detector has exactly `chunk` rows, the last filled up with zeros, so scores
    do not depend, not even in the last bit, on which windows came together. `fingerprint`
    changes with anything that may change a score, so also with chunk and backend; that of the
    model file is `manifest.fingerprint`.
    """

    def __init__(
        self,
        manifest: Manifest,
        state: State,
        detector: Detector,
        *,
        chunk: int = CHUNK,
        backend: str = "auto",
    ) -> None:
        self.manifest = manifest
        self.detector = detector
        self.chunk = chunk
        self.label = manifest.detector.rpartition(":")[2]
        self.shape: tuple[int, ...] = manifest.shape
        with np.errstate(over="ignore"):  # a threshold refuses what is not finite
            self.calibration = np.asarray(manifest.calibration, np.float32)
        self.group: Array = state["group"]
        self._constants: Array = state["constants"]
        self._span: Array = state["span"]
        self._places = {sensor: place for place, sensor in enumerate(manifest.sensors)}
        self._score: Callable[[Array], Array] = detector.score
        self.backend = "numpy"
        if isinstance(detector, Compilable):
            program = detector.compile(chunk, backend)
            self._score, self.backend = program, program.backend
        self.fingerprint = fingerprint(manifest.fingerprint, str(chunk), self.backend)

    def constants(self, sensor: str) -> Array | None:
        """Centre and scale `(2, C)` of a sensor of the training data, None for another."""
        place = self._places.get(sensor)
        return None if place is None else self._constants[place]

    def score(self, x: Array, constants: Array) -> Array:
        """`(N, C, T), (N, 2, C) -> (N,)`; NaN where a window is not finite.

        Raises ModelError for windows or constants of another shape.
        """
        seen, finite = self._seen(x, constants)
        scores = np.array(self._in_chunks(self._score, seen), np.float32)
        scores[~finite] = np.nan
        return scores

    def beyond(self, x: Array, constants: Array) -> NDArray[np.bool_]:
        """`(N, C, T), (N, 2, C) -> (N,)`: which windows have a sample outside of the range that its
        channel had in training. What is said of them is extrapolated.
        """
        return beyond(np.asarray(x, np.float32), np.asarray(constants, np.float32), self._span)

    def contributions(self, x: Array, constants: Array) -> Array:
        """`(N, C, T), (N, 2, C) -> (N, C)`: the channels' shares in the score, which sum to 1.

        All 0 where the score is 0, where a window is not finite, and where the detector cannot
        say.
        """
        if not isinstance(self.detector, Explainer):
            return np.zeros((len(x), self.shape[0]), np.float32)
        seen, finite = self._seen(x, constants)
        shares = np.array(self._in_chunks(self.detector.contributions, seen), np.float32)
        shares[~finite] = 0
        return shares

    def heat_maps(self, x: Array, constants: Array) -> Array | None:
        """`(N, C, T), (N, 2, C) -> (N, rows, columns)`: where in each example its score comes from,
        as `Localiser` has it; None where the detector cannot say.
        """
        if not isinstance(self.detector, Localiser):
            return None
        seen, finite = self._seen(x, constants)
        maps = np.array(self._in_chunks(self.detector.heat_maps, seen), np.float32)
        maps[~finite] = 0
        return maps

    def rebuilt(self, x: Array, constants: Array) -> Array | None:
        """What the detector makes of each example, in the example's own units: `(N, C, T), (N, 2,
        C) -> (N, C, T)`; None where it rebuilds none, or sees but a view of it.
        """
        if not isinstance(self.detector, Rebuilding) or _view_name(self.manifest) != WHOLE:
            return None
        seen, _ = self._seen(x, constants)
        found = np.array(self._in_chunks(self.detector.rebuild, seen), np.float32)
        return unscale(found.reshape(x.shape), np.asarray(constants, np.float32))

    def embedded(self, x: Array, constants: Array) -> Array | None:
        """Where each example lies for the detector: `(N, C, T), (N, 2, C) -> (N, D)`; None where it
        has no such space.
        """
        if not isinstance(self.detector, Embedder):
            return None
        seen, _ = self._seen(x, constants)
        return np.array(self._in_chunks(self.detector.embed, seen), np.float32)

    def state(self) -> State:
        """Every array of the model file: constants, and the detector's own below `detector/`."""
        arrays = {"constants": self._constants, "group": self.group, "span": self._span}
        return {**arrays, **put_under("detector", self.detector.state())}

    def _seen(self, x: Array, constants: Array) -> tuple[Array, NDArray[np.bool_]]:
        """What the detector sees, with zeros for windows that are not finite, and which are."""
        if x.shape[1:] != self.shape or constants.shape != (len(x), 2, self.shape[0]):
            raise ModelError(
                f"windows {x.shape} and constants {constants.shape} do not fit model "
                f"{self.manifest.name!r} of {self.label}; valid are (N, *{self.shape}) and "
                f"(N, 2, {self.shape[0]})"
            )
        finite = np.asarray(np.isfinite(x).all(axis=(1, 2)))
        scaled = scale(np.asarray(x, np.float32), np.asarray(constants, np.float32))
        scaled[~finite] = 0
        return view(self.manifest, scaled), finite

    def _in_chunks(self, function: Callable[[Array], Array], x: Array) -> Array:
        """`function` over all rows, always called with `chunk` of them."""
        parts = []
        for start in range(0, max(len(x), 1), self.chunk):
            rows = x[start : start + self.chunk]
            if len(rows) < self.chunk:
                rows = np.zeros((self.chunk, *x.shape[1:]), np.float32)
                rows[: len(x) - start] = x[start:]
            parts.append(function(rows))
        return np.concatenate(parts)[: len(x)]


def identity(manifest: Manifest, state: State) -> str:
    """The fingerprint of a model file: the same training on the same data gives the same one.

    It covers the arrays and everything in the manifest that can change a score or its meaning.
    """
    told = {k: v for k, v in asdict(manifest).items() if k not in _NOT_IN_FINGERPRINT}
    return fingerprint(to_bytes(state), told)


def restored(
    manifest: Manifest, state: State, detector: str, *, chunk: int = CHUNK, backend: str = "auto"
) -> Model:
    """The model of a manifest and its arrays; `detector` is the configuration's name for it.

    Raises ModelError where the manifest is of another detector or the arrays do not fit.
    """
    if manifest.detector != detector:
        raise ModelError(
            f"model {manifest.name!r} was trained as {manifest.detector!r}, not as {detector!r}"
        )
    channels, sensors = manifest.shape[0], len(manifest.sensors)
    for key, shape in (("constants", (sensors, 2, channels)), ("group", (2, channels))):
        found = state.get(key)
        if found is None or found.shape != shape or found.dtype != np.float32:
            raise ModelError(f"model {manifest.name!r}: array {key!r} is not float32 {shape}")
        if not np.isfinite(found).all() or (found[..., 1, :] <= 0).any():
            raise ModelError(f"model {manifest.name!r}: array {key!r} holds a scale that is none")
    span = state.get("span")
    if span is None or span.shape != (2, channels) or not (span[0] <= span[1]).all():
        raise ModelError(f"model {manifest.name!r}: array 'span' is no range of each channel")
    try:
        built = build(detector, view_shape(manifest), **manifest.params)
    except ConfigError as error:
        raise ModelError(f"model {manifest.name!r}: its parameters do not fit: {error}") from error
    built.restore(under("detector", state))
    return Model(manifest, state, built, chunk=chunk, backend=backend)


class Shown(Protocol):
    """What decides how a detector is shown its examples: of a manifest, or of a recipe.

    `shape` is `(C, T)`; `front` as in `Manifest`.
    """

    @property
    def detector(self) -> str: ...

    @property
    def params(self) -> Mapping[str, Any]: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def front(self) -> Mapping[str, Any]: ...


def view_shape(shown: Shown) -> tuple[int, ...]:
    """The shape of what a detector sees of examples `(C, T)`: `(C, H, W)` of a whole frame."""
    return seen_shape(_view_name(shown), natural_shape(shown.shape, shown.front))


def view(shown: Shown, scaled: Array) -> Array:
    """What a detector sees of scaled examples `(N, C, T)`: themselves, or a view of them."""
    return seen(_view_name(shown), natural(scaled, shown.front))


def _view_name(shown: Shown) -> str:
    return view_of(shown.detector, shown.params, frames="frame" in shown.front)
