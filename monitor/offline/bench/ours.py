"""The product itself: its wiring, pipeline and loop, fed from memory instead of a socket."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from monitor.connect.sinks import AtLeastOnce
from monitor.features.statistics import statistics
from monitor.offline.bench.measure import Work
from monitor.offline.bench.naive import QUANTILE, REMEMBERED
from monitor.offline.bench.workload import LENGTH, PARTITION, RATE, STREAM, Workload
from monitor.protocols import Owner
from monitor.runner import Pace, Runner
from monitor.serve.metrics import Exposition
from monitor.settings import Config
from monitor.stream.lane import LaneState
from monitor.types import Partition, Record, Result
from monitor.wiring import ForgetfulSnapshots, build_middle

NAME = "bench"
NETS = ("conv_ae", "deep_svdd")
FOREST = "online_iforest"
FOREST_PARAMS = {"trees": 32, "window": 512}
KEPT = 64


def configuration(store: Path, chunk: int) -> Config:
    """The workload as a user would write it."""
    stream = {
        "topics": [STREAM],
        "format": "float32",
        "window": {
            "length": LENGTH / RATE,
            "rate": RATE,
            "channels": ["vibration"],
            "input": "windows",
        },
        "models": [
            {
                "use": [
                    *(f"{net}:{NAME}@1" for net in NETS),
                    {"detector": FOREST, "params": FOREST_PARAMS},
                ]
            }
        ],
        "threshold": {"quantile": QUANTILE, "window": REMEMBERED},
    }
    return Config.model_validate(
        {
            "source": {"kafka": {"bootstrap": ["127.0.0.1:9092"]}},
            "streams": {STREAM: stream},
            "models": store,
            "scoring": {"chunk": chunk},
        }
    )


class Feed:
    """A source that has its records already; a poll gives `most` of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting: deque[Record] = deque()

    def start(self, owner: Owner) -> None:
        """Give the one partition there is."""
        owner.assigned({PARTITION: 0})

    def poll(self, timeout: float, most: int | None = None) -> Sequence[Record]:
        """The next records, at once."""
        count = min(self.most, len(self.waiting), self.most if most is None else most)
        return [self.waiting.popleft() for _ in range(count)]

    def rewind(self, partitions: Sequence[Partition]) -> None:
        pass

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        pass

    def lag(self) -> Mapping[Partition, int]:
        return {PARTITION: len(self.waiting)}

    def close(self) -> None:
        pass


class Newest:
    """A sink that keeps the newest results."""

    def __init__(self, kept: int) -> None:
        self.results: deque[Result] = deque(maxlen=kept)

    def emit(self, result: Result) -> None:
        self.results.append(result)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class Ours:
    """The product with model calls of `chunk` windows; a side of a comparison.

    The work on a slice ends with a commit, a published view and a rendered `/metrics`.
    """

    def __init__(self, workload: Workload, store: Path, chunk: int) -> None:
        self.unit = chunk
        self.workload = workload
        self.config = configuration(store, chunk)
        middle = build_middle(self.config)
        self.pipeline = middle.pipeline
        self.feed, self.newest = Feed(chunk), Newest(KEPT)
        delivery = AtLeastOnce([self.newest], self.feed)
        pace = Pace(math.inf, math.inf, math.inf)
        self.runner = Runner(
            self.feed, self.pipeline, delivery, ForgetfulSnapshots(), time.time, pace
        )
        self.runner.timings, self.runner.models = middle.timings, middle.models
        self.runner.start()
        self._page = Exposition(lambda: self.runner.view, max(workload.sensors, 1000))
        self._next = 0

    @property
    def lane(self) -> LaneState:
        """All that is remembered of the sensors."""
        return self.pipeline.partitions[PARTITION].lanes[0]

    def settle(self, rounds: int) -> None:
        """Let every sensor have the memory that it has after so many windows, in a short way."""
        self.prepare(2 * self.workload.sensors)()
        lane, rng = self.lane, np.random.default_rng(0)
        slots, seen = np.arange(self.workload.sensors), statistics(self.workload.windows)
        learn = np.full(len(slots), np.inf, np.float32)
        for _ in range(rounds):
            raw = [rng.choice(scorer.calibration, len(slots)) for scorer in lane.spec.scorers]
            views = seen[rng.integers(len(seen), size=len(slots))]
            raw += [online.score_learn(slots, views, learn) for online in lane.online]
            for threshold, scores in zip(lane.thresholds, raw, strict=True):
                threshold.update(slots, scores[:, None])

    def prepare(self, windows: int) -> Work:
        """As `Side.prepare`."""
        self.feed.waiting.extend(self.records(windows))
        return self._work

    def prepare_loop(self, windows: int) -> Work:
        """The same without commit, view and page."""
        self.feed.waiting.extend(self.records(windows))
        return self._loop

    def records(self, windows: int) -> list[Record]:
        """The next messages of the workload."""
        items = self.workload.items(self._next, windows)
        self._next += windows
        return [self.workload.record(item) for item in items]

    def show(self) -> bytes:
        """Publish a view and render `/metrics`."""
        self.runner.publish()
        return self._page.render()

    def _loop(self) -> None:
        while self.feed.waiting:
            self.runner.step()

    def _work(self) -> None:
        self._loop()
        self.runner.deliver()
        self.show()
