"""Recordings as messages: nothing lost, nothing across a gap, everything in time order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.connect.recording.player import as_recorded, chunks, end_of, records
from monitor.connect.recording.reading import Recording
from monitor.settings import StreamConfig
from monitor.stream.codec import make_codec
from monitor.types import Samples


def stream_of(whole: bool = False, rate: float = 4.0) -> StreamConfig:
    return StreamConfig.model_validate(
        {
            "topics": ["plant"],
            "format": "json",
            "sensor": "payload:id",
            "window": {
                "length": "1s",
                "hop": "500ms",
                "rate": rate,
                "channels": ["a", "b"],
                "input": "windows" if whole else "samples",
            },
            "models": [{"use": ["online_iforest"]}],
        }
    )


def recording_of(
    sensor: str = "m", start: float = 0.0, count: int = 12, gaps: tuple[int, ...] = ()
) -> Recording:
    """4 Hz; after each sample named in `gaps`, ten are missing."""
    ticks = np.arange(count) + sum((np.arange(count) > g) * 10 for g in gaps)
    data = np.stack([ticks, -ticks]).astype(np.float32)
    return Recording(sensor, start + ticks / 4.0, data, ("a", "b"), None, Path("x"))


def test_chunks_are_cut_at_the_chosen_length() -> None:
    found = list(chunks([recording_of(count=10)], stream_of().window, 1.0))
    assert [(s.start, s.data.shape[1]) for s in found] == [(0, 4), (1, 4), (2, 2)]


def test_a_chunk_ends_where_samples_are_missing() -> None:
    found = list(chunks([recording_of(count=8, gaps=(4,))], stream_of().window, 1.0))
    assert [(s.start, s.data.shape[1]) for s in found] == [(0, 4), (1, 1), (3.75, 3)]


def test_a_stream_of_whole_windows_gets_whole_windows() -> None:
    found = list(chunks([recording_of(count=12, gaps=(7,))], stream_of(whole=True).window))
    assert [(s.start, s.whole, s.data.shape) for s in found] == [
        (0, True, (2, 4)),
        (0.5, True, (2, 4)),
        (1.0, True, (2, 4)),
        (4.5, True, (2, 4)),
    ]


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    gaps=st.lists(st.integers(0, 30), max_size=3, unique=True),
    seconds=st.floats(0.1, 5),
)
def test_every_sample_comes_once_at_its_time_and_in_order(
    counts: list[int], gaps: list[int], seconds: float
) -> None:
    every = [recording_of(f"m{i}", float(i), count, tuple(gaps)) for i, count in enumerate(counts)]
    found = list(chunks(every, stream_of().window, seconds))
    ends = [end_of(samples, stream_of().window) for samples in found]
    assert all(a <= b for a, b in pairwise(ends))
    for recording in every:
        parts = [samples for samples in found if samples.sensor == recording.sensor]
        np.testing.assert_array_equal(np.hstack([p.data for p in parts]), recording.data)
        np.testing.assert_allclose(np.hstack([_times(p) for p in parts]), recording.time)


def _times(samples: Samples) -> NDArray[np.float64]:
    return np.arange(samples.data.shape[1]) / 4.0 + samples.start


def test_records_are_those_of_a_log_and_decode_to_the_same() -> None:
    every = [recording_of(f"m{i}", count=9) for i in range(5)]
    found = list(records(every, stream_of(), partitions=2, seconds=1.0))
    codec = make_codec(as_recorded(stream_of()))
    decoded = [samples for record in found for samples in codec.decode(record)]
    for number in (0, 1):
        mine = [record for record in found if record.partition.number == number]
        assert [record.offset for record in mine] == list(range(len(mine)))
    assert {record.key: record.partition for record in found} == {
        record.key: record.partition for record in reversed(found)
    }
    np.testing.assert_array_equal(
        np.hstack([s.data for s in decoded if s.sensor == "m3"]), every[3].data
    )
    assert found[0].time == 1.0
