"""Rolling percentile: from which raw score on is a window anomalous, for each sensor and detector.

Every pair of sensor and detector has a ring of its last scores (`ring.py`). One compiled call
serves a whole round of sensors and all detectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.alerting import ThresholdConfig
from monitor.compiled import compiled, inlined
from monitor.errors import ModelError, StateError
from monitor.stream.pvalues import log_p_of, score_at, upper
from monitor.stream.rate import Control, control_of, moved
from monitor.stream.ring import (
    FILL,
    FLAGGED,
    MISSING,
    Counts,
    Place,
    Rings,
    Sizes,
    adopt,
    enter,
    flag,
    largest,
)
from monitor.types import Array, Slots, State

BEYOND = 30.0  # a score so many times rarer than those at the threshold is no accident
Mask = NDArray[np.bool_]
Arrays = tuple[NDArray[Any], ...]
Numbers = tuple[Any, ...]


class _Rule(NamedTuple):
    """The settings as the compiled code needs them. It is handed over as a plain tuple, and so are
    the arrays: numba takes these several times faster than named ones.
    """

    quantile: float
    margin: float
    floor: float
    cap: float
    adopt: int
    pareto: bool
    left_out: bool


class RollingThreshold:
    """Thresholds from each sensor's own past scores: `max(floor, margin * percentile)`.

    The percentile is exact at any fill: `numpy.quantile(scores, quantile, method="higher")`; with
    `tail: pareto` it is that of a generalised Pareto tail fitted to the largest twentieth of the
    scores, where it belongs to these. It is infinite until `warm_up` scores are known. A detector
    with calibration (ascending quantiles of held-out normal scores) starts with a whole window of
    those instead, which leave the ring as the sensor's own scores arrive.

    A flagged score enters capped at `cap` times the threshold with which its run of flagged scores
    began, so that a long anomaly cannot raise the threshold over and over until it passes. A
    fitted tail runs ahead of scores that rise, so there the run begins with the first score of the
    fitted part, and the cap holds for all of it. With
    `outliers: left_out` one over that cap enters not at all, nor does one that the fitted tail
    gives less than a thirtieth of the rate. After `adopt` flagged scores in a row
    their raw values replace the ring: what lasted that long is normal from then on. While a sensor
    is `held` (an alert is open) its flagged scores enter nothing, but their run goes on. Scores
    that are not finite enter nothing and end no run.

    With a `rate_step` the rate that is worked with moves, up to `rate_bound` times the nominal one
    either way, so that the share of flagged scores keeps to it (`rate.py`). What counts is what
    may teach: no score of a held sensor, none that is left out. An adopted level begins at the
    nominal rate.

    With `p_values` there are p-values too. Raises ModelError for a calibration that is not a
    finite ascending row.
    """

    def __init__(
        self,
        detectors: int,
        settings: ThresholdConfig,
        calibration: Sequence[Array | None],
        *,
        p_values: bool = False,
    ) -> None:
        if len(calibration) != detectors:
            raise ModelError(
                f"{len(calibration)} calibrations for {detectors} detectors; give one or None each"
            )
        self._settings = settings
        self._p_values = p_values
        self._control = control_of(settings)
        self._rule = _Rule(
            quantile=settings.quantile,
            margin=settings.margin,
            floor=settings.floor,
            cap=settings.cap,
            adopt=settings.adopt,
            pareto=settings.tail == "pareto",
            left_out=settings.outliers == "left_out",
        )
        self._numbers = tuple(self._rule), tuple(self._control)
        self._rings = Rings(self._sizes(), calibration)
        self._warm()

    def cuts(self, slots: Slots) -> Array:
        """The thresholds that hold for the next score: `(N,) -> (N, D)`, from the past only."""
        slots = self._rings.make_room(slots)
        cuts = np.empty((len(slots), self._rings.detectors), np.float32)
        _cuts(*self._known(), slots, cuts)
        return cuts

    def log_p(self, slots: Slots, raw: Array) -> Array:
        """Log p-values of the next scores, from the past only: `(N,), (N, D) -> (N, D)`, 0 where a
        score is not over the floor, NaN where there is none or the detector warms up.

        Where the working rate has moved they have moved with it: a p-value of the working rate is
        told as the nominal one.
        """
        if not self._p_values:
            raise ModelError("p-values were not asked for when this threshold was made")
        slots = self._rings.make_room(slots)
        raw = self._checked(slots, raw)
        found = np.empty(raw.shape, np.float32)
        limits = (self._settings.floor, self._settings.margin)
        arrays, _, controls = self._known()
        log_p_of(arrays, controls[0], limits, (slots, raw), found)
        return found

    def update(self, slots: Slots, raw: Array, held: Mask | None = None) -> Mask:
        """Learn one score of each detector: `(N,), (N, D), (N,) -> (N, D)`, true where a lasting
        level was adopted just now. Slots are distinct.
        """
        slots = self._rings.make_room(slots)
        raw = self._checked(slots, raw)
        adopted = np.zeros(raw.shape, np.bool_)
        kept_out = np.zeros(len(slots), np.bool_) if held is None else held
        _update(*self._known(), (slots, raw, kept_out), adopted)
        return adopted

    def begin_empty(self, slot: int) -> None:
        """Let a new slot start without the calibration: it is of another kind of sensor."""
        self._rings.begin_empty(slot)

    def forget(self, slots: Slots) -> None:
        """Make these slots as if never seen: other sensors will have them."""
        self._rings.forget(slots)

    def progress(self) -> Array:
        """How much of the warm-up is done, 0 to 1, for all slots in use: `(S, D)`."""
        missing = self._rings.memory.counts[: self._rings.used, :, MISSING]
        return np.asarray(1 - missing / self._settings.warm_up, np.float32)

    def rates(self) -> NDArray[np.float64]:
        """The rates that are worked with, for all slots in use: `(S, D)`."""
        level = self._rings.memory.level[: self._rings.used]
        return np.asarray(self._control.rate * np.exp(level))

    def state(self) -> State:
        """Copies of the memory, one row per slot in use, and the settings it depends on."""
        return self._rings.state() | {"quantile": np.array([self._settings.quantile])}

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateError where it is damaged or of another quantile, window,
        `adopt` or number of detectors; then nothing is changed.
        """
        quantile = state.get("quantile")
        if quantile is None or not np.array_equal(quantile, [self._settings.quantile]):
            told = None if quantile is None else quantile.tolist()
            raise StateError(
                f"the threshold's state is of quantile {told}, configured is "
                f"{self._settings.quantile}"
            )
        self._rings.restore({name: array for name, array in state.items() if name != "quantile"})

    def _known(self) -> tuple[Arrays, Numbers, Numbers]:
        """What every compiled call is given."""
        return tuple(self._rings.memory), self._numbers[0], self._numbers[1]

    def _warm(self) -> None:
        """Have the compiler done before the first record, not on it."""
        nobody = np.empty(0, np.int64)
        self.update(nobody, self.cuts(nobody))
        if self._p_values:
            self.log_p(nobody, self.cuts(nobody))

    def _checked(self, slots: Slots, raw: Array) -> Array:
        raw = np.ascontiguousarray(raw, np.float32)
        if raw.shape != (len(slots), self._rings.detectors):
            raise ModelError(
                f"raw scores have shape {raw.shape}; {len(slots)} slots and "
                f"{self._rings.detectors} detectors need one for each"
            )
        return raw

    def _sizes(self) -> Sizes:
        """Of the largest scores as many as the lowest percentile needs, or the fitted tail, and
        some more.
        """
        window, asked = self._settings.window, self._settings
        lowest = 1 - self._control.rate * math.exp(self._control.high * (self._control.step > 0))
        most = max(_rank(window, min(lowest, asked.quantile)), 1)
        if self._rule.pareto or self._p_values:
            most = max(most, upper(window) + 1)
        return Sizes(
            window=window,
            run=min(asked.adopt, window),
            tail=min(most + max(16, window // 32), window),
            warm_up=asked.warm_up,
            adopt=asked.adopt,
            bound=math.log(asked.rate_bound),
        )


@inlined
def _rank(fill: int, quantile: float) -> int:
    """The percentile is the so-manieth largest of `fill` scores."""
    return fill - math.ceil((fill - 1) * quantile)


@compiled
def _cuts(arrays: Arrays, numbers: Numbers, controls: Numbers, slots: Slots, out: Array) -> None:
    """The threshold of each slot and detector, infinite while it warms up."""
    ring, tail, _, _, level, counts = arrays
    rule, nominal = _Rule(*numbers), controls[0]
    for i in range(slots.shape[0]):
        for d in range(out.shape[1]):
            at = (slots[i], d)
            out[i, d] = _cut((ring, tail, counts), rule, nominal, level[at], at)


@compiled
def _update(
    arrays: Arrays,
    numbers: Numbers,
    controls: Numbers,
    scored: tuple[Slots, Array, NDArray[np.bool_]],
    adopted: NDArray[np.bool_],
) -> None:
    """Enter one score for each slot and detector; `scored`: slots, raw scores, who is held."""
    ring, tail, run, limit, level, counts = arrays
    rule, control = _Rule(*numbers), Control(*controls)
    slots, raw, held = scored
    for i in range(slots.shape[0]):
        for d in range(raw.shape[1]):
            s = slots[i]
            score = raw[i, d]
            if np.isfinite(score):
                cut = _cut((ring, tail, counts), rule, control.rate, level[s, d], (s, d))
                counts[s, d, MISSING] -= counts[s, d, MISSING] > 0
                flagged = score > cut
                if rule.pareto:
                    rare = control.rate * math.exp(level[s, d]) / BEYOND
                    _follow((ring, tail, limit, counts), rule, (score, cut, rare), (s, d))
                believed = True
                if flagged:
                    begun = rule.pareto and limit[s, d] > 0
                    most = limit[s, d] if begun else np.float32(rule.cap) * cut
                    flag(run, limit, counts, (s, d), score, most)
                    believed = not (rule.left_out and score > limit[s, d])
                else:
                    counts[s, d, FLAGGED] = 0
                if flagged or (rule.pareto and limit[s, d] > 0):
                    score = min(score, limit[s, d])
                adopted[i, d] = counts[s, d, FLAGGED] >= rule.adopt
                if adopted[i, d]:
                    adopt(ring, run, counts, (s, d))
                    level[s, d] = 0.0
                elif believed and not (held[i] and flagged):
                    enter(ring, tail, counts, (s, d), score)
                    if control.step > 0 and not held[i] and np.isfinite(cut):
                        level[s, d] = moved(level[s, d], 1.0 if flagged else 0.0, control)


@compiled
def _follow(
    known: tuple[Array, Array, Array, Counts],
    rule: _Rule,
    scored: tuple[np.float32, np.float32, float],
    at: Place,
) -> None:
    """Set the limit where a run of scores of the fitted part begins, and lift it where it ends;
    `scored`: the score, the threshold, the rate beyond which nothing is believed.
    """
    ring, tail, limit, counts = known
    score, cut, rare = scored
    s, d = at
    peaks = upper(counts[s, d, FILL])
    kept = largest(ring, tail, counts, at, peaks + 1)
    known_yet = np.isfinite(cut) and peaks > 0
    if not known_yet or score <= min(cut, np.float32(rule.margin) * tail[s, d, kept - peaks - 1]):
        limit[s, d] = 0.0
    elif limit[s, d] == 0.0:
        limit[s, d] = np.float32(rule.cap) * cut
        if rule.left_out:
            most = np.float32(rule.margin * score_at(ring, tail, counts, at, rare))
            limit[s, d] = min(limit[s, d], most)


@inlined
def _cut(
    known: tuple[Array, Array, Counts], rule: _Rule, nominal: float, level: float, at: Place
) -> np.float32:
    """The threshold of one slot and detector; `known`: ring, tail and counts."""
    ring, tail, counts = known
    s, d = at
    cut = np.float32(np.inf)
    fill = counts[s, d, FILL]
    if fill > 0 and counts[s, d, MISSING] == 0:
        rate = nominal if level == 0.0 else nominal * math.exp(level)
        rank = _rank(fill, rule.quantile if level == 0.0 else 1.0 - rate)
        if rule.pareto and rate * (fill + 1.0) < upper(fill) + 1.0:
            found = np.float32(score_at(ring, tail, counts, at, rate))
        else:
            kept = largest(ring, tail, counts, at, rank)
            found = tail[s, d, kept - rank]
        cut = max(np.float32(rule.floor), np.float32(rule.margin) * found)
    return cut
