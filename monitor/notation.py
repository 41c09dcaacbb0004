"""The small languages inside the configuration: durations, `3 of 5`, `5 below 0.8`,
`2 per week`, detector references.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

from monitor.detect import DETECTORS

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PERIODS = {"hour": 3600.0, "day": 86400.0, "week": 7 * 86400.0, "month": 30 * 86400.0}
MOST_QUIET = 1_000_000
MOST_ALERTS = 1_000_000
LONGEST = 3660 * UNITS["d"]
MOST_CHANNELS = 1024
_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"


def seconds(value: Any) -> float:
    """`500ms`, `1.5s`, `2m`, `1h`, `1d`, or a number of seconds; never negative."""
    found = re.fullmatch(_NUMBER + r"\s*(us|ms|s|m|h|d)", str(value).strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        length = float(min(value, LONGEST))
    elif found:
        length = float(found[1]) * UNITS[found[2]]
    else:
        raise ValueError("not a duration; write a number with a unit, one of us, ms, s, m, h, d")
    if not 0 <= length < LONGEST:
        raise ValueError(f"not a duration; 0 to {LONGEST / UNITS['d']:.0f}d are valid")
    return length


class Votes(NamedTuple):
    """`k of n` windows."""

    k: int
    n: int


class Budget(NamedTuple):
    """`2 per week`: so many in a period, one of PERIODS."""

    alerts: float
    period: str

    @property
    def per_day(self) -> float:
        return self.alerts * UNITS["d"] / PERIODS[self.period]


class Below(NamedTuple):
    """`n below level`: so many windows in a row under that level."""

    n: int
    level: float


class Reference(NamedTuple):
    """Which detector, and for a trained one which model: `conv_ae:pumps@production`.

    `detector` is a name of the table or a class path `module:Class`. `model` is empty for a
    detector that needs no training; `version` is an alias or a number.
    """

    detector: str
    model: str
    version: str

    @property
    def label(self) -> str:
        """What scores and metrics call it: the detector's name, or the class without its module."""
        return self.detector.rpartition(":")[2]


def votes(value: Any) -> Votes:
    """Parse `3 of 5`; n is at most 64, the width of the history kept for a sensor."""
    if isinstance(value, Votes):
        return value
    found = re.fullmatch(r"(\d+)\s+of\s+(\d+)", str(value).strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]) <= 64:
        raise ValueError("not of the form 'k of n' with 1 <= k <= n <= 64, such as '3 of 5'")
    return Votes(int(found[1]), int(found[2]))


def below(value: Any) -> Below:
    """Parse `5 below 0.8`; a level over 1 would resolve alerts whose score still is anomalous."""
    if isinstance(value, Below):
        return value
    found = re.fullmatch(rf"(\d+)\s+below\s+{_NUMBER}", str(value).strip())
    if not found or not 1 <= int(found[1]) <= MOST_QUIET or not 0 < float(found[2]) <= 1:
        raise ValueError(
            f"not of the form 'n below level' with 1 <= n <= {MOST_QUIET} and 0 < level <= 1"
        )
    return Below(int(found[1]), float(found[2]))


def budget(value: Any) -> Budget:
    """Parse `2 per week`; a month has 30 days."""
    if isinstance(value, Budget):
        return value
    found = re.fullmatch(rf"{_NUMBER}\s+per\s+({'|'.join(PERIODS)})", str(value).strip())
    if not found or not 0 < float(found[1]) <= MOST_ALERTS:
        raise ValueError(
            f"not of the form 'n per period' with 0 < n <= {MOST_ALERTS} and a period of "
            f"{', '.join(PERIODS)}, such as '2 per week'"
        )
    return Budget(float(found[1]), found[2])


_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_MODEL = rf"({_NAME})(?:@({_NAME}))?"


def reference(value: Any) -> Reference:
    """Parse `detector`, `detector:model@version` or `module:Class[:model@version]`."""
    known = "|".join(DETECTORS)
    found = re.fullmatch(rf"({known}|[A-Za-z_][\w.]*:[A-Z]\w*)(?::{_MODEL})?", str(value))
    if not found:
        raise ValueError(
            f"no such detector; write one of {', '.join(sorted(DETECTORS))}, followed by "
            "':model@alias' for a trained one, or 'module:Class' for your own"
        )
    return Reference(found[1], found[2] or "", found[3] or "production" * bool(found[2]))


def spell(value: Votes | Below | Budget) -> str:
    """Back to the words of the configuration."""
    if isinstance(value, Budget):
        return f"{value.alerts:g} per {value.period}"
    if isinstance(value, Votes):
        return f"{value.k} of {value.n}"
    return f"{value.n} below {value.level:g}"


def channel_names(value: Any) -> Any:
    """Names as they are; a number N, as for mel bands, stands for the names 0 to N - 1."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MOST_CHANNELS:
            raise ValueError(f"a number of channels is 1 to {MOST_CHANNELS}")
        return [str(number) for number in range(value)]
    return value


Seconds = Annotated[float, BeforeValidator(seconds)]
VotesOf = Annotated[Votes, BeforeValidator(votes), PlainSerializer(spell)]
BudgetOf = Annotated[Budget, BeforeValidator(budget), PlainSerializer(spell)]
ChannelNames = Annotated[list[str], BeforeValidator(channel_names)]
BelowLevel = Annotated[Below, BeforeValidator(below), PlainSerializer(spell)]
