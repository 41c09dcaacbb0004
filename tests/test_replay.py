"""A replay gives what the live loop gives, in files, with a summary that adds up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from monitor.connect.memory import MemoryLog, MemorySource
from monitor.connect.recording.player import as_recorded, records
from monitor.connect.recording.reading import Recording
from monitor.connect.sinks import AtLeastOnce
from monitor.errors import ConfigError
from monitor.offline.replay import play, replay, run
from monitor.runner import Pace, Runner
from monitor.settings import Config
from monitor.types import Alert, Result, Score
from monitor.wiring import ForgetfulSnapshots, build_middle
from tests.recorded import RATE, START, config, recording, stream_of, write_csv

FLEET = [
    recording("pump-1", 60.0, [(40.0, 44.0)]),
    recording("pump-2", 60.0, [(50.0, 52.0)], start=START + 3.25),
    recording("pump-3", 20.0),
]


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.scores: list[Score] = []
        self.alerts: list[Alert] = []

    def emit(self, result: Result) -> None:
        self.scores += result.scores
        self.alerts += result.alerts

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def live(settings: Config, recordings: Sequence[Recording], most: int) -> Kept:
    """The loop over a log with three partitions, in polls of at most so many records."""
    ((name, stream),) = settings.streams.items()
    settings = settings.model_copy(update={"streams": {name: as_recorded(stream)}})
    log = MemoryLog(settings.topics(), 3)
    for record in records(recordings, stream, seconds=0.3):
        log.append(record.key, record.time, record.value)
    kept, source = Kept(), MemorySource(log, max_records=most)
    delivery = AtLeastOnce([kept], source)
    middle, snapshots = build_middle(settings), ForgetfulSnapshots()
    runner = Runner(source, middle.pipeline, delivery, snapshots, lambda: 0.0, Pace(live=False))
    runner.start()
    while runner.step():
        pass
    runner.close()
    return kept


def said(kept: Kept) -> tuple[set[tuple[str, float, float]], set[tuple[str, str, str, float]]]:
    scores = {(score.id, score.raw, score.threshold) for score in kept.scores}
    return scores, {(a.id, a.sensor, a.phase, a.time) for a in kept.alerts}


@pytest.mark.parametrize("most", [1, 7])
def test_a_replay_equals_the_live_loop_in_small_polls(most: int) -> None:
    settings, replayed = config(), Kept()
    play(settings, {"machines": FLEET}, replayed)
    scores, alerts = said(replayed)
    assert (scores, alerts) == said(live(settings, FLEET, most))
    assert len(scores) == len(replayed.scores) == 119 + 118 + 39
    assert {sensor for _, sensor, _, _ in alerts} == {"pump-1", "pump-2"}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_scores_and_alerts_are_written_into_the_folder(tmp_path: Path, suffix: str) -> None:
    found = replay(config(), {"machines": FLEET}, tmp_path / "a" / "b", suffix=suffix)
    read = pd.read_csv if suffix == "csv" else pd.read_parquet
    scores = read(tmp_path / "a" / "b" / f"scores.{suffix}")
    alerts = read(tmp_path / "a" / "b" / f"alerts.{suffix}")
    assert len(scores) == found.scores == found.windows == 276
    assert int((scores["value"] > 1).sum()) == found.flagged["Loudness"]
    assert alerts["id"].nunique() == found.alerts == 2
    assert found.alerts_open == 0
    assert set(alerts["topic"]) == {"plant"}


def test_two_streams_do_not_get_each_others_recordings() -> None:
    slow = {"length": "2s", "rate": RATE, "channels": ["x", "y"]}
    streams = {"fast": stream_of(), "slow": stream_of(window=slow)}
    source = {"recordings": {"paths": ["x"]}}
    settings = Config.model_validate({"source": source, "streams": streams})
    kept = Kept()
    found = play(settings, {"fast": FLEET[:1], "slow": FLEET[1:2]}, kept)
    assert {(score.stream, score.sensor) for score in kept.scores} == {
        ("fast", "pump-1"),
        ("slow", "pump-2"),
    }
    assert found.rejected == {}


def test_records_of_sensors_that_no_rule_wants_are_counted() -> None:
    rule = {"match": "pump-1", "use": ["tests.recorded:Loudness"]}
    found = play(config(models=[rule]), {"machines": FLEET}, Kept())
    assert (found.recordings, found.windows) == (3, 119)
    assert found.rejected == {"no_rule": 60 + 20}
    assert found.records == 140


def test_another_format_and_a_folder_that_is_a_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="format 'xls' is not known; valid are parquet, csv"):
        replay(config(), {"machines": FLEET}, tmp_path, suffix="xls")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: cannot be made a folder: File exists"):
        replay(config(), {"machines": FLEET}, tmp_path / "file")


def test_the_command_prints_a_summary_and_writes_it_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(tmp_path, FLEET[0])
    run(config(), [path], tmp_path / "out", suffix="csv", json_file=tmp_path / "found.json")
    figures = json.loads((tmp_path / "found.json").read_text())
    assert (figures["windows"], figures["alerts"], figures["recordings"]) == (119, 1, 1)
    assert figures["windows_per_second"] > 0
    shown = capsys.readouterr().out
    assert "Replay" in shown
    assert "119" in shown
    assert (tmp_path / "out" / "alerts.csv").exists()


def test_figures_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    path = write_csv(tmp_path, FLEET[2])
    with pytest.raises(ConfigError, match=r"no/x\.json: cannot be written: No such file"):
        run(config(), [path], tmp_path / "out", json_file=tmp_path / "no" / "x.json")
