"""Sensors that stop sending, found in event time.

A partition's clock is the newest sample time of its records. A sensor is silent once that clock
passes its last sample by the time-out; the alert counts as opened at last sample + time-out, so it
has the same id however late it is noticed. The sensor's own next record may be the one that shows
the silence, and ends it at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.stream.columns import Column, Columns
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
    """Last sample times of the sensors of one lane, and who is silent."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = np.inf if timeout is None else timeout
        self._rows = Columns(last=Column("f8", (), -np.inf), silent=Column("?"))
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
        room = self._rows.rows + 2 * len(slots)
        found = np.empty((room, 5))
        memory = (self._rows["last"], self._rows["silent"], self._due)
        made = _observe(slots, times, clock, self._rows.rows, self.timeout, *memory, found)
        return [
            Change(int(slot), int(at), bool(silent), opened, time)
            for slot, at, silent, opened, time in found[:made].tolist()
        ]

    def silent(self) -> list[Change]:
        """Those who are silent now, as they were told."""
        slots = np.flatnonzero(self._rows["silent"][: self._rows.rows]).tolist()
        opened = self._rows["last"] + self.timeout
        return [Change(s, 0, True, float(opened[s]), float(opened[s])) for s in slots]

    def tick(self, now: float) -> list[Change]:
        """Let the clock alone move on; what the log says later gives the same ids."""
        return self.observe(np.array([-1]), np.array([-np.inf]), np.array([now]))

    def state(self) -> State:
        return self._rows.state()

    def restore(self, state: State) -> None:
        self._rows.restore(state)
        self._due[0] = -np.inf


@compiled
def _observe(
    slots: Slots,
    times: Times,
    clock: Times,
    rows: int,
    timeout: float,
    last: Times,
    silent: NDArray[np.bool_],
    due: Times,
    found: Times,
) -> int:
    made = 0
    for i in range(len(slots)):
        if clock[i] > due[0]:
            due[0] = np.inf
            for s in range(rows):
                if silent[s] or last[s] == -np.inf:
                    continue
                if last[s] + timeout < clock[i]:
                    silent[s] = True
                    found[made] = (s, i, 1.0, last[s] + timeout, clock[i])
                    made += 1
                else:
                    due[0] = min(due[0], last[s] + timeout)
        slot = slots[i]
        if slot < 0:
            continue
        if silent[slot]:
            silent[slot] = False
            found[made] = (slot, i, 0.0, last[slot] + timeout, times[i])
            made += 1
        last[slot] = max(last[slot], times[i])
        due[0] = min(due[0], last[slot] + timeout)
    return made
