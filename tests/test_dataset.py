"""Windows for training are those of the live pipeline, with the right labels and sensors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import ConfigError
from monitor.offline.dataset import by_sensor, of_rule, read_recorded, windows_of
from monitor.settings import Config, StreamConfig
from monitor.stream.window import Windower, Windows
from monitor.types import Samples
from tests.recorded import RATE, START, config, recording, stream_of, write_csv


def the_stream(**sections: Any) -> StreamConfig:
    (stream,) = config(**sections).streams.values()
    return stream


def test_windows_are_cut_at_each_hop_with_ends_and_labels() -> None:
    recorded = recording(seconds=3.0, faults=[(1.0, 1.25)])
    found = windows_of([recorded], the_stream())["pump-1"]
    assert found.data.shape == (5, 2, 16)
    np.testing.assert_allclose(found.ends - START, [1.0, 1.5, 2.0, 2.5, 3.0])
    assert found.labels.tolist() == [0, 1, 1, 0, 0]
    np.testing.assert_array_equal(found.data[1], recorded.data[:, 8:24])


def test_windows_of_a_recording_without_labels_are_unknown() -> None:
    found = windows_of([recording(seconds=2.0, labelled=False)], the_stream())["pump-1"]
    assert found.labels.tolist() == [-1, -1, -1]


def test_each_sensor_has_windows_of_its_own() -> None:
    recorded = [recording("a", 2.0), recording("b", 4.0)]
    found = windows_of(recorded, the_stream())
    assert {sensor: len(own.data) for sensor, own in found.items()} == {"a": 3, "b": 7}


def test_two_recordings_of_a_sensor_are_one_history_in_the_order_of_time() -> None:
    late = recording(seconds=2.0, start=START + 100, faults=[(0.0, 0.5)])
    found = windows_of([late, recording(seconds=2.0)], the_stream())["pump-1"]
    np.testing.assert_allclose(found.ends - START, [1, 1.5, 2, 101, 101.5, 102])
    assert found.labels.tolist() == [0, 0, 0, 1, 0, 0]
    assert [r.time[0] for r in by_sensor([late, recording()])["pump-1"]] == [START, START + 100]


def test_a_stream_of_whole_windows_gives_them_too() -> None:
    window = {"length": "1s", "hop": "0.5s", "rate": RATE, "channels": ["x", "y"]}
    stream = the_stream(window={**window, "input": "windows"})
    found = windows_of([recording(seconds=3.0)], stream)["pump-1"]
    np.testing.assert_allclose(found.ends - START, [1.0, 1.5, 2.0, 2.5, 3.0])


@settings(deadline=None, max_examples=30)
@given(
    gap=st.integers(0, 60),
    begin=st.floats(0, 3),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_windows_are_the_same_however_the_live_samples_were_sent(
    gap: int, begin: float, sizes: list[int]
) -> None:
    whole = recording(seconds=6.0, start=START + round(begin * RATE) / RATE)
    keep = np.r_[0:30, 30 + gap : len(whole.time)]
    object.__setattr__(whole, "time", whole.time[keep])
    object.__setattr__(whole, "data", whole.data[:, keep])
    stream = the_stream()
    live = Windower(stream.window)
    found: list[Windows] = []
    at = 0
    while at < len(keep):
        size = sizes[len(found) % len(sizes)]
        singles = range(at, min(at + size, len(keep)))
        runs = [Samples("m", float(whole.time[i]), whole.data[:, i : i + 1]) for i in singles]
        found.append(live.push([0] * len(runs), runs))
        at += size
    ours = windows_of([whole], stream)["pump-1"]
    np.testing.assert_array_equal(ours.data, np.concatenate([w.data for w in found]))
    np.testing.assert_allclose(ours.ends, np.concatenate([w.starts for w in found]) + 1.0)


def test_a_rule_gets_the_sensors_that_no_earlier_rule_takes() -> None:
    rules = [{"match": "pump-*", "use": ["online_iforest"]}, {"use": ["online_iforest"]}]
    stream = the_stream(models=rules)
    windows = windows_of([recording("pump-1", 2.0), recording("fan-1", 2.0)], stream)
    assert list(of_rule(windows, stream, 0)) == ["pump-1"]
    assert list(of_rule(windows, stream, 1)) == ["fan-1"]


def two_streams() -> Config:
    window = {"length": "1s", "rate": RATE, "channels": ["a", "b", "c"]}
    streams = {"machines": stream_of(), "others": stream_of(window=window)}
    return Config.model_validate({"source": {"recordings": {"paths": ["x"]}}, "streams": streams})


def test_one_stream_gets_every_file(tmp_path: Path) -> None:
    write_csv(tmp_path, recording("a", 2.0))
    write_csv(tmp_path, recording("b", 2.0))
    found = read_recorded(config(), [tmp_path])
    assert [r.sensor for r in found["machines"]] == ["a", "b"]


def test_each_of_several_streams_gets_the_files_with_its_channels(tmp_path: Path) -> None:
    write_csv(tmp_path, recording("m", 2.0))
    (tmp_path / "o.csv").write_text(f"time;a;b;c\n{START};1;2;3\n{START + 1 / RATE};1;2;3\n")
    np.save(tmp_path / "n.npy", np.zeros((3, 40), np.float32))
    found = read_recorded(two_streams(), [tmp_path])
    assert {name: [r.sensor for r in own] for name, own in found.items()} == {
        "machines": ["m"],
        "others": ["n", "o"],
    }


def test_a_stream_without_recordings_is_left_out(tmp_path: Path) -> None:
    path = write_csv(tmp_path, recording("m", 2.0))
    assert list(read_recorded(two_streams(), [path])) == ["machines"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.csv", b"time,p\n1,2\n", "has the channels of no stream; they need machines: x, y; oth"),
        ("x.parquet", b"nothing", "cannot be read"),
        ("x.npy", b"nothing", "cannot be read"),
    ],
)
def test_a_file_of_no_stream_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        read_recorded(two_streams(), [path])
    assert str(path) in str(caught.value)


def test_missing_files_and_empty_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no recordings are named; valid endings: \.csv"):
        read_recorded(two_streams(), [tmp_path])
    with pytest.raises(ConfigError, match=r"no\.csv: cannot be read"):
        read_recorded(two_streams(), [tmp_path / "no.csv"])
    (tmp_path / "x.csv").write_text("time,x\n1,2\n")
    with pytest.raises(ConfigError, match="has no channel 'y'; its columns: time, x"):
        read_recorded(config(), [tmp_path])
