"""The player: every message once, when it is due, with its label beside it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.connect.memory import MemoryLog
from monitor.connect.recording.reading import read_recordings
from monitor.errors import ConfigError
from monitor.settings import StreamConfig
from monitor.stream.codec import make_codec
from monitor.types import Partition, Record, Samples
from simulators import files
from simulators.faults import Fault
from simulators.fleet import Fleet
from simulators.play import (
    Disturbance,
    MemoryTarget,
    Message,
    Pace,
    encoder,
    label,
    messages,
    play,
    with_labels,
)
from simulators.record import record

FAULT = Fault("drift", "rotor-1", 1.25, 2.0, ("current",))


def numbered(count: int, step: float = 1.0) -> list[Message]:
    return [Message(i * step, "t", b"k", str(i).encode()) for i in range(count)]


class Kept:
    """A target that keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.closed = 0

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def close(self) -> None:
        self.closed += 1


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_a_fleet_arrives_in_the_embedded_log_as_it_was_measured() -> None:
    fleet = Fleet(0, 3, faults=(FAULT,))
    log = MemoryLog("plant", 4)
    sent = messages(fleet.samples(0.0, 3.0), "plant", fleet.rate, encoder("float32"))
    summary = play(with_labels(sent, fleet.faults, "labels"), MemoryTarget(log), Pace(0))
    assert (summary.messages, summary.first, summary.last) == (19, 0.5, 3.0)
    codec = make_codec(_stream(fleet))
    every = [r for p in log.partitions for r in log.read(p, 0, 1000)]
    found = [samples for record in every for samples in codec.decode(record)]
    for sensor in fleet.sensors:
        mine = np.hstack([s.data for s in found if s.sensor == sensor])
        np.testing.assert_array_equal(mine, fleet.chunk(sensor, 0.0, 3.0).data)


def _stream(fleet: Fleet, kind: str = "float32") -> StreamConfig:
    return StreamConfig.model_validate(
        {
            "topics": ["plant"],
            "format": kind,
            "window": {"length": "1s", "rate": fleet.rate, "channels": list(fleet.channels)},
            "models": [{"use": ["online_iforest"]}],
        }
    )


@pytest.mark.parametrize("kind", ["float32", "msgpack", "json"])
def test_every_format_is_one_that_the_monitor_reads(kind: str) -> None:
    fleet = Fleet(0, 1)
    samples = fleet.chunk("rotor-1", 5.0, 6.0)
    samples.data[0, 0] = np.nan
    record = Record(Partition("plant", 0), 0, b"rotor-1", 0.0, encoder(kind)(samples))
    (found,) = make_codec(_stream(fleet, kind)).decode(record)
    assert found[:2] == samples[:2]
    np.testing.assert_array_equal(found.data, samples.data)


def test_labels_come_when_the_fault_begins() -> None:
    sent = list(with_labels(numbered(4), [FAULT], "labels"))
    assert [message.topic for message in sent] == ["t", "t", "labels", "t", "t"]
    assert json.loads(sent[2].value) == {
        "kind": "drift",
        "sensor": "rotor-1",
        "start": 1.25,
        "end": 2.0,
        "channels": ["current"],
        "severity": 1.0,
    }


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 3.0), (4.0, 0.75), (0.0, 0.0)])
def test_messages_are_sent_when_they_are_due(speed: float, seconds: float) -> None:
    time, target = Time(), Kept()
    summary = play(numbered(4), target, Pace(speed, time.clock, time.sleep))
    assert time.now - 100.0 == pytest.approx(seconds)
    assert target.sent == numbered(4)
    assert summary == (4, 4, 0.0, 3.0)
    assert target.closed == 1


def test_a_slow_receiver_is_caught_up_with() -> None:
    time = Time()
    pace = Pace(1.0, time.clock, time.sleep)
    pace.wait(0.0)
    time.now += 5.0
    pace.wait(3.0)
    pace.wait(6.0)
    assert time.slept == [1.0]


def test_a_hole_between_recordings_is_not_waited_for() -> None:
    time = Time()
    pace = Pace(1.0, time.clock, time.sleep)
    for due in (0.0, 10.0, 1e6, 1e6 + 1):
        pace.wait(due)
    assert time.slept == [10.0, 1.0]


def test_the_target_is_closed_when_the_player_is_stopped() -> None:
    target = Kept()

    def stop(reached: float) -> None:
        if reached == 1.0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(numbered(4), target, Pace(0), stop)
    assert (len(target.sent), target.closed) == (2, 1)


@given(
    seed=st.integers(0, 999),
    count=st.integers(0, 60),
    jitter=st.floats(0, 3),
    late=st.floats(0, 1),
    burst=st.sampled_from([0.0, 0.5, 4.0]),
)
def test_a_disturbance_only_reorders(
    seed: int, count: int, jitter: float, late: float, burst: float
) -> None:
    disturbance = Disturbance(seed, jitter, late, 5.0, burst)
    found = list(disturbance.apply(numbered(count, 0.3)))
    assert Counter(m.value for m in found) == Counter(m.value for m in numbered(count))
    assert all(a.time <= b.time for a, b in pairwise(found))
    for message in found:
        delay = message.time - int(message.value) * 0.3
        assert -1e-9 <= delay <= jitter + 5.0 * (late > 0) + burst + 1e-9
    assert found == list(disturbance.apply(numbered(count, 0.3)))


def test_no_disturbance_changes_nothing() -> None:
    assert list(Disturbance().apply(numbered(9))) == numbered(9)


def test_bursts_come_together_and_late_ones_late() -> None:
    found = list(Disturbance(burst=3.0).apply(numbered(7)))
    assert [m.time for m in found] == [0, 3, 3, 3, 6, 6, 6]
    late = list(Disturbance(seed=1, late=0.2, late_by=5.0).apply(numbered(500)))
    delayed = [m for m in late if m.time - int(m.value) == 5.0]
    assert 70 < len(delayed) < 130


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="format 'xml': valid are float32, msgpack, json"):
        encoder("xml")
    with pytest.raises(ConfigError, match="speed -1"):
        Pace(-1.0)
    with pytest.raises(ConfigError, match="late 2, "):
        Disturbance(late=2.0)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_recorded_machines_are_read_back(tmp_path: Path, suffix: str) -> None:
    stop = Fault("dropout", "rotor-2", 1001.0, 1002.0, Fleet(0, 1).channels)
    drift = replace(FAULT, start=1000.5, end=1001.5)
    fleet = Fleet(0, 2, start=1000.0, faults=(drift, stop))
    record(fleet, 1000.0, 1003.0, tmp_path, suffix)
    one, two = read_recordings([tmp_path], _stream(fleet))
    np.testing.assert_array_equal(one.data, fleet.chunk("rotor-1", 1000.0, 1003.0).data)
    assert one.anomalies(1 / 128) == [(1000.5, 1001.5)]
    assert len(two.time) == 256
    assert (tmp_path / "labels.jsonl").read_bytes() == b"".join(
        label(fault) + b"\n" for fault in fleet.faults
    )


def test_the_player_finds_channels_rate_and_labels_in_a_file(tmp_path: Path) -> None:
    rows = "".join(f"2026-01-01 00:00:{i:02};{i};{-i};{int(i > 5)};0;x\n" for i in range(9))
    path = tmp_path / "a.csv"
    path.write_text(f"datetime;p;q;anomaly;changepoint;note\n{rows}", encoding="utf-8")
    stream = files.stream_of(path, "t")
    assert (stream.window.channels, stream.window.rate) == (["p", "q"], 1.0)
    recordings, faults = files.read([path], stream)
    assert recordings[0].data.shape == (2, 9)
    start = recordings[0].time[6]
    assert faults == [Fault("anomaly", "a", float(start), float(start) + 3, ("p", "q"))]
    assert files.stream_of(path, "t", ["q"], 2.0).window.channels == ["q"]


def test_samples_are_due_when_the_last_one_is_measured() -> None:
    samples = Samples("m", 10.0, np.zeros((1, 50), np.float32))
    (message,) = messages([samples], "t", 100.0, encoder("float32"))
    assert message[:3] == (10.5, "t", b"m")
