"""Scaling constants of the sensors of one lane, for each of its trained models.

A sensor of the training data has its own, from the model file. Another one gets those of the whole
group, or, where the configuration says `warm_up`, those fitted as in training to its own first
windows; these are state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from monitor.errors import StateError
from monitor.features.scaling import Fit, fit_scaling
from monitor.protocols import Scorer
from monitor.stream.columns import Column, Columns
from monitor.types import Array, Slots, State


class Constants:
    """Per sensor: how many windows it has shown, and what was fitted to them; those of sensors
    that still warm up are kept until then. `fit` is what training would fit by.
    """

    def __init__(
        self, scorers: Sequence[Scorer], channels: int, warm_up: int, fit: Fit = fit_scaling
    ) -> None:
        self.scorers, self._fit = scorers, fit
        self.warm_up = warm_up
        self._shown: dict[int, list[Array]] = {}
        self._learned = Columns(seen=Column("i8"), own=Column("f4", (2, channels)))
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

    def warms_up(self, slot: int) -> bool:
        """Whether this sensor's constants come from its own first windows."""
        return not bool(self._given["fixed"][slot])

    def learn(self, slots: Slots, data: Array) -> NDArray[np.bool_]:
        """See windows in order; False for those of a sensor that has not seen enough yet."""
        ready = self._given["fixed"][slots] | (self._learned["seen"][slots] >= self.warm_up)
        for row in np.flatnonzero(~ready).tolist():
            slot = int(slots[row])
            ready[row] = self._learned["seen"][slot] >= self.warm_up
            if not ready[row] and np.isfinite(data[row]).all():
                self._show(slot, data[row])
        return ready

    def of(self, slots: Slots, model: int) -> Array:
        """`(N, 2, C)` for the place of a model."""
        given = self._given["of"][slots, model]
        if self.warm_up:
            warm = ~self._given["fixed"][slots] & (self._learned["seen"][slots] >= self.warm_up)
            given[warm] = self._learned["own"][slots[warm]]
        return cast(Array, given)

    def forget(self, slots: Slots) -> None:
        """Others will have these slots."""
        self._learned.clear(slots)
        self._given.clear(slots)
        for slot in slots.tolist():
            self._shown.pop(slot, None)

    def progress(self, slots: Slots) -> Array:
        """How much of the warm-up these sensors have behind them, 0 to 1."""
        if not self.warm_up:
            return np.ones(len(slots), np.float32)
        part = np.minimum(self._learned["seen"][slots] / self.warm_up, 1).astype(np.float32)
        return np.where(self._given["fixed"][slots], np.float32(1), part)

    def state(self) -> State:
        """What was learned, and the windows shown so far, in the order of slots."""
        shown = [window for slot in sorted(self._shown) for window in self._shown[slot]]
        kept = np.stack(shown) if shown else np.empty((0, 0, 0), np.float32)
        return self._learned.state() | {"shown": kept}

    def restore(self, state: State) -> None:
        """Take over what `state` gave. Raises StateError where the windows are not those seen."""
        learned = {name: state[name] for name in state.keys() - {"shown"}}
        seen = state.get("seen", np.empty(0, np.int64))
        warming = np.flatnonzero((seen > 0) & (seen < self.warm_up))
        shown = state.get("shown", np.empty(0, np.float32))
        if len(shown) != seen[warming].sum() or shown.dtype != np.float32:
            raise StateError(f"{len(shown)} windows of sensors that warm up do not fit the counts")
        wanted = {each.shape for each in self.scorers}
        if len(shown) and not (wanted == {shown.shape[1:]} and np.isfinite(shown).all()):
            raise StateError(
                f"windows of sensors that warm up are {shown.shape[1:]}, or not finite"
            )
        own = learned.get("own", np.empty((0, 2, 0)))[seen >= max(self.warm_up, 1)]
        if not (np.isfinite(own).all() and (own[:, 1] > 0).all()):
            raise StateError("constants that were fitted are not finite, or a scale is not over 0")
        self._learned.restore(learned)
        self._learned.reach(self._given.rows)
        parts = np.split(shown, np.cumsum(seen[warming])[:-1])
        self._shown = {s: list(part) for s, part in zip(warming.tolist(), parts, strict=False)}

    def _show(self, slot: int, window: Array) -> None:
        shown = self._shown.setdefault(slot, [])
        shown.append(np.array(window))
        self._learned["seen"][slot] = len(shown)
        if len(shown) == self.warm_up:
            self._learned["own"][slot] = self._fit(np.stack(shown))
            del self._shown[slot]
