"""Nearest-neighbour discord: is there anything like the newest samples in the sensor's past?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from monitor.detect.online.discord import Past, Plan, score_learn
from monitor.detect.online.slot_memory import Field, SlotMemory, checked_rows
from monitor.errors import ConfigError
from monitor.types import Array, Slots, State

LENGTHS = (3, 48)
KINDS = ("both", "level", "shape")
_RIPE = 16  # distances that make a usual one


class Neighbours:
    """Scores the newest samples of a window by their distance from the nearest stretch of the same
    length in the sensor's own last `past` samples, in units of the usual distance: about 1.

    Each of `lengths` (default 3 and 48, or the window where that is shorter) is compared by level,
    as the samples are, or by shape, less its mean and over its spread, or both, as `kind` says. The
    score is the largest. Stretches that overlap the newest samples do not count. The newest `hop`
    samples of a window are new. NaN until 4 times the longest length is known, and 16 distances.
    It sees the samples as they come, on any scale.

    Raises ConfigError for parameters out of range. Source: left discords, Yeh et al., Matrix
    Profile I, ICDM 2016, and Lu et al., DAMP, KDD 2022.
    """

    view: ClassVar[str] = "window"
    frame_view: ClassVar[str] = "mean"  # the light of each colour, as a series

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        lengths: Sequence[int] | None = None,
        past: int = 2048,
        memory: int = 1000,
        hop: int = 1,
        kind: Literal["both", "level", "shape"] = "level",
    ) -> None:
        self.shape = tuple(shape)
        chosen = _lengths(self.shape, lengths)
        _check(self.shape, past, chosen[-1], memory, hop)
        if kind not in KINDS:
            raise ConfigError(f"neighbours: kind is {kind!r}; valid: {', '.join(KINDS)}")
        self._plan = Plan(
            np.array(chosen, np.int64),
            hop,
            float(memory),
            4 * chosen[-1],
            _RIPE,
            kind != "shape",
            kind != "level",
        )
        fields = {
            "ring": Field("float32", (self.shape[0], past), gaps=True),
            "written": Field("int64", (), 0, 2**62),
            "usual": Field("float64", (2 * len(chosen),), 0),
            "scored": Field("int64", (), 0, 2**62),
        }
        made_with = {"channels": self.shape[0], "past": past, "memory": memory, "hop": hop} | {
            f"length {k}": length for k, length in enumerate(chosen)
        }
        self._memory = SlotMemory("neighbours", Past, fields, made_with)
        self._warm()

    def score_learn(self, slots: Slots, x: Array, cut: Array) -> Array:
        """Score the newest samples of each row, then learn them where the score is at most `cut`:
        `(N,), (N, C, T), (N,) -> (N,)`. Raises ModelError for rows of another shape.
        """
        slots, rows, cuts = checked_rows(self.shape, slots, x, cut)
        self._memory.reach(slots)
        scores = np.empty(len(rows), np.float32)
        score_learn(self._memory.arrays, self._plan, slots, rows, cuts, scores)
        return scores

    def forget(self, slots: Slots) -> None:
        """Make these slots as if never seen: other sensors will have them."""
        self._memory.forget(slots)

    def state(self) -> State:
        """The pasts, one row for each slot in use, and the parameters they were made with."""
        return self._memory.state()

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError where it is damaged or of other parameters."""
        self._memory.restore(state)

    def _warm(self) -> None:
        """Have the compiler done before the first record, not on it."""
        nothing = np.empty((0, *self.shape), np.float32)
        self.score_learn(np.empty(0, np.int64), nothing, np.empty(0, np.float32))


def _lengths(shape: tuple[int, ...], lengths: Sequence[int] | None) -> list[int]:
    """Ascending, each once; raises ConfigError for what is no length of a stretch of the window."""
    if len(shape) != 2 or shape[0] < 1 or shape[1] < 1:
        raise ConfigError(f"neighbours: needs windows (channels, samples), not {shape}")
    if lengths is None:
        return sorted({min(length, shape[1]) for length in LENGTHS})
    sound = isinstance(lengths, list | tuple) and len(lengths) > 0
    if not sound or not all(type(n) is int and 1 <= n <= shape[1] for n in lengths):
        raise ConfigError(
            f"neighbours: lengths is {lengths!r}; valid for windows of {shape[1]} samples: a list "
            f"of numbers from 1 to {shape[1]}"
        )
    return sorted(set(lengths))


def _check(shape: tuple[int, ...], past: int, longest: int, memory: int, hop: int) -> None:
    """Raise ConfigError naming the parameter that is out of range, and what is not."""
    limits = {
        "past": (past, 6 * longest, 1_000_000),
        "memory": (memory, 10, 10_000_000),
        "hop": (hop, 1, shape[1]),
    }
    for name, (value, low, high) in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(f"neighbours: {name} is {value!r}; valid: {low} to {high}")
