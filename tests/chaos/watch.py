"""How long after a trouble everything is out that was in the log by then."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from monitor.types import Partition
from tests.chaos.logs import Log

Offsets = Mapping[Partition, int]
_EVERY = 0.2


@dataclass(frozen=True)
class _Mark:
    """A moment, and what the log had by then."""

    since: float
    ends: Offsets


class Watch:
    """Follows the group's committed offsets; `struck` begins a measurement of recovery."""

    def __init__(self, log: Log, group: str, ends: Callable[[], Offsets]) -> None:
        self._log, self._group, self._ends = log, group, ends
        self._marks: list[_Mark] = []
        self._took: list[float] = []
        self._committed: Offsets = {}
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self._thread.start()

    def struck(self) -> None:
        """Something was done to the group just now."""
        self._marks.append(_Mark(time.monotonic(), self._ends()))

    def reached(self, ends: Offsets) -> bool:
        """Whether the group has committed all of that."""
        return all(self._committed.get(p, 0) >= end for p, end in ends.items())

    def behind(self, ends: Offsets) -> int:
        """How many records are not committed yet."""
        return sum(max(0, end - self._committed.get(p, 0)) for p, end in ends.items())

    @property
    def progress(self) -> int:
        """How many records the group has committed."""
        return sum(self._committed.values())

    def stop(self) -> None:
        self._enough.set()
        self._thread.join()

    def recovery(self) -> dict[str, float]:
        """Seconds: the median and the longest."""
        if not self._took:
            return {}
        found = {"median": statistics.median(self._took), "longest": max(self._took)}
        return {name: round(seconds, 2) for name, seconds in found.items()}

    def _run(self) -> None:
        while not self._enough.wait(_EVERY):
            found = self._log.committed(self._group)
            if not found:
                continue
            self._committed = found
            now = time.monotonic()
            over = [mark for mark in self._marks if self.reached(mark.ends)]
            for mark in over:
                self._marks.remove(mark)
                self._took.append(now - mark.since)
