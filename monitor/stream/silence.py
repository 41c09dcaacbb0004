"""Sensors that stop sending, found in event time.

A partition's clock is the newest sample time of its records. A sensor is silent once that clock
has moved on by the time-out since its last message; one whose own clock is behind is not. The alert
counts as opened at its last sample + time-out, so it has the same id however late it is noticed.
The sensor's own next record may be the one that shows the silence, and ends it at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.stream.columns import TIMES, Column, Columns
from monitor.types import Slots, State

Times = NDArray[np.float64]


class Change(NamedTuple):
    """A sensor became silent, or spoke again; `at` is the place in what was observed."""

    slot: int
    at: int
    silent: bool
    opened: float
    time: float


class Silence:
    """Last sample times of the sensors of one lane, and who is silent.

    `heard` is the partition's clock at a sensor's last message, `opened` says since when it is
    silent (NaN while it is not): so an alert ends under its id also where the time-out has changed.
    `before` is the opening of the silence before: a sensor that only repeats old samples is silent
    again without a newer one, and that is another alert.
    """

    def __init__(self, timeout: float | None) -> None:
        self.timeout = np.inf if timeout is None else timeout
        self._rows = Columns(
            last=Column("f8", (), -np.inf, TIMES),
            heard=Column("f8", (), -np.inf, TIMES),
            opened=Column("f8", (), np.nan, TIMES),
            before=Column("f8", (), -np.inf, TIMES),
        )
        # No sensor can become silent before this time; a lower bound, found again where passed.
        self._due = np.full(1, -np.inf)

    @property
    def last_seen(self) -> Times:
        """Time of each sensor's newest sample, by slot."""
        return self._rows["last"][: self._rows.rows]

    def observe(self, slots: Slots, times: Times, clock: Times) -> list[Change]:
        """Messages in order: their sensor (or -1 for one of another lane), the time of their last
        sample, and the partition's clock with them.
        """
        self._rows.reach(int(slots.max(initial=-1)) + 1)
        rows = self._rows.rows
        found = np.empty((rows + 2 * len(slots), 5))
        memory = tuple(self._rows[name] for name in ("last", "heard", "opened", "before"))
        made = _observe((slots, times, clock), rows, self.timeout, memory, self._due, found)
        return [
            Change(int(slot), int(at), bool(silent), opened, time)
            for slot, at, silent, opened, time in found[:made].tolist()
        ]

    def silent(self) -> list[Change]:
        """Those who are silent now, as they were told."""
        opened = self._rows["opened"][: self._rows.rows]
        slots = np.flatnonzero(~np.isnan(opened)).tolist()
        return [Change(s, 0, True, float(opened[s]), float(opened[s])) for s in slots]

    def tick(self, now: float) -> list[Change]:
        """Let the clock alone move on; what the log says later gives the same ids."""
        return self.observe(np.array([-1]), np.array([-np.inf]), np.array([now]))

    def forget(self, slots: Slots) -> None:
        """Others will have these slots."""
        self._rows.clear(slots)

    def state(self) -> State:
        return self._rows.state()

    def restore(self, state: State) -> None:
        self._rows.restore(state)
        self._due[0] = -np.inf


@compiled
def _observe(
    messages: tuple[Slots, Times, Times],
    rows: int,
    timeout: float,
    memory: tuple[Times, ...],
    due: Times,
    found: Times,
) -> int:
    slots, times, clock = messages
    last, heard, opened, before = memory
    made = 0
    for i in range(len(slots)):
        if clock[i] > due[0]:
            due[0] = np.inf
            for s in range(rows):
                if last[s] == -np.inf or not np.isnan(opened[s]):
                    continue
                if heard[s] + timeout < clock[i]:
                    opened[s] = last[s] + timeout
                    if opened[s] <= before[s]:
                        opened[s] = heard[s] + timeout
                    before[s] = opened[s]
                    found[made] = (float(s), float(i), 1.0, opened[s], clock[i])
                    made += 1
                else:
                    due[0] = min(due[0], heard[s] + timeout)
        slot = slots[i]
        if slot < 0:
            continue
        if not np.isnan(opened[slot]):
            found[made] = (float(slot), float(i), 0.0, opened[slot], times[i])
            made += 1
            opened[slot] = np.nan
        last[slot] = max(last[slot], times[i])
        heard[slot] = clock[i]
        due[0] = min(due[0], heard[slot] + timeout)
    return made
