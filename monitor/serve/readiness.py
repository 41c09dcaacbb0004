"""When a process is ready: it has its partitions and models, its loop moves, its ends work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from monitor.serve.schema import Condition, Readiness
from monitor.view import View


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be there: `models` loaded ones, and a view not older than `max_age` seconds.

    `standby` tells that the process is a member of the group that was given no partition, because
    others have them all: it is ready to take over.
    """

    models: int = 0
    max_age: float = 10.0
    standby: Callable[[], bool] = _never


def readiness(view: View, expected: Expected, now: float) -> Readiness:
    """Each condition with a sentence about what was found."""
    conditions = [
        _partitions(view, expected),
        _models(view, expected),
        _moves(view, expected, now),
        _works(view, "source"),
        _works(view, "delivery"),
    ]
    return Readiness(ready=all(c.ok for c in conditions), conditions=conditions)


def _partitions(view: View, expected: Expected) -> Condition:
    held = len({*view.position, *view.lag})
    waits = not held and expected.standby()
    detail = f"{held} assigned" + (", others have them all" if waits else "")
    return Condition(name="partitions", ok=held > 0 or waits, detail=detail)


def _models(view: View, expected: Expected) -> Condition:
    loaded = len(view.models)
    detail = f"{loaded} of {expected.models} loaded"
    return Condition(name="models", ok=loaded >= expected.models, detail=detail)


def _moves(view: View, expected: Expected, now: float) -> Condition:
    age = max(0.0, now - view.published)
    detail = f"published {age:.1f} s ago, at most {expected.max_age:g} s is fresh"
    if view.published <= 0:
        detail = "nothing published yet"
    return Condition(name="progress", ok=age <= expected.max_age, detail=detail)


def _works(view: View, end: Literal["source", "delivery"]) -> Condition:
    reason = view.failing.get(end)
    return Condition(name=end, ok=reason is None, detail=reason or "works")
