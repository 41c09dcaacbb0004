"""Small detectors in numpy, exact to the last bit however rows are grouped."""

from __future__ import annotations

import numpy as np

from monitor.errors import StateError
from monitor.stream.columns import Column, Columns
from monitor.types import Array, Slots, State

CALIBRATION = np.linspace(0.5, 2.0, 101, dtype=np.float32)


def _mean_square(x: Array) -> np.typing.NDArray[np.float64]:
    rows = x.reshape(len(x), int(np.prod(x.shape[1:]))).astype(np.float64)
    return np.array([float((row * row).mean()) for row in rows])


BEYOND = 100.0


class Energy:
    """A trained scorer: mean square of the scaled window; knows the sensors it is told."""

    def __init__(
        self, shape: tuple[int, int], label: str = "energy", trained: tuple[str, ...] = ()
    ) -> None:
        self.label = label
        self.shape: tuple[int, ...] = shape
        self.fingerprint = f"{label} {shape} {trained}"
        self.calibration: Array = CALIBRATION
        self.group: Array = np.stack([np.zeros(shape[0]), np.ones(shape[0])]).astype(np.float32)
        self.trained = trained
        self.calls: list[int] = []

    def constants(self, sensor: str) -> Array | None:
        return self.group * 2 if sensor in self.trained else None

    def score(self, x: Array, constants: Array) -> Array:
        self.calls.append(len(x))
        assert constants.shape == (len(x), 2, self.shape[0])
        finite = np.asarray(np.isfinite(x).reshape(len(x), -1).all(axis=1))
        scaled = (x - constants[:, 0, :, None]) / constants[:, 1, :, None]
        scores = _mean_square(np.where(finite[:, None, None], scaled, 0).astype(np.float32))
        return np.asarray(np.where(finite, scores, np.nan), np.float32)

    def contributions(self, x: Array, constants: Array) -> Array:
        squares = (((x - constants[:, 0, :, None]) / constants[:, 1, :, None]) ** 2).mean(axis=2)
        total = squares.sum(axis=1, keepdims=True)
        return np.asarray(squares / np.where(total > 0, total, 1), np.float32)

    def beyond(self, x: Array, constants: Array) -> np.typing.NDArray[np.bool_]:
        return np.asarray((np.abs(x) > BEYOND).any(axis=(1, 2)))

    def heat_maps(self, x: Array, constants: Array) -> Array | None:
        return None


class Level:
    """An online detector: how far the root mean square of a window is from what was learned.

    Whether a window is learned is drawn from a counter that each slot has: randomness is state.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape: tuple[int, ...] = shape
        self._rows = Columns(count=Column("i8"), mean=Column("f8"), drawn=Column("u4"))

    def score_learn(self, slots: Slots, x: Array, cut: Array) -> Array:
        assert len(set(slots.tolist())) == len(slots), "a round holds each sensor at most once"
        self._rows.reach(int(slots.max(initial=-1)) + 1)
        levels = np.sqrt(_mean_square(x))
        scores: Array = np.abs(levels - self._rows["mean"][slots]).astype(np.float32)
        for slot, level, score, limit in zip(slots, levels, scores, cut, strict=True):
            if score <= limit:
                self._learn(int(slot), float(level))
        return scores

    def forget(self, slots: Slots) -> None:
        self._rows.clear(slots)

    def state(self) -> State:
        return self._rows.state()

    def restore(self, state: State) -> None:
        self._rows.restore(state)

    def _learn(self, slot: int, level: float) -> None:
        rows = self._rows
        rows["drawn"][slot] = (int(rows["drawn"][slot]) * 1_664_525 + 1_013_904_223) % 2**32
        if rows["drawn"][slot] % 4 < 3:
            rows["count"][slot] += 1
            rows["mean"][slot] += (level - rows["mean"][slot]) / min(int(rows["count"][slot]), 20)


class Picky(Level):
    """Restores nothing, with an error that is none of ours: a class of a user."""

    def restore(self, state: State) -> None:
        self._rows.reach(100)
        raise KeyError("mean")


class Strict(Level):
    """Refuses every state as it should."""

    def restore(self, state: State) -> None:
        raise StateError("of another make")
