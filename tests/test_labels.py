"""What is labelled: windows against events, and files of events."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import ConfigError
from monitor.offline.labels import (
    Event,
    Truth,
    check_sensors,
    read_labels,
    truth_from,
    truth_in,
)
from monitor.windowing import WindowConfig
from tests.recorded import RATE, START, recording

WINDOW = WindowConfig(length=1.0, hop=0.5, rate=RATE, channels=["x", "y"])


def test_a_window_is_anomalous_if_any_of_its_samples_is() -> None:
    truth = Truth((Event("m", 10.0, 10.25),))
    starts = np.array([8.5, 9.0, 9.0 + 1 / RATE, 10.0, 10.25 - 1 / RATE, 10.25])
    assert truth.of_windows(starts, WINDOW).tolist() == [0, 0, 1, 1, 1, 0]


def test_an_anomaly_outranks_an_unknown_stretch() -> None:
    truth = Truth((Event("m", 2.0, 3.0),), ((0.0, 4.0),))
    assert truth.of_windows(np.array([0.0, 2.0, 4.0]), WINDOW).tolist() == [-1, 1, 0]


def test_an_event_without_duration_has_one_sample() -> None:
    truth = Truth((Event("m", 5.0, 5.0),))
    starts = np.array([4.0, 4.0 + 1 / RATE, 5.0, 5.0 + 1 / RATE])
    assert truth.of_windows(starts, WINDOW).tolist() == [0, 1, 1, 0]


@settings(deadline=None)
@given(
    marks=st.lists(st.sampled_from([-1, 0, 1]), min_size=64, max_size=64),
    jitter=st.floats(-0.4, 0.4),
)
def test_windows_agree_with_their_samples_one_by_one(marks: list[int], jitter: float) -> None:
    recorded = recording(seconds=4.0)
    time = START + (np.arange(64) + jitter * (-1.0) ** np.arange(64)) / RATE
    object.__setattr__(recorded, "time", time)
    object.__setattr__(recorded, "labels", np.array(marks, np.int8))
    starts = np.array([START + i * 0.5 for i in range(7)])
    found = truth_in(recorded, RATE).of_windows(starts, WINDOW).tolist()
    for label, first in zip(found, range(0, 56, 8), strict=True):
        inside = marks[first : first + 16]
        assert label == (1 if 1 in inside else -1 if -1 in inside else 0)


def test_a_recording_without_labels_is_unknown_throughout() -> None:
    truth = truth_in(recording(seconds=10.0, labelled=False), RATE)
    assert truth == Truth((), ((START, START + 10.0),))


def test_events_are_those_of_the_sensor_cut_to_the_recording() -> None:
    events = [
        Event("pump-1", START + 8, START + 12, "drift"),
        Event("pump-1", START - 5, START + 1),
        Event("pump-2", START + 2, START + 3),
        Event("pump-1", START - 9, START - 1),
        Event("pump-1", START - 9, START),
        Event("pump-1", START + 10, START + 11),
    ]
    truth = truth_from(events, recording(seconds=10.0), RATE)
    assert truth.events == (
        Event("pump-1", START, START + 1),
        Event("pump-1", START + 8, START + 10, "drift"),
    )
    assert truth.unknown == ()


@pytest.mark.parametrize(
    "text",
    [
        "sensor,start,end,kind\n7,1767225600,1767225601.5,spike\n",
        "kind,end,start,sensor\nspike,2026-01-01T00:00:01.5Z,2026-01-01T00:00:00Z,7\n",
        "sensor,start,end,kind,severity\n7,2026-01-01 00:00:00,2026-01-01 00:00:01.5,spike,3\n",
    ],
)
def test_a_file_of_events_has_epoch_or_iso_times(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    assert read_labels(path) == [Event("7", START, START + 1.5, "spike")]


@pytest.mark.parametrize("time", ["1767225600.0", '"2026-01-01T00:00:00Z"'])
def test_json_lines_of_events_are_read_too(tmp_path: Path, time: str) -> None:
    path = tmp_path / "labels.jsonl"
    line = f'{{"kind": "spike", "sensor": "7", "start": {time}, "end": {time}, "channels": ["x"]}}'
    path.write_text(f"{line}\n{line}\n")
    assert read_labels(path) == [Event("7", START, START, "spike")] * 2


@pytest.mark.parametrize(("name", "text"), [("a.csv", "sensor,start,end\n"), ("a.jsonl", "")])
def test_a_file_without_events_says_that_all_is_normal(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    assert read_labels(tmp_path / name) == []


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_broken_json_lines_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.jsonl: cannot be read"):
        read_labels(tmp_path / "a.jsonl")


def test_an_event_needs_no_kind(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("sensor,start,end,kind\nm,1767225600,1767225601,\n")
    assert read_labels(path) == [Event("m", START, START + 1)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sensor,begin,end\nm,1,2\n", "has no column 'start'; labels need sensor, start, end"),
        ("sensor,start,end\nm,2026-01-02,2026-01-01\n", "data row 1: ends before it starts"),
        ("sensor,start,end\nm,1,2\n,1,2\n", "data row 2: names no sensor"),
        ("sensor,start,end\nm,1,2\nm,,2\n", "column 'start', data row 2: is not a time"),
        ("", "cannot be read"),
    ],
)
def test_bad_files_of_events_are_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_events_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.csv: cannot be read: .*No such file"):
        read_labels(tmp_path / "no.csv")


def test_labels_of_none_of_the_recorded_sensors_are_a_mistake() -> None:
    events = [Event(f"m{i}", 0, 1) for i in range(7)]
    told = "x.csv: labels only 'm0', 'm1', 'm2', 'm3', 'm4' and 2 more, and recorded are 'a'"
    with pytest.raises(ConfigError, match=re.escape(told)):
        check_sensors(Path("x.csv"), events, ["a"])
    check_sensors(Path("x.csv"), events, ["a", "m3"])
    check_sensors(Path("x.csv"), [], ["a"])
