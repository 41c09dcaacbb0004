"""The last scores of each sensor and detector, and of these, sorted, the largest.

So many of the largest are kept that the percentile and the fitted tail are among them, and a few
more, so that the ring is searched only when the few are used up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled, inlined
from monitor.errors import ModelError, StateError
from monitor.stream.columns import rows_left
from monitor.types import Array, Slots, State

Counts = NDArray[np.int64]
Levels = NDArray[np.float64]
Place = tuple[int, int]

STORED = ("ring", "run", "limit", "level", "counts")  # the tail follows from the ring
NEXT, FILL, KEPT, MISSING, FLAGGED = range(5)


class Sizes(NamedTuple):
    """How much is kept: scores in a ring, of a flagged run, of the largest; scores before a
    threshold is given; flagged scores in a row that are adopted; how far a level may go.
    """

    window: int
    run: int
    tail: int
    warm_up: int
    adopt: int
    bound: float


class Memory(NamedTuple):
    """What is remembered of S slots and D detectors.

    `counts` are: where in the ring the next score goes; scores in the ring; scores in the tail;
    scores that are missing before a threshold is given; length of the flagged run that goes on.
    """

    ring: Array  # (S, D, W) the scores, as they were capped
    tail: Array  # (S, D, K) the largest of the ring, ascending
    run: Array  # (S, D, R) the raw scores of the flagged run, the newest R
    limit: Array  # (S, D) the most that a score of the flagged run adds to the ring
    level: Levels  # (S, D) log of the working rate over the nominal one
    counts: Counts  # (S, D, 5)


class Rings:
    """The memory of all slots, one column for each detector.

    A new slot's ring is full of the detector's calibration (ascending quantiles of held-out normal
    scores) where there is one. Raises ModelError for a calibration that is none.
    """

    def __init__(self, sizes: Sizes, calibration: Sequence[Array | None]) -> None:
        self.sizes = sizes
        self.detectors = len(calibration)
        self._starts = [_start(i, c, sizes.window) for i, c in enumerate(calibration)]
        self._fresh = self._new(1)
        self.memory = self._new(1)
        self.used = 0

    def make_room(self, slots: Slots) -> Slots:
        """Have a row for every slot; the arrays double, so growth costs little per slot."""
        slots = np.ascontiguousarray(slots, np.int64)
        if slots.ndim != 1 or slots.min(initial=0) < 0:
            raise ModelError(f"slots are {slots}; they are one row of numbers from 0")
        self.used = max(self.used, int(slots.max(initial=-1)) + 1)
        room = len(self.memory.counts)
        if self.used > room:
            old, self.memory = self.memory, self._new(max(self.used, 2 * room))
            for name, array in self.memory._asdict().items():
                array[:room] = getattr(old, name)
        return slots

    def begin_empty(self, slot: int) -> None:
        """Let a new slot start without the calibration."""
        self.make_room(np.array([slot], np.int64))
        self.memory.counts[slot] = 0
        self.memory.counts[slot, :, MISSING] = self.sizes.warm_up

    def forget(self, slots: Slots) -> None:
        """Make these slots as if never seen."""
        known = slots[slots < self.used]
        for name, array in self.memory._asdict().items():
            array[known] = getattr(self._fresh, name)
        self.used = rows_left(self.used, known)

    def state(self) -> State:
        """Copies of what is stored, one row per slot in use."""
        state: State = {name: getattr(self.memory, name)[: self.used].copy() for name in STORED}
        state["counts"][:, :, KEPT] = 0
        return state

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError where it is damaged or of other sizes; then nothing
        is changed.
        """
        used = self._check_shapes(state)
        self._check_numbers(state)
        memory = self._new(max(used, 1))
        for name in STORED:
            getattr(memory, name)[:used] = state[name]
        memory.counts[:, :, KEPT] = 0
        self.memory, self.used = memory, used

    def _new(self, slots: int) -> Memory:
        """Slots that have seen nothing but the calibration."""
        window, run, tail, warm_up, *_ = self.sizes
        places = (slots, self.detectors)
        memory = Memory(
            ring=np.zeros((*places, window), np.float32),
            tail=np.zeros((*places, tail), np.float32),
            run=np.zeros((*places, run), np.float32),
            limit=np.zeros(places, np.float32),
            level=np.zeros(places, np.float64),
            counts=np.zeros((*places, 5), np.int64),
        )
        for i, start in enumerate(self._starts):
            memory.ring[:, i, : len(start)] = start
            memory.counts[:, i, NEXT] = len(start) % window
            memory.counts[:, i, FILL] = len(start)
            memory.counts[:, i, MISSING] = 0 if len(start) else warm_up
        return memory

    def _check_shapes(self, state: State) -> int:
        """The number of slots in a state whose arrays no compiled code can leave."""
        if set(state) != set(STORED):
            raise StateError(
                f"the threshold's state has the arrays {sorted(state)}; it needs {sorted(STORED)}"
            )
        slots = len(state["counts"]) if state["counts"].ndim else 0
        for name in STORED:
            array = getattr(self.memory, name)
            got = (str(state[name].dtype), state[name].shape)
            want = (str(array.dtype), (slots, *array.shape[1:]))
            if got != want:
                raise StateError(
                    f"the threshold's {name!r} is {got}; window, adopt and detectors as "
                    f"configured need {want}"
                )
        return slots

    def _check_numbers(self, state: State) -> None:
        """Raise StateError for numbers that no series of scores leads to."""
        window = self.sizes.window
        next_, fill, _, missing, flagged = np.moveaxis(state["counts"], 2, 0)
        sound = {
            "ring": np.isfinite(state["ring"]).all(),
            "run": np.isfinite(state["run"]).all(),
            "limit": (state["limit"] >= 0).all(),
            "level": (np.abs(state["level"]) <= self.sizes.bound).all(),
            "fill": ((fill >= 0) & (fill <= window)).all(),
            "next": np.where(fill < window, next_ == fill, (next_ >= 0) & (next_ < window)).all(),
            "missing": ((missing >= 0) & (missing <= self.sizes.warm_up)).all(),
            "flagged": ((flagged >= 0) & (flagged < self.sizes.adopt)).all(),
        }
        damaged = [name for name, fine in sound.items() if not fine]
        if damaged:
            raise StateError(f"the threshold's state is damaged in {', '.join(damaged)}")


def _start(detector: int, calibration: Array | None, window: int) -> Array:
    """What a new ring holds of a detector's calibration: evenly spaced values, in an order in
    which any first or last part of them is evenly spaced too (van der Corput), since the ring
    forgets them in that order.
    """
    if calibration is None:
        return np.empty(0, np.float32)
    values = np.asarray(calibration, np.float32)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ModelError(f"the calibration of detector {detector} is not a row of finite scores")
    if (np.diff(values) < 0).any():
        raise ModelError(f"the calibration of detector {detector} does not ascend")
    places = np.linspace(0, values.size - 1, window)
    spaced = np.interp(places, np.arange(values.size), values).astype(np.float32)
    order = np.argsort([_mirrored(i) for i in range(window)], kind="stable")
    return np.asarray(spaced[np.argsort(order)], np.float32)


def _mirrored(number: int) -> float:
    """The binary digits of a number mirrored at the point: 0, 1/2, 1/4, 3/4, 1/8, ..."""
    return int(f"{number:064b}"[::-1], 2) / 2.0**64


@inlined
def flag(
    run: Array, limit: Array, counts: Counts, at: Place, score: np.float32, most: np.float32
) -> None:
    """Add a score to the flagged run; the first one sets the limit for all."""
    s, d = at
    length = counts[s, d, FLAGGED]
    if length == 0:
        limit[s, d] = most
    run[s, d, length % run.shape[2]] = score
    counts[s, d, FLAGGED] = length + 1


@compiled
def adopt(ring: Array, run: Array, counts: Counts, at: Place) -> None:
    """Make the raw scores of the run, oldest first, all that the ring holds."""
    s, d = at
    size = run.shape[2]
    for i in range(size):
        ring[s, d, i] = run[s, d, (counts[s, d, FLAGGED] + i) % size]
    counts[s, d, FILL] = size
    counts[s, d, NEXT] = size % ring.shape[2]
    counts[s, d, FLAGGED] = 0
    counts[s, d, KEPT] = 0


@inlined
def enter(ring: Array, tail: Array, counts: Counts, at: Place, score: np.float32) -> None:
    """Put a score into the ring, and the tail, in place of the oldest."""
    s, d = at
    window = ring.shape[2]
    place = counts[s, d, NEXT]
    others = counts[s, d, FILL]
    if others == window:
        _drop(tail, counts, at, ring[s, d, place])
        others -= 1
    whole = counts[s, d, KEPT] == others
    ring[s, d, place] = score
    counts[s, d, NEXT] = place + 1 if place + 1 < window else 0
    counts[s, d, FILL] = others + 1
    if whole or (counts[s, d, KEPT] > 0 and score > tail[s, d, 0]):
        _insert(tail, counts, at, score)


@inlined
def largest(ring: Array, tail: Array, counts: Counts, at: Place, needed: int) -> int:
    """Have at least so many of the largest scores in the tail; returns how many there are."""
    s, d = at
    if counts[s, d, KEPT] < needed:
        _search(ring, tail, counts, at)
    return int(counts[s, d, KEPT])


@inlined
def _drop(tail: Array, counts: Counts, at: Place, score: np.float32) -> None:
    """Take a score out of the tail if it is there. Of equal ones it does not matter which."""
    s, d = at
    kept = counts[s, d, KEPT]
    if kept > 0 and score >= tail[s, d, 0]:
        i = kept - 1
        while tail[s, d, i] > score:
            i -= 1
        for j in range(i, kept - 1):
            tail[s, d, j] = tail[s, d, j + 1]
        counts[s, d, KEPT] = kept - 1


@inlined
def _insert(tail: Array, counts: Counts, at: Place, score: np.float32) -> None:
    """Put a score into the tail at its place; a full tail loses its smallest."""
    s, d = at
    kept = counts[s, d, KEPT]
    if kept < tail.shape[2]:
        i = kept
        while i > 0 and tail[s, d, i - 1] > score:
            tail[s, d, i] = tail[s, d, i - 1]
            i -= 1
        tail[s, d, i] = score
        counts[s, d, KEPT] = kept + 1
    elif score > tail[s, d, 0]:
        i = 0
        while i + 1 < kept and tail[s, d, i + 1] < score:
            tail[s, d, i] = tail[s, d, i + 1]
            i += 1
        tail[s, d, i] = score


@compiled
def _search(ring: Array, tail: Array, counts: Counts, at: Place) -> None:
    """Fill the tail anew from the ring."""
    s, d = at
    fill = counts[s, d, FILL]
    kept = min(tail.shape[2], fill)
    ranked = np.partition(ring[s, d, :fill], fill - kept)
    tail[s, d, :kept] = np.sort(ranked[fill - kept :])
    counts[s, d, KEPT] = kept
