"""The kernel of the windower: samples onto a time grid, windows off it.

Sample `i` of a sensor stands at time `i / rate`; window `k` covers the samples `k * hop` up to
`k * hop + length`. Each sensor has a ring of `capacity` samples per channel that begins at `base`,
the first sample of the next window.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled, inlined

NOTHING = np.int64(-(2**62))
# What a run of samples causes, each a column of the counts; every sample is one of the first four.
ACCEPTED, LATE, DUPLICATE, OUT_OF_ORDER, REORDERED, INCOMPLETE, GAPS, MISSING = range(8)
NO_FILL, HOLD, LINEAR = 0, 1, 2


class Grid(NamedTuple):
    """The sizes of a stream's windows, all in samples, and what becomes of strange samples: whether
    the newer of two for one place stays, and whether one is dropped that comes after newer ones.
    """

    length: int
    hop: int
    lateness: int
    max_gap: int
    fill: int
    keep_last: bool
    drop_older: bool


class Rings(NamedTuple):
    """The memory of all sensors, rows by slot. `known` marks ring places that hold a sample.

    `carry` and `carry_at` are the newest sample before `base` for each channel: gaps at a window's
    left edge are filled from it. `first` is the first `base` a sensor had.
    """

    values: NDArray[np.float32]
    known: NDArray[np.bool_]
    base: NDArray[np.int64]
    first: NDArray[np.int64]
    newest: NDArray[np.int64]
    present: NDArray[np.int64]
    carry: NDArray[np.float32]
    carry_at: NDArray[np.int64]


class Runs(NamedTuple):
    """Samples to push: run `r` is `(channels, size)` values from `at` on in `data`, its first
    column at sample `begin`."""

    slot: NDArray[np.int64]
    channel: NDArray[np.int64]
    begin: NDArray[np.int64]
    size: NDArray[np.int64]
    at: NDArray[np.int64]
    data: NDArray[np.float32]


class Cut(NamedTuple):
    """Windows that came out: their samples, slot, first sample and the run that completed them."""

    data: NDArray[np.float32]
    slot: NDArray[np.int64]
    base: NDArray[np.int64]
    run: NDArray[np.int64]


def most_per_column(grid: Grid, capacity: int) -> int:
    """The most windows that one further sample of a sensor can close."""
    return capacity // grid.hop + 2


@compiled
def sound(rings: Rings, grid: Grid) -> bool:
    """Whether this is the memory of sensors that were pushed some samples, and of no others."""
    capacity = rings.values.shape[2]
    for slot in range(len(rings.base)):
        base = rings.base[slot]
        present = 0
        for c in range(rings.values.shape[1]):
            if rings.newest[slot, c] >= max(base, NOTHING) + grid.length + grid.lateness:
                return False
            if rings.carry_at[slot, c] >= max(base, NOTHING + 1):
                return False
            for at in range(base, base + min(grid.length, capacity)):
                present += rings.known[slot, c, at % capacity]
        if capacity > 1 and present != rings.present[slot]:
            return False
    return True


@compiled
def push(
    rings: Rings, runs: Runs, grid: Grid, place: Any, cut: Cut, counts: NDArray[np.int64]
) -> int:
    """Push from `place` (run, column) on until all is done or `cut` is nearly full.

    Returns the number of windows cut, adds to `counts` what each run caused `(runs, 8)`, and moves
    `place` to where to go on.
    """
    capacity = rings.values.shape[2]
    room = len(cut.slot) - (capacity // grid.hop + 2)
    made = 0
    run = place[0]
    column = place[1]
    while run < len(runs.slot):
        count = runs.size[run]
        while column < count and made <= room:
            made = _push_column(rings, runs, grid, run, column, cut, counts, made)
            column += 1
        if column < count:
            break
        run += 1
        column = 0
    place[0] = run
    place[1] = column
    return made


@compiled
def _push_column(
    rings: Rings,
    runs: Runs,
    grid: Grid,
    run: int,
    column: int,
    cut: Cut,
    counts: NDArray[np.int64],
    made: int,
) -> int:
    slot = runs.slot[run]
    at = runs.begin[run] + column
    if rings.base[slot] == NOTHING:
        _begin(rings, grid, slot, at)
    made = _make_room(rings, grid, slot, at, cut, run, counts, made)
    if at < rings.base[slot]:
        _behind(rings, runs, grid, (run, column, at), counts)
        return made
    _write(rings, runs, grid, run, column, at, counts)
    while _closes(rings, grid, slot):
        made = _close(rings, grid, slot, cut, run, counts, made)
    return made


@compiled
def _begin(rings: Rings, grid: Grid, slot: int, at: int) -> None:
    """The first window of a sensor is the first whole one at or after its first sample."""
    rings.base[slot] = -(-at // grid.hop) * grid.hop
    rings.first[slot] = rings.base[slot]
    rings.present[slot] = 0


@compiled
def _make_room(
    rings: Rings,
    grid: Grid,
    slot: int,
    at: int,
    cut: Cut,
    run: int,
    counts: NDArray[np.int64],
    made: int,
) -> int:
    """Close what a sample far ahead leaves behind; windows without a sample, all in one leap."""
    capacity = rings.values.shape[2]
    while at >= rings.base[slot] + capacity:
        if rings.known[slot].any():
            made = _close(rings, grid, slot, cut, run, counts, made)
        else:
            beyond = at - rings.base[slot] - capacity + 1
            rings.base[slot] += -(-beyond // grid.hop) * grid.hop
    return made


@inlined
def _behind(
    rings: Rings, runs: Runs, grid: Grid, where: tuple[int, int, int], counts: NDArray[np.int64]
) -> None:
    """A sample (its run, column and place) before the next window is late; but those ahead of a
    sensor's very first one were never part of any, and only serve to fill a gap at its left edge.
    """
    run, column, at = where
    slot = runs.slot[run]
    only = runs.channel[run]
    channels = rings.values.shape[1] if only < 0 else 1
    if rings.base[slot] != rings.first[slot]:
        counts[run, LATE] += channels
        return
    for k in range(channels):
        c = k if only < 0 else only
        taken = at == rings.carry_at[slot, c]
        if not _admits(rings, grid, (slot, c, at), taken, counts[run]):
            continue
        if at >= rings.carry_at[slot, c]:
            rings.carry[slot, c] = runs.data[runs.at[run] + k * runs.size[run] + column]
            rings.carry_at[slot, c] = at


@inlined
def _admits(
    rings: Rings,
    grid: Grid,
    where: tuple[int, int, int],
    taken: bool,
    counts: NDArray[np.int64],
) -> bool:
    """Whether a sample is to be put in its place, which may be taken; counted either way."""
    slot, c, at = where
    older = at < rings.newest[slot, c]
    rings.newest[slot, c] = max(rings.newest[slot, c], at)
    if taken:
        counts[DUPLICATE] += 1
        return grid.keep_last
    if older and grid.drop_older:
        counts[OUT_OF_ORDER] += 1
        return False
    counts[ACCEPTED] += 1
    if older:
        counts[REORDERED] += 1
    return True


@inlined
def _write(
    rings: Rings,
    runs: Runs,
    grid: Grid,
    run: int,
    column: int,
    at: int,
    counts: NDArray[np.int64],
) -> None:
    slot = runs.slot[run]
    only = runs.channel[run]
    channels = rings.values.shape[1] if only < 0 else 1
    place = at % rings.values.shape[2]
    for k in range(channels):
        c = k if only < 0 else only
        taken = rings.known[slot, c, place]
        if not _admits(rings, grid, (slot, c, at), taken, counts[run]):
            continue
        rings.known[slot, c, place] = True
        rings.values[slot, c, place] = runs.data[runs.at[run] + k * runs.size[run] + column]
        if not taken and at < rings.base[slot] + grid.length:
            rings.present[slot] += 1


@compiled
def _closes(rings: Rings, grid: Grid, slot: int) -> bool:
    """A window is over when it is complete, or when a sample came `lateness` past its end."""
    if rings.present[slot] == rings.values.shape[1] * grid.length:
        return True
    newest = rings.newest[slot, 0]
    for c in range(1, rings.values.shape[1]):
        newest = max(newest, rings.newest[slot, c])
    return bool(newest >= rings.base[slot] + grid.length + grid.lateness)


@compiled
def _close(
    rings: Rings,
    grid: Grid,
    slot: int,
    cut: Cut,
    run: int,
    counts: NDArray[np.int64],
    made: int,
) -> int:
    if rings.present[slot] > 0:
        usable = True
        for c in range(rings.values.shape[1]):
            usable = usable and _copy_channel(rings, grid, slot, c, cut.data[made, c])
        if usable:
            cut.slot[made] = slot
            cut.base[made] = rings.base[slot]
            cut.run[made] = run
            made += 1
        else:
            counts[run, INCOMPLETE] += 1
    _advance(rings, grid, slot, run, counts)
    return made


@compiled
def _copy_channel(rings: Rings, grid: Grid, slot: int, c: int, out: NDArray[np.float32]) -> bool:
    """Copy one channel of the window, gaps filled by the policy; False where one is too long."""
    capacity = rings.values.shape[2]
    base = rings.base[slot]
    last = rings.carry_at[slot, c]
    value = rings.carry[slot, c]
    for t in range(grid.length):
        at = base + t
        place = at % capacity
        if not rings.known[slot, c, place]:
            continue
        new = rings.values[slot, c, place]
        if not _fill(grid, out, base, last, value, at, new):
            return False
        out[t] = new
        last = at
        value = new
    return _fill(grid, out, base, last, value, base + grid.length, value)


@inlined
def _fill(
    grid: Grid,
    out: NDArray[np.float32],
    base: int,
    last: int,
    value: float,
    until: int,
    new: float,
) -> bool:
    """Fill the places after sample `last` and before `until`, as far as they are in the window."""
    begin = max(last + 1, base)
    if begin >= until:
        return True
    if grid.fill == NO_FILL or until - last - 1 > grid.max_gap:
        return False
    for at in range(begin, until):
        if grid.fill == LINEAR:
            part = (at - last) / (until - last)
            out[at - base] = np.float32(value + (new - value) * part)
        else:
            out[at - base] = value
    return True


@compiled
def _advance(rings: Rings, grid: Grid, slot: int, run: int, counts: NDArray[np.int64]) -> None:
    """Move on by one hop: forget what is before the next window, count what is in it, and the gaps
    that have an end now.
    """
    capacity = rings.values.shape[2]
    base = rings.base[slot]
    for c in range(rings.values.shape[1]):
        for at in range(base, base + grid.hop):
            place = at % capacity
            if rings.known[slot, c, place]:
                missing = at - rings.carry_at[slot, c] - 1
                if missing > 0 and rings.carry_at[slot, c] != NOTHING:
                    counts[run, GAPS] += 1
                    counts[run, MISSING] += missing
                rings.carry[slot, c] = rings.values[slot, c, place]
                rings.carry_at[slot, c] = at
                rings.known[slot, c, place] = False
    rings.base[slot] = base + grid.hop
    present = 0
    for c in range(rings.values.shape[1]):
        for at in range(base + grid.hop, base + grid.hop + grid.length):
            if rings.known[slot, c, at % capacity]:
                present += 1
    rings.present[slot] = present
