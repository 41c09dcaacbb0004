"""Clocks that are wrong: samples from the future, and sensors whose clock runs ahead of the others.

The log's own time stamp is the only other witness. What is compared is how far samples are ahead of
it (negative where they are behind): in a replay faster than real time all of them run ahead alike,
so that a sensor is ahead only by what it is ahead of the others.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import DecodeError, StateError
from monitor.settings import EventTime
from monitor.stream.columns import Column, Columns
from monitor.types import Record, Slots, State

FIRST = 64  # records in which the log has a vote: until others come, one sensor would be usual
FEWEST = 8  # records between two looks at what is usual, or as many as there are sensors
FORGOTTEN = 4  # so many looks after its last message a sensor has no vote
SMOOTHED = 8  # looks over which a shown skew is smoothed
NEVER = -1
FINITE = (-1e300, 1e300)

DETAILS = {
    "late": "all its samples are of windows that are closed already",
    "duplicate": "all its samples are of times that the sensor has sent already",
    "out_of_order": "all its samples are older than the sensor's newest one",
}


class Skewed(NamedTuple):
    """Samples whose sensor's clock is ahead by more than `max_skew`; `fresh` where that is new."""

    stream: str
    sensor: str
    offset: int
    seconds: float
    fresh: bool


def check_future(ahead: float, record: Record, policy: EventTime) -> None:
    """Raises DecodeError `future` where the policy refuses samples so far ahead of their record."""
    if policy.future == "reject":
        raise DecodeError(
            "future",
            f"the last sample's time is {ahead:.0f} s ahead of the log's time stamp "
            f"{record.time:.3f}; event_time.max_ahead is {policy.max_ahead:g} s",
        )


def check_skew(found: Skewed, policy: EventTime) -> None:
    """Raises DecodeError `clock_skew` where the policy refuses such samples."""
    if policy.skew == "reject":
        raise DecodeError("clock_skew", f"{told_skew(found)}; they are refused")


def told_skew(found: Skewed) -> str:
    """Where a sensor's clock stands, for people."""
    return (
        f"its samples are {found.seconds:.0f} s ahead of the log's time stamps and of other sensors"
    )


class Skew:
    """How far each sensor of a lane is ahead of the log, and of the other sensors.

    `ahead` and `heard` are of its last message: seconds, and the offset; they are Python's arrays,
    since each message changes one place, which numpy's are slow at. `seconds` is the skew for
    people, smoothed; `told` marks the sensors whose clock is ahead and told of.
    """

    def __init__(self, policy: EventTime) -> None:
        self._most = policy.max_skew
        self._ahead = array("d")
        self._heard = array("q")
        self._rows = Columns(seconds=Column("f8", (), np.nan, FINITE), told=Column("?"))

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Each sensor's skew in seconds by slot, positive where its clock is ahead of the others;
        NaN where that is not known yet.
        """
        return self._rows["seconds"][: self._rows.rows]

    def hear(self, slot: int, offset: int, ahead: float) -> None:
        """Note how far a message was ahead of the log."""
        if slot >= len(self._heard):
            self._reach(slot + 1)
        self._ahead[slot] = ahead
        self._heard[slot] = offset

    def tell(self, slot: int) -> bool:
        """Whether nobody was told yet that this sensor is ahead; from now on somebody is."""
        fresh = not self._rows["told"][slot]
        self._rows["told"][slot] = True
        return fresh

    def known(self) -> int:
        """How many sensors were heard."""
        return len(self._heard) - self._heard.count(NEVER)

    def votes(self, since: int) -> NDArray[np.float64]:
        """How far those that were heard from an offset on were ahead of the log."""
        found: NDArray[np.float64] = np.asarray(self._ahead)[np.asarray(self._heard) >= since]
        return found

    def settle(self, median: float, since: int) -> None:
        """Smooth what is shown; a sensor that is well within the limit again may be told anew."""
        rows = len(self._heard)
        apart = np.asarray(self._ahead) - median
        shown, told = self._rows["seconds"][:rows], self._rows["told"][:rows]
        moved = np.where(np.isnan(shown), apart, shown + (apart - shown) / SMOOTHED)
        shown[:] = np.where(np.asarray(self._heard) >= since, moved, shown)
        told[apart + min(median, 0.0) <= self._most / 2] = False

    def forget(self, slots: Slots) -> None:
        """Others will have these slots."""
        for slot in slots[slots < len(self._heard)].tolist():
            self._ahead[slot], self._heard[slot] = 0.0, NEVER
        self._rows.clear(slots)
        del self._ahead[self._rows.rows :], self._heard[self._rows.rows :]

    def state(self) -> State:
        last = {"ahead": np.array(self._ahead), "heard": np.array(self._heard)}
        return self._rows.state() | last

    def restore(self, state: State) -> None:
        last = Columns(ahead=Column("f8", (), 0, FINITE), heard=Column("i8", (), NEVER, (0, 2**62)))
        names = set(last.state())
        last.restore({name: array for name, array in state.items() if name in names})
        rows = self._rows.restored({n: array for n, array in state.items() if n not in names})
        if last.rows != rows.rows:
            raise StateError(f"skews of {rows.rows} sensors, messages of {last.rows}")
        self._rows = rows
        self._ahead, self._heard = array("d", last["ahead"]), array("q", last["heard"])

    def _reach(self, rows: int) -> None:
        self._rows.reach(rows)
        new = rows - len(self._heard)
        self._ahead.extend([0.0] * new)
        self._heard.extend([NEVER] * new)


class Usual:
    """How far the samples of a partition usually are ahead of the log: `seconds`, 0 or more.

    The lower median over the sensors that were heard lately, found anew once in a round of them. At
    least 0, since the log itself is right about what has not happened yet: sensors that wait with
    their messages do not make those look early that do not.
    """

    def __init__(self, skews: Sequence[Skew]) -> None:
        self.seconds = 0.0
        self._skews = skews
        self._began = -1
        self._due = -1

    def hear(self, lane: int, slot: int, offset: int, ahead: float) -> None:
        """Count a message in, for those that come after it."""
        self._skews[lane].hear(slot, offset, ahead)
        if offset >= self._due:
            self._look(offset)

    def state(self) -> State:
        records = np.array([self._began, self._due])
        return {"seconds": np.array([self.seconds]), "records": records}

    def restore(self, state: State) -> None:
        """Take over what `state` gave. Raises StateError for anything else."""
        try:
            self.seconds = float(state["seconds"].item())
            self._began, self._due = (int(offset) for offset in state["records"])
        except (LookupError, ValueError, TypeError, OverflowError) as error:
            raise StateError(f"what is usual in the partition cannot be read: {error}") from error
        if not 0.0 <= self.seconds < math.inf:
            raise StateError(f"samples of the partition are usually {self.seconds} s ahead")

    def _look(self, offset: int) -> None:
        if self._began < 0:
            self._began = offset
        apart = max(FEWEST, sum(skew.known() for skew in self._skews))
        self._due = offset + apart
        since = offset - FORGOTTEN * apart
        log = np.zeros(int(offset < self._began + FIRST))
        votes = np.concatenate([log, *(skew.votes(since) for skew in self._skews)])
        middle = (len(votes) - 1) // 2
        median = float(np.partition(votes, middle)[middle])
        self.seconds = max(median, 0.0)
        for skew in self._skews:
            skew.settle(median, since)
