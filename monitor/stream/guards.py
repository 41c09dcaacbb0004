"""Guards: faults of sensors, each a reason of its own, and nothing to learn from.

A value that cannot be, a channel that no longer moves, one at the end of its scale, a sensor whose
windows never become whole, a clock that is ahead: none of that says anything about the machine. An
alert opens with the first window or message that shows it, and resolves after `clear` others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled, inlined
from monitor.errors import StateError
from monitor.guarding import EVERY, GUARDS, OF_SAMPLES, OF_WINDOWS, GuardConfig
from monitor.stream.camera_guards import Last, look_at_frames
from monitor.stream.columns import TIMES, Column, Columns
from monitor.types import Array, Rule, Slots, State
from monitor.windowing import Window

Times = NDArray[np.float64]
Mask = NDArray[np.bool_]

NOTHING, RAISED, RESOLVED = 0, 1, 2
OF_ALL = 1 << 20  # in the place of a channel: the fault is of the whole frame


class Guarded(NamedTuple):
    """A guard's alert opened or resolved; `at` is the place in what was looked at, `channel` the
    one that shows it, or -1.
    """

    rule: Rule
    slot: int
    at: int
    firing: bool
    opened: float
    time: float
    channel: int


class Limits(NamedTuple):
    """The settings as the compiled code needs them, by channel; what is off is infinite."""

    low: Times
    high: Times
    stuck: Times
    saturated: Times
    period: float  # seconds between samples
    clear: int


class Guards:
    """What guards remember of the sensors of a lane.

    `since` is from when on each channel has had the value `last`, `whole` the end of the last
    window without a missing sample; `shown` from when on a camera has sent a frame with `checksum`.
    """

    def __init__(self, settings: GuardConfig, window: Window, clear: int) -> None:
        self.settings = settings
        channels = window.channels
        spans = [_of(settings.range, name, (-np.inf, np.inf)) for name in channels]
        self.limits = Limits(
            low=np.array([low for low, _ in spans]),
            high=np.array([high for _, high in spans]),
            stuck=np.array([_of(settings.stuck, name, np.inf) for name in channels]),
            saturated=np.array([_of(settings.saturated, name, np.inf) for name in channels]),
            period=1 / window.rate,
            clear=clear,
        )
        self._rows = Columns(
            since=Column("f8", (len(channels),), np.nan, TIMES),
            last=Column("f4", (len(channels),), np.nan, (-3.4e38, 3.4e38)),
            whole=Column("f8", (), np.nan, TIMES),
            checksum=Column("i8", (), -1, (-1, 2**32)),
            shown=Column("f8", (), np.nan, TIMES),
            firing=Column("?", (len(GUARDS),)),
            opened=Column("f8", (len(GUARDS),), np.nan, TIMES),
            quiet=Column("i8", (len(GUARDS),), 0, (0, 2**62)),
        )

    def look(self, slots: Slots, data: Array, ends: Times) -> tuple[list[Guarded], Mask]:
        """Windows in arrival order, `(N,), (N, C, T), (N,)`: what opened and resolved, and which
        of them may be learned from.
        """
        if not self.settings.of_windows or not len(slots):
            return [], np.ones(len(slots), np.bool_)
        self._rows.reach(int(slots.max()) + 1)
        channel = np.full((len(slots), OF_WINDOWS), -1, np.int64)
        _look((slots, data, ends), self.limits, (self._rows["since"], self._rows["last"]), channel)
        if self.settings.of_frames:
            last = Last(self._rows["checksum"], self._rows["shown"])
            found = look_at_frames(self.settings, (slots, data, ends), last)
            channel[:, len(OF_SAMPLES) :][found] = OF_ALL
        changes = self._stepped(slots, ends, channel, 0)
        changes = [c._replace(channel=-1) if c.channel == OF_ALL else c for c in changes]
        return changes, np.asarray((channel < 0).all(axis=1))

    def hear(self, slots: Slots, times: Times, whole: Times, skewed: Mask) -> list[Guarded]:
        """Messages in order: their sensor, the time of their last sample, the end of the newest
        whole window that they completed (NaN for none), and whether their clock is ahead.
        """
        if not self.settings.of_messages or not len(slots):
            return []
        self._rows.reach(int(slots.max()) + 1)
        most = np.inf if self.settings.missing is None else self.settings.missing
        broken = np.full((len(slots), len(GUARDS) - OF_WINDOWS), -1, np.int64)
        _blind((slots, times, whole), most, self._rows["whole"], broken)
        broken[skewed & self.settings.skew, 1] = 0
        changes = self._stepped(slots, times, broken, OF_WINDOWS)
        return [change._replace(channel=-1) for change in changes]

    def open(self) -> list[Guarded]:
        """The alerts that are open now, as they were told."""
        rows, opened = self._rows.rows, self._rows["opened"]
        return [
            Guarded(GUARDS[g], s, 0, True, float(opened[s, g]), float(opened[s, g]), -1)
            for s, g in np.argwhere(self._rows["firing"][:rows]).tolist()
        ]

    def forget(self, slots: Slots) -> None:
        """Others will have these slots."""
        self._rows.clear(slots)

    def state(self) -> State:
        return self._rows.state()

    def restore(self, state: State) -> None:
        rows = self._rows.restored(state)
        if np.isnan(rows["opened"][rows["firing"]]).any():
            raise StateError("a guard's alert is open that was never opened")
        self._rows = rows

    def _stepped(self, slots: Slots, times: Times, channel: Slots, first: int) -> list[Guarded]:
        """What becomes of the alerts, in the order of what was looked at; `channel` `(N, G)` shows
        a fault where it is not -1, for the guards from `first` on.
        """
        code = np.zeros(channel.shape, np.int8)
        began = np.full(channel.shape, np.nan)
        memory = self._rows["firing"], self._rows["opened"], self._rows["quiet"]
        _step((slots, times, channel), (first, self.limits.clear), memory, (code, began))
        return [
            Guarded(
                rule=GUARDS[first + guard],
                slot=int(slots[at]),
                at=at,
                firing=bool(code[at, guard] == RAISED),
                opened=float(began[at, guard]),
                time=float(times[at]),
                channel=int(channel[at, guard]),
            )
            for at, guard in np.argwhere(code != NOTHING).tolist()
        ]


def told_guard(settings: GuardConfig, rule: Rule, channel: str) -> str:
    """One line for people; without a channel what the guard is about."""
    name = channel or "a channel"
    if rule == "range":
        low, high = _of(settings.range, channel, (None, None))
        return f"{name} is out of range" + (f"; {low:g} to {high:g} are valid" if channel else "")
    if rule == "stuck":
        after = _of(settings.stuck, channel, None)
        return f"{name} keeps one value" + (f" for {after:g} s" if channel else "")
    if rule == "saturated":
        return f"{name} is at the end of its scale"
    if rule == "dark":
        return f"the picture is dark: its mean brightness is below {settings.dark:g}"
    if rule == "covered":
        return f"nothing is to be seen: the brightness differs by less than {settings.covered:g}"
    if rule == "frozen":
        return f"sends the very same picture for {settings.frozen:g} s"
    if rule == "missing":
        return f"sends, but no whole window for {settings.missing:g} s"
    return "its clock is ahead of the log and of other sensors"


def _of(settings: Mapping[str, Any], channel: str, off: Any) -> Any:
    return settings.get(channel, settings.get(EVERY, off))


@compiled
def _look(
    windows: tuple[Slots, Array, Times],
    limits: Limits,
    memory: tuple[Times, Array],
    channel: Slots,
) -> None:
    """The first channel of each window that is out of range, stuck, or saturated."""
    slots, data, ends = windows
    since, last = memory
    for n in range(len(slots)):
        for c in range(data.shape[1]):
            x = data[n, c]
            low, high, known, still = _extremes(x)
            _rest(x, still, (ends[n], limits.period), since, last, (slots[n], c))
            if known == 0:
                continue
            if channel[n, 0] < 0 and (low < limits.low[c] or high > limits.high[c]):
                channel[n, 0] = c
            if channel[n, 1] < 0 and ends[n] - since[slots[n], c] >= limits.stuck[c]:
                channel[n, 1] = c
            most = limits.saturated[c] * known
            if channel[n, 2] < 0 and low < high and _rails(x, low, high) >= most:
                channel[n, 2] = c


@inlined
def _extremes(x: Any) -> tuple[float, float, int, int]:
    """Lowest and highest value, how many are known, and how many at the end are the same."""
    low, high = np.inf, -np.inf
    known = still = 0
    for t in range(x.size):
        value = x[t]
        if value != value:
            continue
        still = still + 1 if known > 0 and value == x[t - 1] else 1
        known += 1
        low = min(low, value)
        high = max(high, value)
    return low, high, known, still


@inlined
def _rails(x: Any, low: float, high: float) -> int:
    """How many samples are at the lowest or the highest value, whichever has more."""
    at_low = at_high = 0
    for t in range(x.size):
        at_low += x[t] == low
        at_high += x[t] == high
    return max(at_low, at_high)


@inlined
def _rest(
    x: Any, still: int, clock: tuple[float, float], since: Times, last: Array, at: tuple[int, int]
) -> None:
    """Since when the channel has had its last value; a missing sample ends nothing."""
    s, c = at
    end, period = clock
    value = x[x.size - 1]
    if value != value:
        return
    begun = end - still * period
    unchanged = still == x.size and last[s, c] == value and since[s, c] <= begun
    if not unchanged:
        since[s, c] = begun
    last[s, c] = value


@compiled
def _blind(messages: tuple[Slots, Times, Times], most: float, newest: Times, broken: Slots) -> None:
    """Where a sensor has made no whole window for too long, though it sends."""
    slots, times, whole = messages
    for n in range(len(slots)):
        s = slots[n]
        if np.isnan(newest[s]):
            newest[s] = times[n]
        if not np.isnan(whole[n]):
            newest[s] = max(newest[s], whole[n])
        if times[n] - newest[s] >= most:
            broken[n, 0] = 0


@compiled
def _step(
    looked: tuple[Slots, Times, Slots],
    rules: tuple[int, int],
    memory: tuple[Mask, Times, Slots],
    out: tuple[NDArray[np.int8], Times],
) -> None:
    """Open at the first fault, resolve after `clear` without one in a row."""
    slots, times, channel = looked
    first, clear = rules
    firing, opened, quiet = memory
    code, began = out
    for n in range(len(slots)):
        for g in range(channel.shape[1]):
            at = slots[n], first + g
            if channel[n, g] >= 0:
                quiet[at] = 0
                if not firing[at]:
                    firing[at] = True
                    opened[at] = times[n]
                    code[n, g] = RAISED
            elif firing[at]:
                quiet[at] += 1
                if quiet[at] >= clear:
                    firing[at] = False
                    code[n, g] = RESOLVED
            began[n, g] = opened[at]
