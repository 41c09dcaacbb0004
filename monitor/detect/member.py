"""A member of an ensemble: a detector, what it sees, and how surprising its scores are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from monitor.arrays import put_under, under
from monitor.detect import build, detector_class, learns_online, view_of
from monitor.errors import ConfigError, ModelError
from monitor.features import seen, seen_shape
from monitor.protocols import Localiser, Trainable
from monitor.tail import fit_tail, log_survival
from monitor.types import Array, State

_KNOTS = 256
_TAIL = 0.1
_LEAST = 1e-12
_MOST = 1e30  # a constant score makes any other infinitely surprising


class _Calibration(NamedTuple):
    """-log p of a member's scores: `knots` ascend, beyond the last one a tail goes on."""

    knots: Array
    surprise: Array
    tail: Array  # scale and shape

    def of(self, scores: Array) -> Array:
        """`(N,) -> (N,)`, at least 0."""
        found = np.interp(scores, self.knots, self.surprise)
        scale, shape = float(self.tail[0]), float(self.tail[1])
        for n in np.flatnonzero(scores > self.knots[-1]).tolist():
            excess = float(scores[n]) - float(self.knots[-1])
            found[n] = self.surprise[-1] - log_survival(excess, scale, shape)
        return np.minimum(found, _MOST).astype(np.float32)


class Member:
    """One detector of an ensemble, the view it has, and what its scores mean."""

    def __init__(self, shape: Sequence[int], detector: str, params: Mapping[str, Any]) -> None:
        if learns_online(detector) or detector == "ensemble":
            raise ConfigError(f"members: {detector!r} cannot be one; valid are trained detectors")
        if getattr(detector_class(detector), "needs_labels", False):
            raise ConfigError(
                f"members: {detector!r} needs labels, which an ensemble does not pass on"
            )
        self.view = view_of(detector, params, frames=len(shape) == 3)
        self.label = detector if "view" not in params else f"{detector}/{self.view}"
        self._whole = tuple(shape)
        self._shape, self._params = seen_shape(self.view, shape), params
        self._name = detector
        self.detector = self._make()
        self.score: Callable[[Array], Array] = self.detector.score
        self.calibration: _Calibration | None = None

    def fit(self, x: Array) -> None:
        """Learn from scaled windows `(N, C, T)`, anew."""
        self.detector = self._make()
        if isinstance(self.detector, Trainable):
            self.detector.fit(seen(self.view, x))
        self.score = self.detector.score

    @property
    def localises(self) -> bool:
        """Whether its heat maps are those of whole examples."""
        return self._shape == self._whole and isinstance(self.detector, Localiser)

    def raw(self, x: Array) -> Array:
        """The detector's own scores of scaled windows."""
        return self.score(seen(self.view, x))

    def _make(self) -> Any:
        return build(self._name, self._shape, **self._params)

    def calibrate(self, scores: Array) -> None:
        """Take these scores of normal windows `(N,)` as what is usual."""
        ascending = np.sort(scores).astype(np.float64)
        tail = max(round(_TAIL * len(ascending)), 1)
        bulk = ascending[: len(ascending) - tail + 1]
        places = np.unique(np.linspace(0, len(bulk) - 1, _KNOTS).round().astype(np.int64))
        knots, first = np.unique(bulk[places].astype(np.float32), return_index=True)
        larger = len(ascending) - places[first]
        surprise = -np.log(larger / (len(ascending) + 1.0))
        excesses = np.maximum(ascending[len(ascending) - tail :] - float(knots[-1]), 0)
        tail_of = np.array(fit_tail(excesses), np.float32)
        self.calibration = _Calibration(knots, surprise.astype(np.float32), tail_of)

    def surprise(self, x: Array) -> Array:
        """-log p of scaled windows: `(N, C, T) -> (N,)`. Raises ModelError before calibration."""
        if self.calibration is None:
            raise ModelError(f"member {self.label} is not calibrated: call fit or restore first")
        return self.calibration.of(self.raw(x))

    def ratio(self, x: Array) -> Array:
        """Scores in units of the highest tenth of those of normal windows: `(N, C, T) -> (N,)`."""
        if self.calibration is None:
            raise ModelError(f"member {self.label} is not calibrated: call fit or restore first")
        high = max(float(self.calibration.knots[-1]), _LEAST)
        return np.minimum(self.raw(x).astype(np.float64) / high, _MOST).astype(np.float32)

    def state(self) -> State:
        """The detector's arrays and the calibration's."""
        if self.calibration is None:
            raise ModelError(f"member {self.label} is not calibrated: call fit or restore first")
        own: State = dict(self.calibration._asdict())
        return {**put_under("detector", self.detector.state()), **own}

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit."""
        found = [state.get(name) for name in _Calibration._fields]
        knots, surprise, tail = (checked_row(self.label, array) for array in found)
        if knots.shape != surprise.shape or tail.shape != (2,) or (tail < (1e-12, 0)).any():
            raise ModelError(f"member {self.label}: its calibration has arrays that do not fit")
        if (np.diff(knots) <= 0).any() or (np.diff(surprise) < 0).any() or surprise[0] < 0:
            raise ModelError(f"member {self.label}: its calibration does not ascend from 0")
        self.detector = self._make()
        self.detector.restore(under("detector", state))
        self.score = self.detector.score
        self.calibration = _Calibration(knots, surprise, tail)


def checked_row(who: str, array: Any) -> Array:
    """A copy of a row of finite float32; ModelError, naming whose it is, for anything else."""
    if array is None or array.dtype != np.float32 or array.ndim != 1 or not array.size:
        raise ModelError(f"{who}: an array is missing, or not a row of float32")
    if not np.isfinite(array).all():
        raise ModelError(f"{who}: an array holds NaN or infinity")
    return np.array(array)
