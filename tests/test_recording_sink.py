"""Scores and alerts in files: what is written can be read, and flushed rows are there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor.connect.recording.sink import RecordingSink
from monitor.errors import ConfigError, SinkError
from monitor.protocols import Sink
from monitor.types import Alert, Partition, Result, Score

P = Partition("plant", 2)
SCORES = [
    Score(P, 5, "s", "pump, 1", "conv_ae", 1583748873.25, 1.5, 0.5, {"site": "N"}),
    Score(P, 6, "s", "pump, 1", "conv_ae", 1583748874.25, float(np.float32(0.1)), math.inf),
    Score(P, 7, "s", 'quote"d', "conv_ae", 1583748875.25, math.nan, 0.5),
]
ALERT = Alert(
    *(P, 7, "abc", "s", "pump, 1", "score", "firing", "warning", "two of two", 1.0, 2.5),
    scores={"conv_ae": 3.0},
    channels={"x": 0.75, "y": 0.25},
    labels={"site": "N"},
)


def write(sink: RecordingSink, result: Result) -> None:
    sink.emit(result)
    sink.close()


def frame_of(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_scores_are_read_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scores{suffix}"
    write(RecordingSink(path, None), Result(SCORES))
    frame = frame_of(path)
    assert frame["id"].tolist() == [score.id for score in SCORES]
    assert frame["sensor"].tolist() == ["pump, 1", "pump, 1", 'quote"d']
    for name in ("time", "raw", "threshold", "value"):
        np.testing.assert_array_equal(frame[name], [getattr(score, name) for score in SCORES])
    assert json.loads(str(frame["labels"][0])) == {"site": "N"}
    assert frame[["topic", "partition", "offset"]].to_numpy().tolist()[0] == ["plant", 2, 5]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_alerts_are_read_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"alerts{suffix}"
    write(RecordingSink(None, path), Result(alerts=[ALERT, ALERT._replace(phase="resolved")]))
    frame = frame_of(path)
    assert frame["phase"].tolist() == ["firing", "resolved"]
    assert json.loads(str(frame["channels"][0])) == {"x": 0.75, "y": 0.25}
    assert frame["opened"].tolist() == [1.0, 1.0]


def test_flushed_rows_of_a_csv_file_are_there_before_it_is_closed(tmp_path: Path) -> None:
    sink = RecordingSink(tmp_path / "scores.csv", tmp_path / "alerts.csv")
    assert isinstance(sink, RecordingSink)
    for count in (1, 2):
        sink.emit(Result(SCORES[:1], [ALERT]))
        sink.flush()
        assert len(frame_of(tmp_path / "scores.csv")) == count
        assert len(frame_of(tmp_path / "alerts.csv")) == count
    sink.close()
    sink.close()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_nothing_found_still_gives_files_with_their_columns(tmp_path: Path, suffix: str) -> None:
    sink: Sink = RecordingSink(tmp_path / f"s{suffix}", None)
    sink.flush()
    sink.close()
    frame = frame_of(tmp_path / f"s{suffix}")
    assert len(frame) == 0
    assert list(frame.columns)[:4] == ["id", "stream", "sensor", "detector"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'\.xls' is not known; valid are \.csv, \.parquet"):
        RecordingSink(tmp_path / "x.xls", None)
    with pytest.raises(ConfigError, match="cannot be written: No such file or directory"):
        RecordingSink(tmp_path / "no" / "x.csv", None)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_a_sink_error(tmp_path: Path) -> None:
    (tmp_path / "x.csv").symlink_to("/dev/full")
    sink = RecordingSink(tmp_path / "x.csv", None)
    sink.emit(Result(SCORES))
    with pytest.raises(SinkError, match=r"x\.csv: cannot be written: No space left"):
        sink.flush()
    with pytest.raises(SinkError, match=r"x\.csv: is closed"):
        sink.flush()
    sink.close()
