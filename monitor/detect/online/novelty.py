"""Novelty: was there ever anything near this value?"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled, inlined
from monitor.detect.online.slot_memory import Field, SlotMemory, checked_rows
from monitor.errors import ConfigError, StateError
from monitor.types import Array, Slots, State

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

RIPE = 16  # values that are learned before the first score
_TINY = 1e-30
_LARGEST = 3e38


class Values(NamedTuple):
    """The memory of S sensors with C channels; zeros are a sensor that was never seen.

    `values` ascend, `known` of them are in use; `centre` and `spread` (a variance) are of all
    `learned` windows.
    """

    values: Array  # (S, C, M)
    known: Counts  # (S, C)
    centre: Floats  # (S, C)
    spread: Floats  # (S, C)
    learned: Counts  # (S,)


class Novelty:
    """Scores the mean of the newest `length` samples of a window by its distance from the nearest
    such mean that the sensor ever had, in the channel's own unit. Of several channels the largest
    counts, each scaled up to the standard deviation of the widest.

    It remembers `memory` values of each channel and forgets none for its age: when there are more,
    one leaves whose neighbours are closest together, so what is known stays known. It finds values
    beyond the range and in gaps of it, after a single sample; it is blind to known values in the
    wrong order or at the wrong time. NaN until 16 windows are learned. It sees the samples as they
    come, on any scale.

    Raises ConfigError for parameters out of range. Source: the nearest neighbour distance as a
    strangeness, V. Ishimtsev et al., "Conformal k-NN anomaly detector for univariate data
    streams", COPA 2017, here of one value and with a memory that thins out instead of sliding.
    """

    view: ClassVar[str] = "window"
    frame_view: ClassVar[str] = "mean"  # the light of each colour, as a series

    def __init__(self, shape: tuple[int, ...], *, length: int = 1, memory: int = 1024) -> None:
        self.shape = tuple(shape)
        _check(self.shape, length, memory)
        self._length, self._most = length, memory
        self._memory = self._fresh()
        self._warm()

    def score_learn(self, slots: Slots, x: Array, cut: Array) -> Array:
        """Score the newest value of each row, then learn it where the score is at most `cut`:
        `(N,), (N, C, T), (N,) -> (N,)`. Raises ModelError for rows of another shape.
        """
        slots, rows, cuts = checked_rows(self.shape, slots, x, cut)
        self._memory.reach(slots)
        values, apart = self._values(rows), np.empty(rows.shape[:2], np.float32)
        _measure(self._memory.arrays, slots, values, apart)
        scores = apart.max(axis=1)
        ripe = self._memory.arrays.learned[slots] >= RIPE
        taught = np.isfinite(values).all(axis=1) & ((scores <= cuts) | (cuts == np.inf))
        _learn(self._memory.arrays, slots[taught], values[taught])
        return np.where(ripe & np.isfinite(scores), scores, np.float32(np.nan))

    def contributions(self, slots: Slots, x: Array) -> Array:
        """The share of each channel in the squared distances: `(N,), (N, C, T) -> (N, C)`; all 0
        where nothing is known or every value is.
        """
        slots, rows, _ = checked_rows(self.shape, slots, x, np.zeros(len(slots), np.float32))
        self._memory.reach(slots)
        apart = np.empty(rows.shape[:2], np.float32)
        _measure(self._memory.arrays, slots, self._values(rows), apart)
        squares = np.square(np.nan_to_num(apart, nan=0.0).astype(np.float64))
        squares[self._memory.arrays.learned[slots] < RIPE] = 0.0
        total = squares.sum(axis=1, keepdims=True)
        return np.asarray(squares / np.where(total > 0, total, 1), np.float32)

    def forget(self, slots: Slots) -> None:
        """Make these slots as if never seen: other sensors will have them."""
        self._memory.forget(slots)

    def state(self) -> State:
        """What is known, one row for each slot in use, and the parameters it was made with."""
        return self._memory.state()

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError where it is damaged or of other parameters."""
        fresh = self._fresh()
        fresh.restore(state)
        if not _ascending(fresh.arrays):
            raise StateError("novelty: values are not in ascending order")
        self._memory = fresh

    def _fresh(self) -> SlotMemory[Values]:
        channels, most = self.shape[0], self._most
        fields = {
            "values": Field("float32", (channels, most)),
            "known": Field("int64", (channels,), 0, most),
            "centre": Field("float64", (channels,)),
            "spread": Field("float64", (channels,), 0),
            "learned": Field("int64", (), 0, 2**62),
        }
        made_with = {"channels": channels, "length": self._length, "memory": most}
        return SlotMemory("novelty", Values, fields, made_with)

    def _values(self, rows: Array) -> Array:
        """The mean of the newest samples of each channel, `(N, C)`."""
        return np.asarray(rows[:, :, -self._length :].mean(axis=2, dtype=np.float64), np.float32)

    def _warm(self) -> None:
        """Have the compiler done before the first record, not on it."""
        nobody = np.empty(0, np.int64)
        self.score_learn(nobody, np.empty((0, *self.shape), np.float32), np.empty(0, np.float32))


@compiled
def _measure(memory: Values, slots: Slots, values: Array, apart: Array) -> None:
    """The distance of each value `(N, C)` from the nearest known one, on the widest channel's
    scale. A scale that moves must not touch a single channel: the first scores would be in other
    units than those they are compared with later.
    """
    for i in range(slots.shape[0]):
        s = slots[i]
        widest = 0.0
        for c in range(values.shape[1]):
            widest = max(widest, _scale(memory, s, c))
        for c in range(values.shape[1]):
            count, value = memory.known[s, c], values[i, c]
            line = memory.values[s, c, :count]
            at = np.searchsorted(line, value)
            nearest = np.inf
            if at < count:
                nearest = float(line[at]) - value
            if at > 0:
                nearest = min(nearest, value - float(line[at - 1]))
            nearest *= widest / _scale(memory, s, c)
            apart[i, c] = min(nearest, _LARGEST) if np.isfinite(value) else np.nan


@inlined
def _scale(memory: Values, s: int, c: int) -> float:
    spread, centre = float(memory.spread[s, c]), float(memory.centre[s, c])
    return max(math.sqrt(spread), 1e-6 * abs(centre), _TINY)


@compiled
def _learn(memory: Values, slots: Slots, values: Array) -> None:
    for i in range(slots.shape[0]):
        s = slots[i]
        memory.learned[s] += 1
        for c in range(values.shape[1]):
            value = float(values[i, c])
            ahead = value - memory.centre[s, c]
            memory.centre[s, c] += ahead / memory.learned[s]
            square = ahead * (value - memory.centre[s, c])
            memory.spread[s, c] += (square - memory.spread[s, c]) / memory.learned[s]
            memory.known[s, c] = _insert(memory.values[s, c], memory.known[s, c], values[i, c])


@inlined
def _insert(line: Array, count: int, value: np.float32) -> int:
    """Put a value into its place in the ascending `line`, and return how many there are; where
    there is no room the one that is best replaced by its neighbours leaves.
    """
    at = np.searchsorted(line[:count], value)
    if at < count and line[at] == value:
        return count
    if count < line.size:
        line[at + 1 : count + 1] = line[at:count].copy()
        line[at] = value
        return count + 1
    return _replace(line, np.intp(at), value)


@compiled
def _replace(line: Array, at: np.intp, value: np.float32) -> int:
    """Insert into a full line: between the ends, the value whose neighbours are closest together
    goes, which may be the new one.
    """
    count = line.size
    least, gone = np.float32(np.inf), -1
    if 0 < at < count:
        least = line[at] - line[at - 1]
    for j in range(1, count - 1):
        left = value if j == at else line[j - 1]
        right = value if j + 1 == at else line[j + 1]
        if right - left < least:
            least, gone = right - left, j
    if gone >= at:
        line[at + 1 : gone + 1] = line[at:gone].copy()
        line[at] = value
    elif gone >= 0:
        line[gone : at - 1] = line[gone + 1 : at].copy()
        line[at - 1] = value
    return count


def _ascending(memory: Values) -> bool:
    """Whether the values in use rise."""
    rising = memory.values[:, :, 1:] > memory.values[:, :, :-1]
    used = np.arange(1, memory.values.shape[2]) < memory.known[:, :, None]
    return bool((rising | ~used).all())


def _check(shape: tuple[int, ...], length: int, memory: int) -> None:
    """Raise ConfigError naming the parameter that is out of range, and what is not."""
    if len(shape) != 2 or min(shape) < 1:
        raise ConfigError(f"novelty: needs windows (channels, samples), not {shape}")
    limits = {"length": (length, 1, shape[1]), "memory": (memory, 16, 1_000_000)}
    for name, (value, low, high) in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(f"novelty: {name} is {value!r}; valid: {low} to {high}")
