"""Reading recordings: the three kinds of files, and one clear line for each that is unusable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor.connect.recording.reading import Recording, read_recordings
from monitor.errors import ConfigError
from monitor.settings import StreamConfig

ROWS = "time,a,b\n10,1,2\n11,3,4\n12,5,6\n"


def stream_of(*channels: str, rate: float = 1.0, **window: Any) -> StreamConfig:
    return StreamConfig.model_validate(
        {
            "topics": ["plant"],
            "window": {
                "length": f"{4 / rate}s",
                "rate": rate,
                "channels": list(channels),
                **window,
            },
            "models": [{"use": ["online_iforest"]}],
        }
    )


def read(path: Path, text: str, *channels: str, **options: Any) -> Recording:
    path.write_text(text, encoding="utf-8")
    (found,) = read_recordings([path], stream_of(*(channels or ("a", "b"))), **options)
    return found


def refused(path: Path, text: str, *channels: str, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path, text, *channels, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_csv_file_becomes_arrays(tmp_path: Path) -> None:
    found = read(tmp_path / "pump-1.csv", ROWS)
    assert (found.sensor, found.channels, found.labels) == ("pump-1", ("a", "b"), None)
    assert found.time.tolist() == [10, 11, 12]
    assert found.data.dtype == np.float32
    assert found.data.flags.c_contiguous
    assert found.data.tolist() == [[1, 3, 5], [2, 4, 6]]


def test_channels_come_in_the_order_of_the_stream(tmp_path: Path) -> None:
    assert read(tmp_path / "x.csv", ROWS, "b", "a").data.tolist() == [[2, 4, 6], [1, 3, 5]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    found = read(tmp_path / "x.csv", "\ufeff" + ROWS.replace(",", delimiter))
    assert found.data.tolist() == [[1, 3, 5], [2, 4, 6]]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("when", ["2020-03-09 10:14:33", "2020-03-09 10:14:34", "2020-03-09 10:14:35"]),
        ("when", ["2020-03-09T11:14:33+01:00", "2020-03-09T10:14:34Z", "2020-03-09T10:14:35Z"]),
        ("when", ["1583748873", "1583748874", "1583748875"]),
        ("when", ["1583748873000", "1583748874000", "1583748875000"]),
        ("when", ["1583748873000000", "1583748874000000", "1583748875000000"]),
        ("ts", ["1583748873000000000", "1583748874000000000", "1583748875000000000"]),
    ],
)
def test_times_are_dates_or_numbers_since_the_epoch(
    tmp_path: Path, column: str, cells: list[str]
) -> None:
    text = f"n,{column},a\n" + "".join(f"{i},{cell},{i}\n" for i, cell in enumerate(cells))
    found = read(tmp_path / "x.csv", text, "a")
    assert found.time.tolist() == [1583748873.0, 1583748874.0, 1583748875.0]


def test_the_time_column_can_be_named(tmp_path: Path) -> None:
    text = "time,row,a\n1,5,0\n2,6,0\n3,7,0\n"
    assert read(tmp_path / "x.csv", text, "a", time_column="row").time.tolist() == [5, 6, 7]


def test_empty_cells_are_missing_values(tmp_path: Path) -> None:
    found = read(tmp_path / "x.csv", "time,a,b\n10,1,\n11,,4\n")
    np.testing.assert_array_equal(found.data, [[1, np.nan], [np.nan, 4]])


@pytest.mark.parametrize("name", ["anomaly", "label", "Anomaly"])
def test_labels_are_kept_apart_and_give_stretches(tmp_path: Path, name: str) -> None:
    cells = ["0", "1.0", "1", "", "-1", "1"]
    rows = "".join(f"{i},{i},{cell}\n" for i, cell in enumerate(cells))
    found = read(tmp_path / "x.csv", f"time,a,{name}\n{rows}", "a")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 1, -1, -1, 1]
    assert found.anomalies(1.0) == [(1.0, 3.0), (5.0, 6.0)]
    assert "no channel" in refused(tmp_path / "y.csv", f"time,a,{name}\n{rows}", "a", name)


def test_no_labels_are_no_anomalies(tmp_path: Path) -> None:
    assert read(tmp_path / "x.csv", ROWS).anomalies(1.0) == []


def test_a_sensor_column_splits_a_file(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    path.write_text("time,sensor,a,label\n1,p,1,0\n1,7,2,1\n2,p,3,0\n2,7,4,0\n", encoding="utf-8")
    found = read_recordings([path], stream_of("a"))
    assert [(r.sensor, r.data.tolist()) for r in found] == [("p", [[1, 3]]), ("7", [[2, 4]])]
    assert [r.labels.tolist() for r in found if r.labels is not None] == [[0, 0], [1, 0]]


def test_folders_are_read_in_order_and_names_told_apart(tmp_path: Path) -> None:
    for name in ("valve2/0.csv", "valve1/1.csv", "valve1/0.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(ROWS, encoding="utf-8")
    (tmp_path / "README.md").write_text("no recording", encoding="utf-8")
    again = tmp_path / "valve1" / "0.csv"
    names = [r.sensor for r in read_recordings([tmp_path, again], stream_of("a", "b"))]
    assert names == ["valve1/0", "valve1/1", "valve2/0"]
    names = [r.sensor for r in read_recordings([tmp_path / "valve1"], stream_of("a", "b"))]
    assert names == ["0", "1"]


def test_two_files_that_differ_in_the_ending_only_are_refused(tmp_path: Path) -> None:
    for name in ("x.csv", "x.npy"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=r"x: two recordings differ only in their ending"):
        read_recordings([tmp_path], stream_of("a"))


def test_parquet_gives_the_same_as_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, None], "b": [2, 4], "anomaly": [0, 1]})
    frame["when"] = pd.to_datetime(["2020-03-09 10:14:33", "2020-03-09 10:14:34"], utc=True)
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_csv(tmp_path / "y.csv", index=False)
    one, other = read_recordings([tmp_path], stream_of("a", "b"))
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.time, other.time)
    assert one.time[0] == 1583748873.0
    assert one.labels is not None
    assert one.labels.tolist() == [0, 1]


@pytest.mark.parametrize("data", [np.arange(8).reshape(2, 4), np.arange(8).reshape(2, 4).T])
def test_an_array_may_lie_either_way(tmp_path: Path, data: Any) -> None:
    np.save(tmp_path / "x.npy", data)
    (found,) = read_recordings([tmp_path / "x.npy"], stream_of("a", "b", rate=4))
    assert found.data.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert found.time.tolist() == [0, 0.25, 0.5, 0.75]


def test_an_array_of_one_channel_may_be_flat(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(5))
    (found,) = read_recordings([tmp_path / "x.npy"], stream_of("a"))
    assert found.data.shape == (1, 5)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 5)), r"shape \(3, 5\); the 2 channels"),
        (np.array(["x"]), "holds no array of numbers"),
        (np.zeros((2, 0)), "holds no array of numbers"),
        (np.array([{}], dtype=object), "cannot be read"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(tmp_path: Path, array: Any, message: str) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ConfigError, match=message):
        read_recordings([tmp_path / "x.npy"], stream_of("a", "b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read: No columns"),
        ("time,a,b\n", "holds no rows"),
        ("time,a\n1,2\n", "has no channel 'b'; its columns: time, a"),
        ("time,a,b\n1,2,3\n2,x7,4\n", "column 'a', data row 2: 'x7' is not a number"),
        ("x,a,b\n1,2,3\n", "no column holds ISO 8601 dates"),
        ("time,a,b\n2,2,3\n1,2,3\n", "time goes back at sample 2"),
        ("time,a,b\n1,2,3\n1,2,3\n", "time repeats at sample 2"),
        ("time,a,b\n1,2,3\n,2,3\n3,2,3\n", "column 'time', data row 2: is not a time"),
        ("time,a,b\n0,2,3\n2,2,3\n4,2,3\n", "about 0.5 Hz; the stream's window.rate is 1"),
        ("time,a,b\n1,2,3,4\n", "its rows have more cells than its header"),
        ("time,a,b\n1,2,3\n1,2,3,4,5\n", "cannot be read"),
        ("time,a,b,sensor\n1,2,3,\n", "column 'sensor', data row 1: names no sensor"),
    ],
)
def test_each_mistake_in_a_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path / "x.csv", text)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    stream = stream_of("a", "b")
    with pytest.raises(ConfigError, match=r"absent\.csv: cannot be read: .*No such file"):
        read_recordings([tmp_path / "absent.csv"], stream)
    with pytest.raises(ConfigError, match=r"holds no recording; valid endings: \.csv, \.npy"):
        read_recordings([tmp_path], stream)
    with pytest.raises(ConfigError, match="give files or folders"):
        read_recordings([], stream)
    assert "'.txt' is not known; valid are .csv, .npy, .parquet" in refused(
        tmp_path / "x.txt", ROWS
    )
    assert "has no time column 'when'" in refused(tmp_path / "x.csv", ROWS, time_column="when")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_rubbish_of_every_kind_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recordings([path], stream_of("a"))
