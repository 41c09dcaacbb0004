"""Anomaly models of river (J. Montiel et al., River: machine learning for streaming data in Python,
JMLR 22, 2021) as detectors that learn in the stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import river.anomaly
from numpy.typing import NDArray
from river.base import AnomalyDetector, SupervisedAnomalyDetector

from monitor.detect.online.river_state import EXPORTS
from monitor.detect.online.slot_memory import Field, SlotMemory, checked_rows
from monitor.errors import ConfigError, StateError
from monitor.types import Array, Slots, State

# How many examples a model has to know before its scores mean something, by its parameters.
_RIPE: dict[str, Callable[[Any], int]] = {
    "HalfSpaceTrees": lambda model: int(model.window_size),
    "GaussianScorer": lambda model: max(int(model.grace_period), 2),
    "LocalOutlierFactor": lambda model: 2 * int(model.n_neighbors),
}
_RIPE_OTHERS = 32
_SIGNED = ("LODA", "OneClassSVM")  # their scores may be below 0


class RiverModel:
    """One model of river for each sensor; a class for each kind is made by `river_class`.

    A model of examples is given all numbers of the view, each put between 0 and 1 by the range that
    the sensor has learned. A model of single values, such as `GaussianScorer`, is made for each
    number, which it sees unscaled; the largest score counts, and numbers that never changed do not.
    Scores are river's own; where those may be negative, log(1 + exp(score)). NaN until the model
    knows enough: a window of `HalfSpaceTrees`, the grace period of `GaussianScorer`.

    Parameters are those of the model in river; `seed` is 0 if it has one. Raises ConfigError for
    others. These are Python objects: slow, and for comparison more than for thousands of sensors.
    """

    view: ClassVar[str] = "statistics"
    model: ClassVar[type[Any]]
    exported: ClassVar[bool] = False
    choices: ClassVar[list[str]] = [f"river:{name}" for name in sorted(EXPORTS)]

    def __init__(self, shape: tuple[int, ...], **params: Any) -> None:
        self.shape = tuple(shape)
        self._size = math.prod(self.shape)
        self._params = _checked(self.model, params)
        self._single = issubclass(self.model, SupervisedAnomalyDetector)
        self._ripe = _RIPE.get(self.model.__name__, lambda _: _RIPE_OTHERS)(self._make())
        numbers = Field("float32", (self._size,))
        fields = {"low": numbers, "high": numbers, "learned": Field("int64", (), 0, 2**62)}
        made_with = {"size": float(self._size)}
        self._export = None
        if self.exported:
            self._export = EXPORTS[self.model.__name__](self._make, self._size)
            fields |= self._export.fields()
            made_with |= _numbers(self._params) | {"cuts": self._export.fixed()}
        self._memory: SlotMemory[State] = SlotMemory(self._name, dict, fields, made_with)
        self._models: dict[int, list[Any]] = {}

    def score_learn(self, slots: Slots, x: Array, cut: Array) -> Array:
        """Score each row against its sensor's past, then learn it where the score is at most
        `cut`: `(N,), (N, *shape), (N,) -> (N,)`. Raises ModelError for rows of another shape.
        """
        slots, rows, cuts = checked_rows(self.shape, slots, x, cut)
        self._memory.reach(slots)
        scores = np.full(len(rows), np.nan, np.float32)
        for i, slot in enumerate(slots.tolist()):
            row = rows[i].reshape(self._size)
            if not np.isfinite(row).all():
                continue
            known = self._memory.arrays["learned"][slot] >= self._ripe
            score = self._score(slot, row) if known else 0.0
            if known:
                scores[i] = score
            if score <= cuts[i]:
                self._learn(slot, row)
        return scores

    def forget(self, slots: Slots) -> None:
        """Make these slots as if never seen: other sensors will have them."""
        for slot in slots.tolist():
            self._models.pop(slot, None)
        self._memory.forget(slots)

    def state(self) -> State:
        """Ranges and counts, and what the models remember where that can be exported."""
        if self._export:
            for slot, models in self._models.items():
                self._export.put(models, self._row(slot))
        return self._memory.state()

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError where it does not fit, and always for a model that
        has no exported state.
        """
        if not self._export:
            raise StateError(
                f"{self._name} has no exported state; those that have are {', '.join(self.choices)}"
            )
        self._memory.restore(state)
        self._models = {}

    @property
    def _name(self) -> str:
        return f"river:{self.model.__name__}"

    def _make(self) -> Any:
        try:
            return self.model(**self._params)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self._name} does not take {self._params}: {error}") from error

    def _row(self, slot: int) -> dict[str, NDArray[Any]]:
        return {name: array[slot : slot + 1][0, ...] for name, array in self._memory.arrays.items()}

    def _of(self, slot: int) -> list[Any]:
        """The models of a sensor: as they were, or as a state tells, or new."""
        if slot not in self._models:
            if self._export and self._memory.arrays["learned"][slot]:
                self._models[slot] = self._export.take(self._row(slot))
            else:
                count = self._size if self._single else 1
                self._models[slot] = [self._make() for _ in range(count)]
        return self._models[slot]

    def _score(self, slot: int, row: Array) -> float:
        models = self._of(slot)
        if not self._single:
            found = models[0].score_one(self._scaled(slot, row))
        else:
            low, high = self._memory.arrays["low"][slot], self._memory.arrays["high"][slot]
            moves = (low < high) | (row != low)
            each = [_told(model, row, i) for i, model in enumerate(models) if moves[i]]
            found = max(each, default=0.0)
        if self.model.__name__ in _SIGNED:
            found = float(np.logaddexp(0.0, found))
        return min(max(float(found), 0.0), 3e38)

    def _learn(self, slot: int, row: Array) -> None:
        models, arrays = self._of(slot), self._memory.arrays
        first = arrays["learned"][slot] == 0
        arrays["low"][slot] = row if first else np.minimum(arrays["low"][slot], row)
        arrays["high"][slot] = row if first else np.maximum(arrays["high"][slot], row)
        arrays["learned"][slot] += 1
        if not self._single:
            models[0].learn_one(self._scaled(slot, row))
            return
        for i, model in enumerate(models):
            model.learn_one(_others(row, i), float(row[i]))

    def _scaled(self, slot: int, row: Array) -> dict[int, float]:
        """Numbers between 0 and 1 within what was learned; 0 for one that never changed."""
        low = self._memory.arrays["low"][slot].astype(np.float64)
        width = self._memory.arrays["high"][slot] - low
        scaled = (row - low) / np.where(width > 0, width, 1.0)
        return dict(enumerate(np.clip(scaled, -1e6, 1e6).tolist()))


@cache
def river_class(name: str) -> type[RiverModel]:
    """The detector for a model of `river.anomaly`; ConfigError naming those that there are."""
    valid = sorted(filter(_is_model, dir(river.anomaly)))
    if name not in valid:
        raise ConfigError(f"river:{name} is no anomaly model of river; valid: {', '.join(valid)}")
    inside = {"model": getattr(river.anomaly, name), "exported": name in EXPORTS}
    return type(name, (RiverModel,), inside)


def _is_model(name: str) -> bool:
    """Whether it scores; filters only pass on what others score."""
    found = getattr(river.anomaly, name)
    kinds = AnomalyDetector, SupervisedAnomalyDetector
    return isinstance(found, type) and issubclass(found, kinds) and "Filter" not in name


def _checked(model: type[Any], params: dict[str, Any]) -> dict[str, Any]:
    """The parameters with a seed. Raises ConfigError for one that the model does not have, or that
    is no number as its default is.
    """
    defaults = {name: each.default for name, each in signature(model).parameters.items()}
    kinds = {name: type(value) for name, value in defaults.items() if type(value) in (int, float)}
    seed = {"seed": 0} if "seed" in defaults else {}
    for name, value in params.items():
        kind = int if name in seed else kinds.get(name)
        sound = kind and isinstance(value, kind | int) and not isinstance(value, bool)
        if not sound or not (value > 0 or (name in seed and value == 0)):
            raise ConfigError(
                f"river:{model.__name__} does not take {name}: {value!r}; valid are numbers over 0 "
                f"for {', '.join([*kinds, *seed])}, whole ones where the default is whole"
            )
    return seed | params


def _numbers(params: dict[str, Any]) -> dict[str, float]:
    return {name: float(params[name]) for name in sorted(params)}


def _told(model: Any, row: Array, i: int) -> float:
    return float(model.score_one(_others(row, i), float(row[i])))


def _others(row: Array, i: int) -> dict[int, float]:
    """The numbers beside one, for models that predict it from them."""
    return {k: float(value) for k, value in enumerate(row) if k != i}
