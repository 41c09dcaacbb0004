"""Which sensors have to go, so that what a partition remembers stays bounded.

It depends on the partition's log alone, so a replay lets the same sensors go at the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.settings import Limits
from monitor.stream.lane import LaneState

Why = Literal["ttl", "limit"]
Place = tuple[int, int]  # of a lane, and the slot in it

CHECKS = 8  # of each time to live
PART = 16  # of a full table goes at once, so that not every new sensor costs a split of the batch


class Leaving(NamedTuple):
    """Sensors of one stream that are forgotten together, the one heard longest ago first."""

    stream: str
    why: Why
    places: list[Place]


def next_check(clock: float, ttls: Sequence[float]) -> float:
    """The first time after `clock` that is a multiple of a part of one of these times to live; at
    once where no sample has set the clock yet.
    """
    if clock == -np.inf:
        return clock
    steps = np.array(ttls)[:, None] / CHECKS
    times = (np.floor(clock / steps) + np.arange(3)) * steps  # one to spare for rounding
    return float(times[times > clock].min(initial=np.inf))


def leaving(
    stream: str, lanes: Mapping[int, LaneState], limits: Limits, clock: float, newcomers: int
) -> list[Leaving]:
    """Of a stream's lanes by place: sensors that were last heard `sensor_ttl` ago or longer; and,
    where no room is left for so many new ones, a part of the least recently heard.
    """
    order, clocks = _by_last_message(lanes)
    expired = 0
    if limits.sensor_ttl is not None:
        expired = int(np.searchsorted(clocks, clock - limits.sensor_ttl, "right"))
    stay = len(order) - expired
    excess = stay + newcomers - limits.sensors
    displaced = max(excess, min(stay, limits.sensors // PART)) if newcomers and excess > 0 else 0
    found = [
        Leaving(stream, "ttl", order[:expired]),
        Leaving(stream, "limit", order[expired : expired + displaced]),
    ]
    return [each for each in found if each.places]


def _by_last_message(
    lanes: Mapping[int, LaneState],
) -> tuple[list[Place], NDArray[np.float64]]:
    """All sensors in the order of their last messages, and the partition's clock with each; the
    clock never goes back, so these ascend too.
    """
    places = [(place, s) for place, lane in lanes.items() for s in lane.sensors.live[0].tolist()]
    heard = [lane.sensors.heard for lane in lanes.values()]
    offsets = np.concatenate([offset for offset, _ in heard])
    clocks = np.concatenate([clock for _, clock in heard])
    order = np.argsort(offsets, kind="stable")
    return [places[i] for i in order.tolist()], clocks[order]
