"""Rolling percentile: from which raw score on is a window anomalous, for each sensor and detector.

Every pair of sensor and detector has a ring of its last scores and, sorted, the largest of them:
so many that the percentile is among them and a few more, so that the ring is searched only when
the few are used up. One compiled call serves a whole round of sensors and all detectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.alerting import ThresholdConfig
from monitor.compiled import compiled, inlined
from monitor.errors import ModelError, StateError
from monitor.stream.columns import rows_left
from monitor.types import Array, Slots, State

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]
Place = tuple[int, int]

_STORED = ("ring", "run", "limit", "counts")  # the tail follows from the ring
_NEXT, _FILL, _KEPT, _MISSING, _FLAGGED = range(5)


class _Memory(NamedTuple):
    """What is remembered of S slots and D detectors.

    `counts` are: where in the ring the next score goes; scores in the ring; scores in the tail;
    scores that are missing before a threshold is given; length of the flagged run that goes on.
    """

    ring: Array  # (S, D, W) the scores, as they were capped
    tail: Array  # (S, D, K) the largest of the ring, ascending
    run: Array  # (S, D, R) the raw scores of the flagged run, the newest R
    limit: Array  # (S, D) the most that a score of the flagged run adds to the ring
    counts: Counts  # (S, D, 5)


class _Rule(NamedTuple):
    """The settings as the compiled code needs them."""

    quantile: float
    margin: np.float32
    floor: np.float32
    cap: np.float32
    adopt: int


class RollingThreshold:
    """Thresholds from each sensor's own past scores: `max(floor, margin * percentile)`.

    The percentile is exact at any fill: `numpy.quantile(scores, quantile, method="higher")`. It
    is infinite until `warm_up` scores are known. A detector with calibration (ascending quantiles
    of held-out normal scores) starts with a whole window of those instead, which leave the ring as
    the sensor's own scores arrive.

    A flagged score enters capped at `cap` times the threshold with which its run of flagged scores
    began, so that a long anomaly cannot raise the threshold over and over until it passes. After
    `adopt` flagged scores in a row their raw values replace the ring: what lasted that long is
    normal from then on. While a sensor is `held` (an alert is open) its flagged scores enter
    nothing, but their run goes on. Scores that are not finite enter nothing and end no run.

    Raises ModelError for a calibration that is not a finite ascending row.
    """

    def __init__(
        self, detectors: int, settings: ThresholdConfig, calibration: Sequence[Array | None]
    ) -> None:
        if len(calibration) != detectors:
            raise ModelError(
                f"{len(calibration)} calibrations for {detectors} detectors; give one or None each"
            )
        self._settings = settings
        self._starts = [_start(i, c, settings.window) for i, c in enumerate(calibration)]
        self._rule = _Rule(
            quantile=settings.quantile,
            margin=np.float32(settings.margin),
            floor=np.float32(settings.floor),
            cap=np.float32(settings.cap),
            adopt=settings.adopt,
        )
        self._fresh = self._new(1)
        self._memory = self._new(1)
        self._used = 0
        self._warm()

    def cuts(self, slots: Slots) -> Array:
        """The thresholds that hold for the next score: `(N,) -> (N, D)`, from the past only."""
        slots = self._make_room(slots)
        cuts = np.empty((len(slots), len(self._starts)), np.float32)
        _cuts(self._memory, self._rule, slots, cuts)
        return cuts

    def update(self, slots: Slots, raw: Array, held: Mask | None = None) -> Mask:
        """Learn one score of each detector: `(N,), (N, D), (N,) -> (N, D)`, true where a lasting
        level was adopted just now. Slots are distinct.
        """
        slots = self._make_room(slots)
        raw = np.ascontiguousarray(raw, np.float32)
        if raw.shape != (len(slots), len(self._starts)):
            raise ModelError(
                f"raw scores have shape {raw.shape}; {len(slots)} slots and {len(self._starts)} "
                "detectors need one for each"
            )
        adopted = np.zeros(raw.shape, np.bool_)
        kept_out = np.zeros(len(slots), np.bool_) if held is None else held
        _update(self._memory, self._rule, (slots, raw, kept_out), adopted)
        return adopted

    def begin_empty(self, slot: int) -> None:
        """Let a new slot start without the calibration: it is of another kind of sensor."""
        self._make_room(np.array([slot], np.int64))
        self._memory.counts[slot] = 0
        self._memory.counts[slot, :, _MISSING] = self._settings.warm_up

    def forget(self, slots: Slots) -> None:
        """Make these slots as if never seen: other sensors will have them."""
        known = slots[slots < self._used]
        for name, array in self._memory._asdict().items():
            array[known] = getattr(self._fresh, name)
        self._used = rows_left(self._used, known)

    def progress(self) -> Array:
        """How much of the warm-up is done, 0 to 1, for all slots in use: `(S, D)`."""
        missing = self._memory.counts[: self._used, :, _MISSING]
        return np.asarray(1 - missing / self._settings.warm_up, np.float32)

    def state(self) -> State:
        """Copies of the memory, one row per slot in use, and the settings it depends on."""
        state: State = {n: getattr(self._memory, n)[: self._used].copy() for n in _STORED}
        state["counts"][:, :, _KEPT] = 0
        return state | {"quantile": np.array([self._settings.quantile])}

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError where it is damaged or of another quantile, window,
        `adopt` or number of detectors; then nothing is changed.
        """
        used = self._check_state(state)
        memory = self._new(max(used, 1))
        for name in _STORED:
            getattr(memory, name)[:used] = state[name]
        memory.counts[:, :, _KEPT] = 0
        self._memory, self._used = memory, used

    def _warm(self) -> None:
        """Have the compiler done before the first record, not on it."""
        nobody = np.empty(0, np.int64)
        self.update(nobody, self.cuts(nobody))

    def _make_room(self, slots: Slots) -> Slots:
        """Have a row for every slot; the arrays double, so growth costs little per slot."""
        slots = np.ascontiguousarray(slots, np.int64)
        if slots.ndim != 1 or slots.min(initial=0) < 0:
            raise ModelError(f"slots are {slots}; they are one row of numbers from 0")
        self._used = max(self._used, int(slots.max(initial=-1)) + 1)
        room = len(self._memory.counts)
        if self._used > room:
            old, self._memory = self._memory, self._new(max(self._used, 2 * room))
            for name, array in self._memory._asdict().items():
                array[:room] = getattr(old, name)
        return slots

    def _new(self, slots: int) -> _Memory:
        """Slots that have seen nothing but the calibration."""
        detectors, window = len(self._starts), self._settings.window
        most = _rank(window, self._settings.quantile)
        tail = min(most + max(16, window // 32), window)
        memory = _Memory(
            ring=np.zeros((slots, detectors, window), np.float32),
            tail=np.zeros((slots, detectors, tail), np.float32),
            run=np.zeros((slots, detectors, min(self._settings.adopt, window)), np.float32),
            limit=np.zeros((slots, detectors), np.float32),
            counts=np.zeros((slots, detectors, 5), np.int64),
        )
        for i, start in enumerate(self._starts):
            memory.ring[:, i, : len(start)] = start
            memory.counts[:, i, _NEXT] = len(start) % window
            memory.counts[:, i, _FILL] = len(start)
            memory.counts[:, i, _MISSING] = 0 if len(start) else self._settings.warm_up
        return memory

    def _check_state(self, state: State) -> int:
        """The number of slots in a state that is sound, so that no compiled code can leave its
        arrays.
        """
        known: State = {name: getattr(self._memory, name) for name in _STORED}
        if set(state) != {*known, "quantile"}:
            raise StateError(
                f"the threshold's state has the arrays {sorted(state)}; it needs "
                f"{sorted({*known, 'quantile'})}"
            )
        if not np.array_equal(state["quantile"], [self._settings.quantile]):
            raise StateError(
                f"the threshold's state is of quantile {state['quantile'].tolist()}, "
                f"configured is {self._settings.quantile}"
            )
        slots = len(state["counts"]) if state["counts"].ndim else 0
        for name, array in known.items():
            got = (str(state[name].dtype), state[name].shape)
            want = (str(array.dtype), (slots, *array.shape[1:]))
            if got != want:
                raise StateError(
                    f"the threshold's {name!r} is {got}; window, adopt and detectors as "
                    f"configured need {want}"
                )
        self._check_numbers(state)
        return slots

    def _check_numbers(self, state: State) -> None:
        """Raise StateError for numbers that no series of scores leads to."""
        window = self._settings.window
        next_, fill, _, missing, flagged = np.moveaxis(state["counts"], 2, 0)
        sound = {
            "ring": np.isfinite(state["ring"]).all(),
            "run": np.isfinite(state["run"]).all(),
            "limit": (state["limit"] >= 0).all(),
            "fill": ((fill >= 0) & (fill <= window)).all(),
            "next": np.where(fill < window, next_ == fill, (next_ >= 0) & (next_ < window)).all(),
            "missing": ((missing >= 0) & (missing <= self._settings.warm_up)).all(),
            "flagged": ((flagged >= 0) & (flagged < self._settings.adopt)).all(),
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
def _rank(fill: int, quantile: float) -> int:
    """The percentile is the so-manieth largest of `fill` scores."""
    return fill - math.ceil((fill - 1) * quantile)


@compiled
def _cuts(memory: _Memory, rule: _Rule, slots: Slots, out: Array) -> None:
    """The threshold of each slot and detector, infinite while it warms up."""
    ring, tail, _, _, counts = memory
    for i in range(slots.shape[0]):
        for d in range(out.shape[1]):
            out[i, d] = _cut(ring, tail, counts, rule, (slots[i], d))


@compiled
def _update(
    memory: _Memory,
    rule: _Rule,
    scored: tuple[Slots, Array, NDArray[np.bool_]],
    adopted: NDArray[np.bool_],
) -> None:
    """Enter one score for each slot and detector; `scored`: slots, raw scores, who is held."""
    ring, tail, run, limit, counts = memory
    slots, raw, held = scored
    for i in range(slots.shape[0]):
        for d in range(raw.shape[1]):
            s = slots[i]
            score = raw[i, d]
            if np.isfinite(score):
                cut = _cut(ring, tail, counts, rule, (s, d))
                counts[s, d, _MISSING] -= counts[s, d, _MISSING] > 0
                if score > cut:
                    _flag(run, limit, counts, (s, d), score, rule.cap * cut)
                    score = min(score, limit[s, d])
                else:
                    counts[s, d, _FLAGGED] = 0
                adopted[i, d] = counts[s, d, _FLAGGED] >= rule.adopt
                if adopted[i, d]:
                    _adopt(ring, run, counts, (s, d))
                elif not (held[i] and score > cut):
                    _enter(ring, tail, counts, (s, d), score)


@inlined
def _cut(ring: Array, tail: Array, counts: Counts, rule: _Rule, at: Place) -> np.float32:
    """The threshold of one slot and detector."""
    s, d = at
    cut = np.float32(np.inf)
    fill = counts[s, d, _FILL]
    if fill > 0 and counts[s, d, _MISSING] == 0:
        rank = _rank(fill, rule.quantile)
        if counts[s, d, _KEPT] < rank:
            _search(ring, tail, counts, at)
        cut = max(rule.floor, rule.margin * tail[s, d, counts[s, d, _KEPT] - rank])
    return cut


@inlined
def _flag(
    run: Array, limit: Array, counts: Counts, at: Place, score: np.float32, most: np.float32
) -> None:
    """Add a score to the flagged run; the first one sets the limit for all."""
    s, d = at
    length = counts[s, d, _FLAGGED]
    if length == 0:
        limit[s, d] = most
    run[s, d, length % run.shape[2]] = score
    counts[s, d, _FLAGGED] = length + 1


@compiled
def _adopt(ring: Array, run: Array, counts: Counts, at: Place) -> None:
    """Make the raw scores of the run, oldest first, all that the ring holds."""
    s, d = at
    size = run.shape[2]
    for i in range(size):
        ring[s, d, i] = run[s, d, (counts[s, d, _FLAGGED] + i) % size]
    counts[s, d, _FILL] = size
    counts[s, d, _NEXT] = size % ring.shape[2]
    counts[s, d, _FLAGGED] = 0
    counts[s, d, _KEPT] = 0


@inlined
def _enter(ring: Array, tail: Array, counts: Counts, at: Place, score: np.float32) -> None:
    """Put a score into the ring, and the tail, in place of the oldest."""
    s, d = at
    window = ring.shape[2]
    place = counts[s, d, _NEXT]
    others = counts[s, d, _FILL]
    if others == window:
        _drop(tail, counts, at, ring[s, d, place])
        others -= 1
    whole = counts[s, d, _KEPT] == others
    ring[s, d, place] = score
    counts[s, d, _NEXT] = place + 1 if place + 1 < window else 0
    counts[s, d, _FILL] = others + 1
    if whole or (counts[s, d, _KEPT] > 0 and score > tail[s, d, 0]):
        _insert(tail, counts, at, score)


@inlined
def _drop(tail: Array, counts: Counts, at: Place, score: np.float32) -> None:
    """Take a score out of the tail if it is there. Of equal ones it does not matter which."""
    s, d = at
    kept = counts[s, d, _KEPT]
    if kept > 0 and score >= tail[s, d, 0]:
        i = kept - 1
        while tail[s, d, i] > score:
            i -= 1
        for j in range(i, kept - 1):
            tail[s, d, j] = tail[s, d, j + 1]
        counts[s, d, _KEPT] = kept - 1


@inlined
def _insert(tail: Array, counts: Counts, at: Place, score: np.float32) -> None:
    """Put a score into the tail at its place; a full tail loses its smallest."""
    s, d = at
    kept = counts[s, d, _KEPT]
    if kept < tail.shape[2]:
        i = kept
        while i > 0 and tail[s, d, i - 1] > score:
            tail[s, d, i] = tail[s, d, i - 1]
            i -= 1
        tail[s, d, i] = score
        counts[s, d, _KEPT] = kept + 1
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
    fill = counts[s, d, _FILL]
    kept = min(tail.shape[2], fill)
    ranked = np.partition(ring[s, d, :fill], fill - kept)
    tail[s, d, :kept] = np.sort(ranked[fill - kept :])
    counts[s, d, _KEPT] = kept
