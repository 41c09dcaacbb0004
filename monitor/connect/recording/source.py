"""Recordings as a source: fed into the embedded log as they fall due, then read from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from monitor.connect.memory import MemoryLog, MemorySource
from monitor.types import Clock, Record

BATCH = 1000


class RecordedSource(MemorySource):
    """Plays records in the order of their times; `speed` 1 is real time, 0 as fast as they go.
    The first `head_start` seconds of them are there from the beginning.

    Calls `on_end` once, when all of them have been polled.
    """

    def __init__(
        self,
        log: MemoryLog,
        records: Iterator[Record],
        clock: Clock,
        speed: float,
        head_start: float = 0.0,
    ) -> None:
        super().__init__(log, max_records=BATCH)
        self.on_end: Callable[[], None] = lambda: None
        self.finished = False
        self._records, self._clock, self._speed = records, clock, speed
        self._next = next(records, None)
        self._head_start = head_start
        self._began: tuple[float, float] | None = None

    def poll(self, timeout: float, most: int | None = None) -> Sequence[Record]:
        """What is due by now; waits up to `timeout` seconds where nothing is."""
        for record in islice(self._due(), BATCH if most is None else most):
            self.log.append(record.key, record.time, record.value, topic=record.partition.topic)
        found = super().poll(0 if self._next is None else timeout, most)
        if not found and most != 0 and self._next is None and not self.finished:
            self.finished = True
            self.on_end()
        return found

    def _due(self) -> Iterator[Record]:
        while self._next is not None and self._next.time <= self._now(self._next.time):
            record, self._next = self._next, next(self._records, None)
            yield record

    def _now(self, time: float) -> float:
        """How far the recordings are to be played."""
        if self._speed == 0:
            return time
        if self._began is None:
            self._began = (self._clock(), time + self._head_start)
        return self._began[1] + (self._clock() - self._began[0]) * self._speed
