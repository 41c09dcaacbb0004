"""What judges the embeddings of a metric-learning net: distances from the normal ones.

A judge is made for the two widths of `layered.Layered`, P and D. It is fitted on the rows of
normal examples and, where there are any, of known anomalies; its arrays are part of the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from monitor.detect.classical.lof import LocalOutlierFactor
from monitor.detect.classical.mahalanobis import Mahalanobis
from monitor.detect.classical.rows import TRIM, Floats, RowDetector, checked, nearest, stored
from monitor.errors import ConfigError, ModelError
from monitor.types import Array, State

_AGAINST = 0.5  # what likeness to known anomalies weighs, against likeness to what is normal
_LOCAL = {False: 0.85, True: 0.2}  # the weight of the looks, without and with known anomalies
_LEAST = 1e-6


class Judge(Protocol):
    """Rows `(N, P + D)` of a net -> scores `(N,)`."""

    def fit(self, normal: Array, anomalies: Array) -> None: ...

    def score(self, rows: Array) -> Array: ...

    def state(self) -> State: ...

    def restore(self, state: State) -> None: ...


class Layers:
    """The weighted geometric mean of two distances, each in units of what is usual.

    One is that of the embedding's direction from the normal ones: 1 minus its cosine with their
    mean, and where anomalies are known half of 1 plus its cosine with the mean of those. It knows
    what the net was taught. The other is how unusual the looks are, place by place, and knows
    what nobody labelled. The latter counts most until anomalies are known.
    """

    def __init__(self, local: int, size: int) -> None:
        self.local, self.size = local, size
        self._arrays: State = {}

    def fit(self, normal: Array, anomalies: Array) -> None:
        directions = unit(normal[:, self.local :])
        away = 1 - directions @ unit(directions.mean(axis=0)[None])[0]
        mean = unit(directions[np.sort(nearest(away.astype(np.float64), TRIM))].mean(axis=0)[None])
        known = unit(anomalies[:, self.local :]) if len(anomalies) else np.zeros((1, self.size))
        against = unit(known.mean(axis=0)[None])
        self._arrays = stored(normal=mean[0], against=against[0], usual=[0, 0], exponents=[0, 0])
        logs = np.log(self._distances(normal))
        weight = _LOCAL[bool(len(anomalies))]
        exponents = np.array([1 - weight, weight]) / np.maximum(logs.std(axis=0), 1e-3)
        self._arrays |= stored(usual=logs.mean(axis=0), exponents=exponents / exponents.sum())

    def score(self, rows: Array) -> Array:
        logs = np.log(self._distances(rows)) - self._arrays["usual"]
        found: Array = np.exp((logs * self._arrays["exponents"]).sum(axis=1)).astype(np.float32)
        return found

    def state(self) -> State:
        return dict(self._arrays)

    def restore(self, state: State) -> None:
        shapes = {"normal": (self.size,), "against": (self.size,), "usual": (2,), "exponents": (2,)}
        arrays = checked(state, shapes)
        if (arrays["exponents"] < 0).any():
            raise ModelError(f"'exponents' are {arrays['exponents'].tolist()}; over 0 are valid")
        self._arrays = arrays

    def _distances(self, rows: Array) -> Floats:
        directions = unit(rows[:, self.local :])
        away = 1 - (directions * self._arrays["normal"]).sum(axis=1)
        if self._arrays["against"].any():
            away = away + _AGAINST * (1 + (directions * self._arrays["against"]).sum(axis=1))
        looks = rows[:, : self.local].mean(axis=1)
        return np.maximum(np.stack([away, looks], axis=1).astype(np.float64), _LEAST)


class Euclid:
    """The distance of the embedding from the mean of the normal ones."""

    def __init__(self, local: int, size: int, *, directions: bool = True) -> None:
        self.local, self.size, self.directions = local, size, directions
        self._arrays: State = {}

    def fit(self, normal: Array, anomalies: Array) -> None:
        rows = self._embedding(normal)
        squares = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1).astype(np.float64)
        self._arrays = stored(mean=rows[np.sort(nearest(squares, TRIM))].mean(axis=0))

    def score(self, rows: Array) -> Array:
        squares = ((self._embedding(rows) - self._arrays["mean"]) ** 2).sum(axis=1)
        found: Array = np.sqrt(squares)
        return found

    def state(self) -> State:
        return dict(self._arrays)

    def restore(self, state: State) -> None:
        self._arrays = checked(state, {"mean": (self.size,)})

    def _embedding(self, rows: Array) -> Array:
        found = rows[:, self.local :]
        return unit(found) if self.directions else np.ascontiguousarray(found)


class Rows:
    """A detector of rows, given the embeddings: `mahalanobis` or `lof`."""

    kinds: Mapping[str, type[RowDetector]] = {
        "mahalanobis": Mahalanobis,
        "lof": LocalOutlierFactor,
    }

    def __init__(self, kind: str, local: int, size: int, *, directions: bool = True) -> None:
        self.local, self.directions = local, directions
        self.of_rows: RowDetector = self.kinds[kind]((size,))

    def fit(self, normal: Array, anomalies: Array) -> None:
        self.of_rows.fit(self._embedding(normal))

    def score(self, rows: Array) -> Array:
        return self.of_rows.score(self._embedding(rows))

    def state(self) -> State:
        return self.of_rows.state()

    def restore(self, state: State) -> None:
        self.of_rows.restore(state)

    def _embedding(self, rows: Array) -> Array:
        found = rows[:, self.local :]
        return unit(found) if self.directions else np.ascontiguousarray(found)


HEADS = ("layers", "lof", "euclid", "mahalanobis")


def judge(head: str, local: int, size: int, *, directions: bool = True) -> Judge:
    """The judge called `head`; with `directions` embeddings count by their direction alone."""
    if head == "layers":
        return Layers(local, size)
    if head == "euclid":
        return Euclid(local, size, directions=directions)
    return Rows(head, local, size, directions=directions)


def check_head(head: object, valid: tuple[str, ...]) -> str:
    """Raises ConfigError for anything but one of `valid`."""
    if not isinstance(head, str) or head not in valid:
        raise ConfigError(f"head is {head!r}; valid are {', '.join(valid)}")
    return head


def unit(rows: Array) -> Array:
    """Each row with length 1, a row of zeros as it is: `(N, D) -> (N, D)`."""
    rows = np.ascontiguousarray(rows)
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    found: Array = rows / (length + (length == 0))
    return found
