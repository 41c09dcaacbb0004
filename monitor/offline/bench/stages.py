"""Where the time goes: each stage of our path on its own, over fresh polls of the same stream.

Taking the stages apart costs nothing in the pipeline itself. What their sum does not explain is
`between`: the loop, routing, and the passing of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.features.statistics import statistics
from monitor.offline.bench.measure import Advance, Simple, Work, interleave, over, typical
from monitor.offline.bench.ours import Ours
from monitor.offline.bench.workload import PARTITION, STREAM
from monitor.stream.fusion import fuse
from monitor.stream.judge import Judged, judge
from monitor.stream.lane import LaneState
from monitor.stream.tell import Found, Told, tell_windows
from monitor.types import Array, Record, Samples, Slots

PART = 0.01
VOTES = 1


class Poll(NamedTuple):
    """One poll at every point of its way."""

    records: list[Record]
    samples: list[Samples]
    slots: Slots
    data: Array
    views: Array
    ends: NDArray[np.float64]
    judged: Judged


Step = Callable[[Poll], object]


def time_stages(ours: Ours, seconds: float, advance: Advance | None = None) -> dict[str, float]:
    """Microseconds per window by stage, and `total` for the whole path; each gets about `seconds`.

    The page is taken to be rendered once a second of CPU time. `ours` is used up: the stages
    change its state out of order.
    """
    pages = Simple(1, lambda n: over(lambda _: ours.show(), range(n)))
    whole = [Simple(ours.unit, ours.prepare_loop), pages]
    loop, page = map(typical, interleave(whole, seconds, seconds / 5, advance))
    steps = _steps(ours, ours.lane)
    sides = [_side(ours, step) for step in steps.values()]
    parts = list(map(typical, interleave(sides, seconds / 10, min(seconds / 30, PART), advance)))
    metrics = loop * page / 1e6
    found = {**dict(zip(steps, parts, strict=True)), "metrics": metrics}
    return {**found, "between": loop - sum(parts), "total": loop + metrics}


def _twin(lane: LaneState) -> LaneState:
    """Another lane with the same sensors in the same slots, to judge what is timed later."""
    twin = LaneState(lane.spec)
    for sensor in lane.sensors:
        twin.admit(sensor)
    return twin


def _side(ours: Ours, step: Step) -> Simple:
    """A step over as many polls as it takes."""
    twin = _twin(ours.lane)

    def make(windows: int) -> Work:
        return over(step, [_poll(ours, twin) for _ in range(windows // ours.unit)])

    return Simple(ours.unit, make)


def _poll(ours: Ours, lane: LaneState) -> Poll:
    """A poll judged by scores like those of calibration."""
    codec = ours.pipeline.codecs[STREAM]
    records = ours.records(ours.unit)
    samples = [s for record in records for s in codec.decode(record)]
    slots = np.array([lane.sensors.slots[s.sensor] for s in samples], np.int64)
    data = np.stack([s.data for s in samples])
    ends = np.array([s.start for s in samples]) + 1.0
    rng = np.random.default_rng(records[0].offset)
    trained = [rng.choice(scorer.calibration, len(records)) for scorer in lane.spec.scorers]
    judged = judge(lane, slots, data, np.stack(trained, axis=1), ends)
    return Poll(records, samples, slots, data, statistics(data), ends, judged)


def _steps(ours: Ours, lane: LaneState) -> Mapping[str, Step]:
    """Each stage as a function of a poll, in the order of the path."""
    codec, online = ours.pipeline.codecs[STREAM], lane.online[0]
    learn = np.full(ours.unit, np.inf, np.float32)

    def net(place: int) -> Step:
        scorer, constants = lane.spec.scorers[place], lane.constants
        return lambda poll: scorer.score(poll.data, constants.of(poll.slots, place))

    def thresholds(poll: Poll) -> None:
        for d, threshold in enumerate(lane.thresholds):
            threshold.cuts(poll.slots)
            threshold.update(poll.slots, poll.judged.raw[:, d : d + 1])

    def alarm(poll: Poll) -> None:
        judged = poll.judged
        lane.alarm.firing(poll.slots)
        lane.alarm.step(poll.slots, fuse(judged.raw / judged.cuts, VOTES), poll.ends)
        lane.recent.put(poll.slots, poll.ends, judged.raw, judged.cuts)

    def tell(poll: Poll) -> None:
        told, offsets = Told(PARTITION), [record.offset for record in poll.records]
        tell_windows(lane, Found(offsets, poll.slots, poll.ends.tolist(), poll.judged, {}), told)
        told.in_order()

    return {
        "decode": lambda poll: [codec.decode(record) for record in poll.records],
        "window": lambda poll: lane.windower.push(poll.slots.tolist(), poll.samples),
        "statistics": lambda poll: statistics(poll.data),
        **{scorer.label: net(m) for m, scorer in enumerate(lane.spec.scorers)},
        lane.spec.online[0].label: lambda poll: online.score_learn(poll.slots, poll.views, learn),
        "thresholds": thresholds,
        "alarm": alarm,
        "tell": tell,
    }
