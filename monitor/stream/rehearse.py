"""A rehearsal: every kernel compiled and every net called once, before the first real record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.stream.partition import Stream
from monitor.stream.pipeline import Pipeline
from monitor.types import Partition, Record, Samples


def rehearse(pipeline: Pipeline) -> None:
    """Send made-up samples through a second pipeline of the same streams; nothing is kept."""
    scratch = Pipeline(pipeline.streams, {s.name: _Prompter(s) for s in pipeline.streams})
    for topic in {topic for s in pipeline.streams for topic in s.settings.topics}:
        partition = Partition(topic, 0)
        scratch.open(partition, None)
        scratch.process([Record(partition, i, None, 0.0, b"") for i in range(3)])


class _Prompter:
    """Stands in for a codec: each record is two windows of noise, or a whole one, for a sensor of
    each rule.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def decode(self, record: Record) -> Sequence[Samples]:
        window = self._stream.settings.window
        windows = 1 if window.whole else 2
        shape = window.shape[0], windows * window.shape[1]
        noise = np.random.default_rng(record.offset).standard_normal(shape)
        start = record.offset * windows * window.samples / window.rate
        names = [lane.match.replace("*", "rehearsal") for lane in self._stream.lanes]
        data = noise.astype(np.float32)
        return [Samples(name, start, data, whole=window.whole) for name in names]
