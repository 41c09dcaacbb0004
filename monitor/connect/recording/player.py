"""Recordings as messages: cut into chunks, merged over sensors in time order, encoded.

A chunk never spans a gap: its samples lie where the stream's rate puts them, within half a period.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from monitor.connect.recording.reading import Recording
from monitor.settings import Format, StreamConfig
from monitor.stream.codec import encode_float32
from monitor.types import Partition, Record, Samples
from monitor.windowing import CameraConfig, Window


def as_recorded(stream: StreamConfig) -> StreamConfig:
    """The same stream as `records` encodes it: binary messages, keyed by sensor, and a topic that
    has a name where the configuration has only patterns.
    """
    topics = [topic for topic in stream.topics if not topic.startswith("^")] or ["recorded"]
    return stream.model_copy(update={"format": Format(), "sensor": "key", "topics": topics})


def records(
    recordings: Sequence[Recording],
    stream: StreamConfig,
    partitions: int = 4,
    seconds: float = 1.0,
) -> Iterator[Record]:
    """Recordings as the records of a log, each sensor in one partition of the first topic.

    A record's time is the end of its samples, as if it had been sent at once. Decode with
    `make_codec(as_recorded(stream))`.
    """
    offsets = [0] * partitions
    for samples in chunks(recordings, stream.window, seconds):
        key = samples.sensor.encode()
        number = zlib.crc32(key) % partitions
        end = end_of(samples, stream.window)
        value = encode_float32(samples)
        yield Record(Partition(stream.topics[0], number), offsets[number], key, end, value)
        offsets[number] += 1


def chunks(
    recordings: Sequence[Recording], window: Window, seconds: float = 1.0
) -> Iterator[Samples]:
    """Runs of at most `seconds` of each sensor, or whole windows where the stream wants these.

    In the order of their ends, so that nothing comes before it was measured.
    """
    each = [_cut(recording, window, seconds) for recording in recordings]
    return heapq.merge(*each, key=lambda samples: end_of(samples, window))


def end_of(samples: Samples, window: Window) -> float:
    """When the last sample, or the frame, is over."""
    count = window.samples if samples.whole else samples.data.shape[1]
    return samples.start + float(count) / window.rate


def _cut(recording: Recording, window: Window, seconds: float) -> Iterator[Samples]:
    if isinstance(window, CameraConfig):
        yield from _frames(recording)
        return
    whole = window.input == "windows"
    size = window.samples if whole else max(1, round(seconds * window.rate))
    step = window.hop_samples if whole else size
    at, total = 0, len(recording.time)
    while at < total:
        steady = _steady(recording, at, min(at + size, total), window.rate)
        if steady == size or not whole:
            start, stop = float(recording.time[at]), at + steady
            yield Samples(recording.sensor, start, recording.data[:, at:stop], whole=whole)
        at += step if steady == size else steady


def _frames(recording: Recording) -> Iterator[Samples]:
    pixels = recording.data.shape[1] // len(recording.time)
    for number, time in enumerate(recording.time.tolist()):
        data = recording.data[:, number * pixels : (number + 1) * pixels]
        yield Samples(recording.sensor, time, data, whole=True)


def _steady(recording: Recording, first: int, last: int, rate: float) -> int:
    """How many samples from `first` on lie where the rate puts them."""
    time = recording.time[first:last]
    off = np.abs(time - time[0] - np.arange(len(time)) / rate) > 0.5 / rate
    return int(np.argmax(off)) if off.any() else len(time)
