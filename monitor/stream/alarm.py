"""The life of an alert: k of n windows raise it, so many quiet ones in a row clear it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from monitor.alerting import AlertConfig
from monitor.compiled import compiled
from monitor.errors import StateError
from monitor.stream.columns import TIMES, Column, Columns
from monitor.types import Array, Severity, Slots, State

NOTHING, RAISED, ESCALATED, RESOLVED = 0, 1, 2, 3
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


def alert_id(stream: str, sensor: str, rule: str, opened: float) -> str:
    """The same for the same alert, in whatever process and however often it is found."""
    return hashlib.sha256(f"{stream}\0{sensor}\0{rule}\0{opened!r}".encode()).hexdigest()[:16]


class Steps(NamedTuple):
    """What a round of windows did to its sensors: a code, when the alert opened, how bad it is."""

    code: NDArray[np.int8]
    opened: NDArray[np.float64]
    severity: NDArray[np.int8]


class Alarm:
    """One state machine for each sensor: ok -> pending -> firing -> ok.

    Raised where at least k of the last n windows have a fused score over 1, unless it resolved less
    than `cool_down` ago. Resolved after n windows in a row below the clear level. A window whose
    score is unknown (NaN) changes nothing. The severity only rises while the alert is open.
    """

    def __init__(self, settings: AlertConfig) -> None:
        self.settings = settings
        levels = [settings.severity.get(name, np.inf) for name in SEVERITIES]
        self._levels = np.array(levels, np.float64)
        self._rows = Columns(
            history=Column("u8"),
            quiet=Column("i8", (), 0, (0, 2**62)),
            firing=Column("?"),
            opened=Column("f8", (), np.nan, TIMES),
            severity=Column("i1", (), 0, (0, len(SEVERITIES) - 1)),
            rest_until=Column("f8", (), -np.inf, TIMES),
        )

    def firing(self, slots: Slots) -> NDArray[np.bool_]:
        """Which of these sensors have an open alert."""
        self._rows.reach(int(slots.max(initial=-1)) + 1)
        return cast(NDArray[np.bool_], self._rows["firing"][slots])

    def open(self) -> list[tuple[int, float, int]]:
        """Slot, opening time and severity (a place in SEVERITIES) of each open alert."""
        slots = np.flatnonzero(self._rows["firing"][: self._rows.rows])
        columns = (slots, self._rows["opened"][slots], self._rows["severity"][slots])
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def step(self, slots: Slots, fused: Array, times: NDArray[np.float64]) -> Steps:
        """One window for each of these sensors: `(N,)` fused scores and window ends."""
        self._rows.reach(int(slots.max(initial=-1)) + 1)
        steps = Steps(
            np.zeros(len(slots), np.int8), np.empty(len(slots)), np.zeros(len(slots), np.int8)
        )
        rules = (*self.settings.raise_, *self.settings.clear, self.settings.cool_down)
        memory = (self._rows[name] for name in MEMORY)
        _step(slots, fused, times, rules, self._levels, tuple(memory), steps)
        return steps

    def forget(self, slots: Slots) -> None:
        """Others will have these slots."""
        self._rows.clear(slots)

    def state(self) -> State:
        return self._rows.state()

    def restore(self, state: State) -> None:
        rows = self._rows.restored(state)
        if np.isnan(rows["opened"][rows["firing"]]).any():
            raise StateError("an alert is open that was never opened")
        self._rows = rows


MEMORY: Sequence[str] = ("history", "quiet", "firing", "opened", "severity", "rest_until")


@compiled
def _step(
    slots: Slots,
    fused: Array,
    times: NDArray[np.float64],
    rules: tuple[int, int, int, float, float],
    levels: NDArray[np.float64],
    memory: tuple[NDArray[np.uint64], ...],
    steps: Steps,
) -> None:
    k, n, clear_after, clear_level, cool_down = rules
    history, quiet, firing, opened, severity, rest_until = memory
    window = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - n)
    for i in range(len(slots)):
        s = slots[i]
        value = fused[i]
        steps.opened[i] = opened[s]
        if np.isnan(value):
            continue
        over = np.uint64(1) if value > 1.0 else np.uint64(0)
        history[s] = ((history[s] << np.uint64(1)) | over) & window
        quiet[s] = quiet[s] + 1 if value < clear_level else 0
        level = _level(value, levels)
        if not firing[s]:
            if _ones(history[s]) >= k and over and times[i] >= rest_until[s]:
                firing[s] = True
                opened[s] = times[i]
                severity[s] = level
                steps.code[i] = RAISED
        elif quiet[s] >= clear_after:
            firing[s] = False
            history[s] = 0
            rest_until[s] = times[i] + cool_down
            steps.code[i] = RESOLVED
        elif level > severity[s]:
            severity[s] = level
            steps.code[i] = ESCALATED
        steps.opened[i] = opened[s]
        steps.severity[i] = severity[s]


@compiled
def _level(value: float, levels: NDArray[np.float64]) -> int:
    """The worst severity whose level is reached; the mildest configured one if none is."""
    found = -1
    for severity in range(len(levels)):
        if value >= levels[severity] or (found < 0 and levels[severity] < np.inf):
            found = severity
    return max(found, 0)


@compiled
def _ones(bits: np.uint64) -> int:
    count = 0
    while bits:
        bits &= bits - np.uint64(1)
        count += 1
    return count
