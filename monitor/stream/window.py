"""Samples -> windows, for the sensors of one lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.errors import StateError
from monitor.settings import EventTime
from monitor.stream import grid
from monitor.stream.columns import Column, Columns
from monitor.types import Array, Samples, Slots, State
from monitor.windowing import Window

SAMPLES = ("accepted", "late", "duplicate", "out_of_order")
OUTCOMES = (*SAMPLES, "reordered", "incomplete", "gaps", "missing")
FILLS = {"none": grid.NO_FILL, "hold": grid.HOLD, "linear": grid.LINEAR}


class Windows(NamedTuple):
    """Windows of one lane in the order of completion: data `(N, C, T)`, and for each its slot, its
    start in seconds, and which of the pushed samples completed it.

    `refused` names pushed samples that are a dead letter as a whole, with the reason.
    """

    data: Array
    slots: Slots
    starts: NDArray[np.float64]
    pushed: Slots
    refused: Sequence[tuple[int, str]] = ()


class Windower:
    """Cuts windows at epoch multiples of the hop, so that a replay from the middle cuts the same.

    Samples stand on a grid of `rate`: a time is rounded to its nearest place. One whose place is
    taken is a duplicate, one that comes after newer ones of its channel is out of order, one before
    the next window is late; `event_time` has the policies. A window closes as soon as it is
    complete, or else with the first sample `lateness` past its end; then gaps of up to `max_gap`
    are filled, and a window with a longer one is dropped. Everything is counted, in samples.
    """

    def __init__(self, settings: Window, event_time: EventTime | None = None) -> None:
        policy = event_time or EventTime()
        self.settings = settings
        self.counts: Counter[str] = Counter()
        channels, length = settings.shape
        lateness = round(settings.lateness * settings.rate)
        max_gap = round(settings.max_gap * settings.rate)
        self._grid = grid.Grid(
            length,
            settings.hop_samples,
            lateness,
            max_gap,
            FILLS[settings.fill],
            keep_last=policy.duplicate == "last",
            drop_older=policy.out_of_order != "sort",
        )
        self._letters = [o for o in SAMPLES[1:] if getattr(policy, o) == "dead_letter"]
        capacity = length + lateness + 1
        whole = settings.whole
        ring = (channels, 1 if whole else capacity)
        self._room = max(64, 2 * grid.most_per_column(self._grid, capacity))
        nothing = int(grid.NOTHING)
        places = (-(2**60), 2**60)  # of the grid; no time reaches its ends
        self._rows = Columns(
            values=Column("f4", ring),
            known=Column("?", ring),
            base=Column("i8", (), nothing, places),
            first=Column("i8", (), nothing, places),
            newest=Column("i8", (channels,), nothing, places),
            present=Column("i8"),
            carry=Column("f4", (channels,)),
            carry_at=Column("i8", (channels,), nothing, places),
        )

    def push(self, slots: Sequence[int], samples: Sequence[Samples]) -> Windows:
        """Add what messages brought, in order; `slots` names the sensor of each."""
        if not samples:
            return self._nothing()
        self._rows.reach(max(slots) + 1)
        if self.settings.whole:
            return self._pass(np.asarray(slots, np.int64), samples)
        counts = np.zeros((len(samples), len(OUTCOMES)), np.int64)
        parts = list(self._cut(np.asarray(slots, np.int64), samples, counts))
        data, slot, base, run = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Windows(data, slot, base / self.settings.rate, run, self._count(counts))

    def forget(self, slots: Slots) -> None:
        """Others will have these slots."""
        self._rows.clear(slots)

    def state(self) -> State:
        return self._rows.state()

    def restore(self, state: State) -> None:
        """Take over what `state` gave. Raises StateError for what no samples lead to: the
        kernel would not come to an end with it.
        """
        rows = self._rows.restored(state)
        rings = grid.Rings(*(rows[name] for name in grid.Rings._fields))
        if not grid.sound(rings, self._grid):
            raise StateError("samples of windows do not fit together")
        self._rows = rows

    def _count(self, counts: NDArray[np.int64]) -> list[tuple[int, str]]:
        """Add up what the runs caused, and find those that are dead letters: all their samples had
        an outcome of which the policy says so. The reason is that of the most.
        """
        self.counts.update(dict(zip(OUTCOMES, counts.sum(axis=0).tolist(), strict=True)))
        if not self._letters:
            return []
        refused = counts[:, [OUTCOMES.index(outcome) for outcome in self._letters]]
        whole = refused.sum(axis=1) == counts[:, : len(SAMPLES)].sum(axis=1)
        reasons = refused.argmax(axis=1)
        return [(run, self._letters[reasons[run]]) for run in np.flatnonzero(whole).tolist()]

    def _cut(
        self, slots: Slots, samples: Sequence[Samples], counts: NDArray[np.int64]
    ) -> Iterator[grid.Cut]:
        """Run the kernel until everything is pushed; it stops where its output is full."""
        runs = self._runs(slots, samples)
        rings = grid.Rings(*(self._rows[name] for name in grid.Rings._fields))
        place = np.zeros(2, np.int64)
        while place[0] < len(samples):
            out = self._empty(self._room)
            made = grid.push(rings, runs, self._grid, place, out, counts)
            yield grid.Cut(out.data[:made], out.slot[:made], out.base[:made], out.run[:made])

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
        counts = np.zeros((len(slots), len(OUTCOMES)), np.int64)
        counts[np.arange(len(slots)), outcome] = self.settings.samples * len(self.settings.channels)
        refused = self._count(counts)
        taken = np.flatnonzero(outcome == grid.ACCEPTED)
        data = self._empty(0).data
        if len(taken):
            data = np.stack([samples[i].data for i in taken.tolist()])
        return Windows(data, slots[taken], starts[taken], taken, refused)

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
