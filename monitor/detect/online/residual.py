"""One-step residual: predicts each sample from those before it, and scores the surprise."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from monitor.detect.online.recursive import (
    WIDEST,
    Filters,
    Rules,
    diagonal_of,
    errors,
    score_learn,
)
from monitor.detect.online.slot_memory import Field, SlotMemory, checked_rows
from monitor.errors import ConfigError, StateError
from monitor.types import Array, Slots, State

JOINS = ("rms", "max")
_RIPE = 4  # samples for each weight, before the first score
_FLOOR = 1e-3  # of a channel's scale: a smaller error is none


class Residual:
    """Scores the newest `span` samples of a window (or all, where it has fewer) by how badly an
    autoregression of each channel, which learns as it goes, predicts them: in units of the
    channel's usual error, so about 1.

    `order` is the number of samples that a prediction looks at, `memory` the number of samples that
    teach it (exponential forgetting); of each window the newest `hop` are new and are learned, one
    after the other. `join` takes the root mean square over channels and samples, or the largest.
    Outliers count in learning as 4 usual errors at most. NaN until 4 samples for each weight are
    known. It sees the samples as they come, on any scale.

    Raises ConfigError for parameters out of range, or a window that is not longer than `order`.
    Source: S. Haykin, Adaptive Filter Theory, chapter 9, in Bierman's factored form.
    """

    view: ClassVar[str] = "window"
    frame_view: ClassVar[str] = "mean"  # the light of each colour, as a series

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        order: int = 4,
        memory: int = 1000,
        hop: int = 1,
        span: int = 8,
        join: Literal["rms", "max"] = "rms",
    ) -> None:
        self.shape = tuple(shape)
        _check(self.shape, join, order=order, memory=memory, hop=hop, span=span)
        size = order + 1
        ripe = max(_RIPE * size, 16)
        self._rules = Rules(hop, max(span, hop), float(memory), ripe, _FLOOR, join == "max")
        channels = self.shape[0]
        fields = {
            "centre": Field("float64", (channels,)),
            "scale": Field("float64", (channels,), 0),
            "error": Field("float64", (channels,), 0),
            "weights": Field("float64", (channels, size)),
            "factor": Field("float64", (channels, size * (size + 1) // 2)),
            "age": Field("int64", (channels,), 0, 2**62),
            "learned": Field("int64", (), 0, 2**62),
        }
        made_with = {"channels": channels, "order": order, "memory": memory, "hop": hop}
        self._memory = SlotMemory("residual", Filters, fields, made_with)
        self._warm()

    def score_learn(self, slots: Slots, x: Array, cut: Array) -> Array:
        """Score the new samples of each row, then learn them where the score is at most `cut`:
        `(N,), (N, C, T), (N,) -> (N,)`. Raises ModelError for rows of another shape.
        """
        slots, rows, cuts = checked_rows(self.shape, slots, x, cut)
        self._memory.reach(slots)
        scores = np.empty(len(rows), np.float32)
        score_learn(self._memory.arrays, self._rules, slots, rows, cuts, scores)
        return scores

    def contributions(self, slots: Slots, x: Array) -> Array:
        """The share of each channel in the squared error: `(N,), (N, C, T) -> (N, C)`; all 0 where
        nothing is known.
        """
        slots, rows, _ = checked_rows(self.shape, slots, x, np.zeros(len(slots), np.float32))
        self._memory.reach(slots)
        squares = np.zeros((len(rows), self.shape[0]))
        errors(self._memory.arrays, self._rules, slots, rows, squares)
        total = squares.sum(axis=1, keepdims=True)
        return np.asarray(squares / np.where(total > 0, total, 1), np.float32)

    def forget(self, slots: Slots) -> None:
        """Make these slots as if never seen: other sensors will have them."""
        self._memory.forget(slots)

    def state(self) -> State:
        """The filters, one row for each slot in use, and the parameters they were made with."""
        return self._memory.state()

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError where it is damaged or of other parameters."""
        factor = state.get("factor", np.zeros(0))
        if factor.shape[1:] == self._memory.arrays.factor.shape[1:] and factor.dtype.kind == "f":
            diagonal = diagonal_of(factor)
            if not ((diagonal >= 0) & (diagonal <= WIDEST)).all():
                raise StateError(f"residual: factor has a diagonal outside of 0 to {WIDEST}")
        self._memory.restore(state)

    def _warm(self) -> None:
        """Have the compiler done before the first record, not on it."""
        nobody = np.empty(0, np.int64)
        rows = np.empty((0, *self.shape), np.float32)
        self.score_learn(nobody, rows, np.empty(0, np.float32))
        self.contributions(nobody, rows)


def _check(shape: tuple[int, ...], join: str, **numbers: int) -> None:
    """Raise ConfigError naming the parameter that makes no filter, and what would."""
    if len(shape) != 2 or shape[0] < 1:
        raise ConfigError(f"residual: needs windows (channels, samples), not {shape}")
    limits = {
        "order": (0, min(64, shape[1] - 1)),
        "memory": (10, 10_000_000),
        "hop": (1, shape[1]),
        "span": (1, 1_000_000),
    }
    for name, value in numbers.items():
        low, high = limits[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(
                f"residual: {name} is {value!r}; valid for windows of {shape[1]} samples: "
                f"{low} to {high}"
            )
    if join not in JOINS:
        raise ConfigError(f"residual: join is {join!r}; valid: {', '.join(JOINS)}")
