"""Samples -> windows, for the sensors of one lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.settings import WindowConfig
from monitor.stream import grid
from monitor.stream.columns import Column, Columns
from monitor.types import Array, Samples, Slots, State

OUTCOMES = ("accepted", "late", "duplicate", "incomplete")
FILLS = {"none": grid.NO_FILL, "hold": grid.HOLD, "linear": grid.LINEAR}


class Windows(NamedTuple):
    """Windows of one lane in the order of completion: data `(N, C, T)`, and for each its slot, its
    start in seconds, and which of the pushed samples completed it.
    """

    data: Array
    slots: Slots
    starts: NDArray[np.float64]
    pushed: Slots


class Windower:
    """Cuts windows at epoch multiples of the hop, so that a replay from the middle cuts the same.

    Samples stand on a grid of `rate`: a time is rounded to its nearest place. A place that is taken
    is a duplicate (the first one stays); a sample before the next window is late. A window closes
    as soon as it is complete, or else with the first sample `lateness` past its end; then gaps of
    up to `max_gap` are filled by the policy, and a window with a longer one is dropped and counted.
    """

    def __init__(self, settings: WindowConfig) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        channels, length = settings.shape
        lateness = round(settings.lateness * settings.rate)
        max_gap = round(settings.max_gap * settings.rate)
        self._grid = grid.Grid(
            length, settings.hop_samples, lateness, max_gap, FILLS[settings.fill]
        )
        capacity = length + lateness + 1
        whole = settings.input == "windows"
        ring = (channels, 1 if whole else capacity)
        self._room = max(64, 2 * grid.most_per_column(self._grid, capacity))
        nothing = int(grid.NOTHING)
        self._rows = Columns(
            values=Column("f4", ring),
            known=Column("?", ring),
            base=Column("i8", (), nothing),
            first=Column("i8", (), nothing),
            newest=Column("i8", (channels,), nothing),
            present=Column("i8"),
            carry=Column("f4", (channels,)),
            carry_at=Column("i8", (channels,), nothing),
        )

    def push(self, slots: Sequence[int], samples: Sequence[Samples]) -> Windows:
        """Add what messages brought, in order; `slots` names the sensor of each."""
        if not samples:
            return self._nothing()
        self._rows.reach(max(slots) + 1)
        if self.settings.input == "windows":
            return self._pass(np.asarray(slots, np.int64), samples)
        parts = list(self._cut(np.asarray(slots, np.int64), samples))
        data, slot, base, run = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Windows(data, slot, base / self.settings.rate, run)

    def state(self) -> State:
        return self._rows.state()

    def restore(self, state: State) -> None:
        self._rows.restore(state)

    def _cut(self, slots: Slots, samples: Sequence[Samples]) -> Iterator[grid.Cut]:
        """Run the kernel until everything is pushed; it stops where its output is full."""
        runs = self._runs(slots, samples)
        rings = grid.Rings(*(self._rows[name] for name in grid.Rings._fields))
        place = np.zeros(2, np.int64)
        counts = np.zeros(len(OUTCOMES), np.int64)
        while place[0] < len(samples):
            out = self._empty(self._room)
            made = grid.push(rings, runs, self._grid, place, out, counts)
            yield grid.Cut(out.data[:made], out.slot[:made], out.base[:made], out.run[:made])
        self.counts.update(dict(zip(OUTCOMES, counts.tolist(), strict=True)))

    def _runs(self, slots: Slots, samples: Sequence[Samples]) -> grid.Runs:
        sizes = np.array([s.data.size for s in samples], np.int64)
        starts = np.array([s.start for s in samples], np.float64)
        return grid.Runs(
            slots,
            np.array([s.channel for s in samples], np.int64),
            np.rint(starts * self.settings.rate).astype(np.int64),
            np.array([s.data.shape[1] for s in samples], np.int64),
            np.cumsum(sizes) - sizes,
            np.concatenate([s.data.ravel() for s in samples]),
        )

    def _pass(self, slots: Slots, samples: Sequence[Samples]) -> Windows:
        """Ready windows: only those that are newer than the sensor's last one go on."""
        starts = np.array([s.start for s in samples], np.float64)
        index = np.rint(starts * self.settings.rate).astype(np.int64)
        outcome = np.empty(len(slots), np.int64)
        _newer(slots, index, self._rows["base"], outcome)
        self.counts.update(OUTCOMES[code] for code in outcome.tolist())
        taken = np.flatnonzero(outcome == grid.ACCEPTED)
        if not len(taken):
            return self._nothing()
        data = np.stack([samples[i].data for i in taken.tolist()])
        return Windows(data, slots[taken], starts[taken], taken)

    def _empty(self, rows: int) -> grid.Cut:
        slot, base, run = (np.empty(rows, np.int64) for _ in range(3))
        return grid.Cut(np.empty((rows, *self.settings.shape), np.float32), slot, base, run)

    def _nothing(self) -> Windows:
        none = np.empty(0, np.int64)
        return Windows(self._empty(0).data, none, np.empty(0), none)


@compiled
def _newer(slots: Slots, index: Slots, newest: Slots, outcome: Slots) -> None:
    for i in range(len(slots)):
        s = slots[i]
        if index[i] > newest[s]:
            newest[s] = index[i]
            outcome[i] = grid.ACCEPTED
        else:
            outcome[i] = grid.DUPLICATE if index[i] == newest[s] else grid.LATE
