"""How long a window waits for its score when the machine is half busy.

Windows arrive evenly on a clock of their own, at half the rate that the path can bear. That clock
moves by the CPU time that each turn of the loop takes, and jumps over idle time: so the queue
behaves as it would live, and other processes on this machine do not show.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from monitor.offline.bench.measure import Simple, measure
from monitor.offline.bench.ours import Ours

LOAD = 0.5


class Latency(NamedTuple):
    """Milliseconds from the arrival of a window to its score, the page rendered each second."""

    chunk: int
    load: float
    arrivals_per_second: float
    windows: int
    p50_ms: float
    p99_ms: float
    longest_ms: float


class VirtualClock:
    """Seconds that pass only when they are worked or waited for."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def time_latency(ours: Ours, windows: int) -> Latency:
    """Play `windows` arrivals, at half the rate that the loop is measured to bear just before."""
    clock = VirtualClock()
    ours.runner.clock = clock
    loop, some = Simple(ours.unit, ours.prepare_loop), -(-windows // (8 * ours.unit)) * ours.unit
    pace = float(np.median([measure(loop, some).us for _ in range(3)]))
    rate = LOAD * 1e6 / pace
    waits = 1e3 * _play(ours, clock, windows, rate)
    p50, p99, longest = np.quantile(waits, (0.5, 0.99, 1.0)).tolist()
    return Latency(ours.unit, LOAD, rate, windows, p50, p99, longest)


def _play(
    ours: Ours, clock: VirtualClock, windows: int, rate: float
) -> np.typing.NDArray[np.float64]:
    """Seconds from arrival to score of each window."""
    records = ours.records(windows)
    due = clock.now + np.arange(windows) / rate
    waits, at, page = np.empty(windows), 0, clock.now + 1
    while at < windows:
        clock.now = max(clock.now, due[at])
        end = int(np.searchsorted(due, clock.now, side="right"))
        end = min(end, at + ours.feed.most)
        ours.feed.waiting.extend(records[at:end])
        began = time.process_time()
        ours.runner.step()
        clock.now += time.process_time() - began
        waits[at:end] = clock.now - due[at:end]
        at = end
        if clock.now >= page:
            began = time.process_time()
            ours.show()
            clock.now += time.process_time() - began
            page = clock.now + 1
    return waits
