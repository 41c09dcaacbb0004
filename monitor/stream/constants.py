"""Scaling constants of the sensors of one lane, for each of its trained models.

A sensor of the training data has its own, from the model file. Another one gets those of the whole
group, or, where the configuration says `warm_up`, those of its own first windows; these are state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.stream.columns import Column, Columns
from monitor.types import Array, Scorer, Slots, State

SMALLEST_SCALE = 1e-6


class Constants:
    """Per sensor: `own` is `(2, C)`: while warming up mean and mean square deviation of the windows
    seen, then centre and scale.
    """

    def __init__(self, scorers: Sequence[Scorer], channels: int, warm_up: int) -> None:
        self.scorers = scorers
        self.warm_up = warm_up
        self._learned = Columns(seen=Column("i8"), own=Column("f8", (2, channels)))
        self._given = Columns(
            of=Column("f4", (max(len(scorers), 1), 2, channels)), fixed=Column("?")
        )

    def known(self, sensor: str) -> bool:
        """Whether every model was trained on this sensor."""
        return all(scorer.constants(sensor) is not None for scorer in self.scorers)

    def add(self, slot: int, sensor: str) -> None:
        """Look up what the models have for a new sensor."""
        self._given.reach(slot + 1)
        self._learned.reach(slot + 1)
        self._given["fixed"][slot] = self.warm_up == 0 or self.known(sensor)
        for m, scorer in enumerate(self.scorers):
            own = scorer.constants(sensor)
            self._given["of"][slot, m] = scorer.group if own is None else own

    def learn(self, slots: Slots, data: Array) -> NDArray[np.bool_]:
        """See windows in order; False for those of a sensor that has not seen enough yet.

        A window that is not finite teaches nothing.
        """
        ready = np.ones(len(slots), np.bool_)
        if self.warm_up:
            seen, own = self._learned["seen"], self._learned["own"]
            _learn(slots, data, self._given["fixed"], seen, own, self.warm_up, ready)
        return ready

    def of(self, slots: Slots, model: int) -> Array:
        """`(N, 2, C)` for the place of a model."""
        given = self._given["of"][slots, model]
        if self.warm_up:
            warm = ~self._given["fixed"][slots] & (self._learned["seen"][slots] > self.warm_up)
            given[warm] = self._learned["own"][slots[warm]]
        return cast(Array, given)

    def progress(self, sensors: int) -> Array:
        """How much of the warm-up each sensor has behind it, 0 to 1."""
        if not self.warm_up:
            return np.ones(sensors, np.float32)
        part = np.minimum(self._learned["seen"][:sensors] / self.warm_up, 1).astype(np.float32)
        return np.where(self._given["fixed"][:sensors], np.float32(1), part)

    def state(self) -> State:
        return self._learned.state()

    def restore(self, state: State) -> None:
        self._learned.restore(state)
        self._learned.reach(self._given.rows)


@compiled
def _learn(
    slots: Slots,
    data: Array,
    fixed: NDArray[np.bool_],
    seen: Slots,
    own: NDArray[np.float64],
    warm_up: int,
    ready: NDArray[np.bool_],
) -> None:
    """`seen` stops at warm_up + 1, which says that `own` has become centre and scale."""
    for i in range(len(slots)):
        s = slots[i]
        if fixed[s] or seen[s] > warm_up:
            continue
        ready[i] = False
        if not np.isfinite(data[i]).all():
            continue
        seen[s] += 1
        for c in range(data.shape[1]):
            _merge(data[i, c], seen[s], own[s, :, c])
        if seen[s] == warm_up:
            seen[s] += 1
            for c in range(data.shape[1]):
                smallest = SMALLEST_SCALE * max(1.0, abs(own[s, 0, c]))
                own[s, 1, c] = max(np.sqrt(own[s, 1, c]), smallest)


@compiled
def _merge(x: Array, windows: int, moments: NDArray[np.float64]) -> None:
    """Add one of `windows` equally long runs to the mean and the mean square deviation.

    The pairwise update of Chan, Golub & LeVeque (1983): sums of squares would lose a small
    deviation around a large mean.
    """
    mean = 0.0
    for t in range(len(x)):
        mean += np.float64(x[t])
    mean /= len(x)
    square = 0.0
    for t in range(len(x)):
        square += (np.float64(x[t]) - mean) ** 2
    square /= len(x)
    away = mean - moments[0]
    moments[0] += away / windows
    between = away * away * (windows - 1) / windows
    moments[1] += (square - moments[1] + between) / windows
