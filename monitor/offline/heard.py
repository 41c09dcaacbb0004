"""A sink that keeps scores and alerts by sensor, to be compared with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.offline.measures import Raised
from monitor.types import Alert, Array, Result


class Track(NamedTuple):
    """What was said of one sensor, in the order of time: window ends `(N,)`, raw scores and
    thresholds `(N, D)`, and the first step of each alert with when it was resolved.
    """

    detectors: tuple[str, ...]
    ends: NDArray[np.float64]
    raw: Array
    cuts: Array
    alerts: tuple[Alert, ...]
    resolved: dict[str, float]

    @classmethod
    def empty(cls) -> Track:
        """Of a sensor that nothing was said of."""
        none = np.empty((0, 0), np.float32)
        return cls((), np.empty(0), none, none, (), {})

    def part(self, rows: NDArray[np.int64], alerts: Sequence[int], end: float) -> Track:
        """Some windows and alerts, without the silence that begins where the recording ends."""
        chosen = (self.alerts[place] for place in alerts)
        kept = tuple(a for a in chosen if a.rule != "silence" or a.opened < end)
        found = self.ends[rows], self.raw[rows], self.cuts[rows]
        return Track(self.detectors, *found, kept, self.resolved)

    def value(self) -> Array:
        """Scores in units of their thresholds, `(N, D)`."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.raw / self.cuts, np.float32)

    def raised(self) -> list[Raised]:
        """When each alert opened and closed."""
        return [Raised(a.opened, self.resolved.get(a.id, np.inf)) for a in self.alerts]


@dataclass
class _Said:
    """Of one sensor, as it comes: time, score and threshold of each detector, and alerts."""

    scores: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    resolved: dict[str, float] = field(default_factory=dict)


class Heard:
    """Keeps what the pipeline says; in the order in which it comes."""

    def __init__(self) -> None:
        self._sensors: dict[tuple[str, str], _Said] = {}

    def emit(self, result: Result) -> None:
        for score in result.scores:
            own = self._of(score.stream, score.sensor)
            row = score.time, score.raw, score.threshold
            own.scores.setdefault(score.detector, []).append(row)
        for alert in result.alerts:
            own = self._of(alert.stream, alert.sensor)
            if alert.phase == "firing":
                own.alerts.setdefault(alert.id, alert)
            else:
                own.resolved[alert.id] = alert.time

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def tracks(self, stream: str) -> dict[str, Track]:
        """What was said of each sensor of a stream."""
        return {sensor: _track(own) for (of, sensor), own in self._sensors.items() if of == stream}

    def _of(self, stream: str, sensor: str) -> _Said:
        return self._sensors.setdefault((stream, sensor), _Said())


def _track(own: _Said) -> Track:
    """Every detector scores every window of its sensor, so the columns are equally long."""
    if not own.scores:
        return Track.empty()._replace(alerts=tuple(own.alerts.values()), resolved=own.resolved)
    rows = np.array(list(own.scores.values()))
    raw, cuts = (np.ascontiguousarray(rows[:, :, i].T, np.float32) for i in (1, 2))
    alerts = tuple(own.alerts.values())
    return Track(tuple(own.scores), rows[0, :, 0], raw, cuts, alerts, own.resolved)
