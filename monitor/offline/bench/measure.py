"""How time is taken: slices of both sides in turns, so that whatever slows the machine slows both.

The clock is the CPU time of this process, which other processes cannot stretch; wall-clock time
is kept beside it. A ratio is the median over adjacent pairs of slices.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

GROWTH = 8
FEWEST_ROUNDS = 3

Item = TypeVar("Item")
Work = Callable[[], None]
Advance = Callable[[float], None]


class Side(Protocol):
    """One of the things compared. It works on whole multiples of `unit` windows."""

    @property
    def unit(self) -> int: ...

    def prepare(self, windows: int) -> Work:
        """Make what so many windows need; only the work that is returned is timed."""
        ...


@dataclass(frozen=True)
class Simple:
    """A side that is one function: `make` gets the number of windows and returns the work."""

    unit: int
    make: Callable[[int], Work]

    def prepare(self, windows: int) -> Work:
        """As `Side.prepare`."""
        return self.make(windows)


def over(step: Callable[[Item], object], items: Sequence[Item]) -> Work:
    """The work of doing one thing to each of many."""

    def work() -> None:
        for item in items:
            step(item)

    return work


@dataclass(frozen=True)
class Slice:
    """What some work on so many windows took, in seconds."""

    windows: int
    cpu: float
    wall: float

    @property
    def us(self) -> float:
        """Microseconds of CPU time per window."""
        return 1e6 * self.cpu / self.windows

    @property
    def wall_us(self) -> float:
        """Microseconds of wall-clock time per window."""
        return 1e6 * self.wall / self.windows


def measure(side: Side, windows: int) -> Slice:
    """Time the work on so many windows; what preparing it threw away is collected before."""
    work = side.prepare(windows)
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Slice(windows, time.process_time() - cpu, time.perf_counter() - wall)


@contextmanager
def settled_heap() -> Iterator[None]:
    """Keep the collector away from all that was loaded and made so far: a full collection over the
    libraries takes as long as a slice, and would fall on either side at random.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def interleave(
    sides: Sequence[Side], seconds: float, slice_seconds: float, advance: Advance | None = None
) -> list[list[Slice]]:
    """Slices of about equal time in turns, until each side had about `seconds`.

    Every other round runs in the opposite order, so that a slow drift falls on all alike. Returns
    one list for each side; `advance` is told the seconds after each slice.
    """
    sizes = [_size(side, slice_seconds) for side in sides]
    found: list[list[Slice]] = [[] for _ in sides]
    for number in range(max(FEWEST_ROUNDS, round(seconds / slice_seconds))):
        order = list(range(len(sides)))
        for i in order if number % 2 else reversed(order):
            found[i].append(measure(sides[i], sizes[i]))
            if advance:
                advance(slice_seconds)
    return found


def _size(side: Side, seconds: float) -> int:
    """How many windows take about so long, after some that compile and fill caches."""
    measure(side, side.unit)
    pace = measure(side, side.unit)
    while pace.cpu < seconds / GROWTH:
        pace = measure(side, GROWTH * pace.windows)
    return max(1, round(seconds / pace.us * 1e6 / side.unit)) * side.unit


@dataclass(frozen=True)
class Comparison:
    """Ours against a peer, in microseconds of CPU time per window (medians of slices).

    `ratio` is the median over pairs of slices, `low` and `high` their quartiles; `wall_ratio` is
    the same of wall-clock times.
    """

    name: str
    ours_us: float
    peer: str
    peer_us: float
    ratio: float
    low: float
    high: float
    wall_ratio: float
    pairs: int


def compare(name: str, peer: str, ours: Sequence[Slice], theirs: Sequence[Slice]) -> Comparison:
    """Put slices that ran side by side against each other."""
    pairs = list(zip(ours, theirs, strict=True))
    ratios = [b.us / a.us for a, b in pairs]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist()
    return Comparison(
        name=name,
        ours_us=typical(ours),
        peer=peer,
        peer_us=typical(theirs),
        ratio=middle,
        low=low,
        high=high,
        wall_ratio=float(np.median([b.wall_us / a.wall_us for a, b in pairs])),
        pairs=len(pairs),
    )


def typical(slices: Sequence[Slice]) -> float:
    """The median of microseconds per window."""
    return float(np.median([found.us for found in slices]))
