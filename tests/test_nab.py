"""The benchmark of Numenta: its score by hand, by a published detector, and the product's own."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ConfigError
from monitor.offline.reproduce import nab, nab_report
from monitor.offline.reproduce.data import listed
from monitor.offline.reproduce.nab_scoring import (
    Marked,
    Numbers,
    Profile,
    best,
    leave_one_group_out,
    mark,
    score_at,
    total_at,
)
from monitor.types import Array

DATA = Path(os.environ.get("MONITOR_DATA", Path(__file__).parents[1] / "../shared/data")) / "nab"
STANDARD = Profile(1.0, 1.0, 0.11)
LOW_FALSE_ALARMS = Profile(1.0, 1.0, 0.22)
LOW_MISSES = Profile(1.0, 2.0, 0.11)
PROFILES = (STANDARD, LOW_FALSE_ALARMS, LOW_MISSES)
recorded = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")


def series(detections: list[int], rows: int = 100, *windows: tuple[int, int]) -> Marked:
    """Times 0, 1, 2, ...; a score of 1 where something is detected; 15 rows of probation."""
    scores = np.zeros(rows)
    scores[detections] = 1.0
    return mark(np.arange(float(rows)), windows or [(50, 59)], scores)


def sigmoid(position: float) -> float:
    return 2 / (1 + math.exp(5 * position)) - 1


# --- the score ------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
def test_silence_scores_0_and_the_first_row_of_each_window_100(profile: Profile) -> None:
    windows = (30, 39), (60, 79)
    assert score_at([series([], 100, *windows)], profile, 0.5) == 0
    found = best([series([30, 60], 100, *windows)], profile)
    assert found.score == pytest.approx(100)
    assert found.threshold == 1.0


def test_only_the_earliest_detection_of_a_window_counts() -> None:
    late, both = series([55]), series([55, 58])
    expected = sigmoid(-5 / 10) / sigmoid(-1)
    assert total_at(late, STANDARD, 1.0) == pytest.approx(expected)
    assert total_at(both, STANDARD, 1.0) == pytest.approx(expected)


def test_a_false_alarm_costs_the_more_the_later_it_is_after_a_window() -> None:
    for detection, cost in [(20, 1.0), (62, -sigmoid(3 / 9)), (99, 1.0)]:
        found = series([50, detection])
        assert total_at(found, STANDARD, 1.0) == pytest.approx(1 - 0.11 * cost)
        assert total_at(found, LOW_FALSE_ALARMS, 1.0) == pytest.approx(1 - 0.22 * cost)


def test_a_missed_window_costs_twice_where_misses_count() -> None:
    assert total_at(series([]), STANDARD, 1.0) == -1
    assert total_at(series([]), LOW_MISSES, 1.0) == -2


def test_rows_of_the_probation_do_not_count() -> None:
    assert total_at(series([14, 50]), STANDARD, 1.0) == pytest.approx(1)
    assert total_at(series([15, 50]), STANDARD, 1.0) == pytest.approx(1 - 0.11)
    assert series([], 10_000, (9_000, 9_010)).first == 750


def test_windows_are_found_where_a_clock_stands_still() -> None:
    times = np.array([0.0, 1, 2, 2, 3, 4, 4, 5])
    found = mark(times, [(2, 4)], np.zeros(8), probation=0)
    assert found.window.tolist() == [-1, -1, 0, 0, 0, 0, 0, -1]


def test_the_threshold_is_the_best_over_all_series_together() -> None:
    good, bad = series([50]), series([20, 25, 30, 35, 40])
    louder = bad._replace(scores=bad.scores * 0.5)
    assert best([good, louder], STANDARD).threshold == 1.0
    assert score_at([good, louder], STANDARD, 0.5) < best([good, louder], STANDARD).score


@given(st.lists(st.integers(0, 4), min_size=40, max_size=40))
def test_the_best_threshold_is_the_best_of_all(levels: list[int]) -> None:
    found = mark(np.arange(40.0), [(20, 24)], np.array(levels, float), probation=5)
    tried = [score_at([found], STANDARD, level) for level in (0, 1, 2, 3, 4, 5)]
    assert best([found], STANDARD).score == pytest.approx(max(tried))


def test_a_group_has_the_threshold_of_the_others() -> None:
    loud, faint = series([50]), series([50])
    faint = faint._replace(scores=faint.scores * 0.5)
    groups = {"loud": [loud], "faint": [faint]}
    assert leave_one_group_out(groups, STANDARD) == pytest.approx(50), "faint is not found"
    assert leave_one_group_out({"a": [loud], "b": [loud]}, STANDARD) == pytest.approx(100)


def test_what_cannot_be_scored_is_refused() -> None:
    times = np.arange(5.0)
    with pytest.raises(ConfigError, match="one finite number for each"):
        mark(times, [], np.zeros(4))
    with pytest.raises(ConfigError, match="one finite number for each"):
        mark(times, [], np.full(5, np.nan))
    with pytest.raises(ConfigError, match="holds no row"):
        mark(times, [(7, 8)], np.zeros(5))
    with pytest.raises(ConfigError, match="no series has a labelled window"):
        best([mark(times, [], np.zeros(5))], STANDARD)


# --- against published results ----------------------------------------------------------------


def windowed_gaussian(values: Array) -> Numbers:
    """The published detector, by its description: how far inside a normal distribution a value is,
    whose mean and deviation are of the last 6,400 values, moved each 100 once these are full.
    """
    size, step = 6400, 100
    x = values.astype(np.float64)
    scores = np.zeros(len(x))
    for i in range(1, len(x)):
        last = i if i <= size else size + (i - size) // step * step
        past = x[max(0, last - size) : last]
        z = abs(x[i] - past.mean()) / (past.std() or 1e-6)
        scores[i] = 1 - 0.5 * math.erfc(z / math.sqrt(2))
    return np.round(scores, 12)  # as the published files have them


@recorded
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("realAWSCloudwatch/ec2_cpu_utilization_825cc2.csv", 0.956537840284),
        ("realAWSCloudwatch/ec2_disk_write_bytes_1ef3de.csv", -4.19089678552),
        ("realAdExchange/exchange-3_cpc_results.csv", 2.50266326119),
        ("realKnownCause/rogue_agent_key_hold.csv", -2.44),
        ("realTraffic/speed_7578.csv", 3.47059145681),
    ],
)
def test_the_published_score_of_a_published_detector_comes_out(name: str, published: float) -> None:
    labels = json.loads((DATA / nab.LABELS).read_text("utf-8"))
    one = nab.read_series_of(DATA, name, labels[name])
    exact = pd.read_csv(DATA / "data" / name)["value"].to_numpy()
    found = mark(one.time, one.windows, windowed_gaussian(exact))
    assert total_at(found, STANDARD, 1.0) == pytest.approx(published, abs=1e-6)


# --- the product ----------------------------------------------------------------------------


def corpus(folder: Path) -> Path:
    """Two series with a spike each, as the benchmark lays them out."""
    random = np.random.default_rng(0)
    labels = {}
    for name in ("a/one.csv", "b/two.csv"):
        value = random.normal(10, 1, 600)
        value[450:453] = 100
        times = pd.date_range("2024-01-01", periods=600, freq="5min")
        path = folder / "data" / name
        path.parent.mkdir(parents=True)
        pd.DataFrame({"timestamp": times, "value": value}).to_csv(path, index=False)
        labels[name] = [[f"{times[445]}.000000", f"{times[475]}.000000"]]
    costs = {"tpWeight": 1.0, "fnWeight": 1.0, "fpWeight": 0.11}
    profiles = {
        name: {"CostMatrix": costs | {"fnWeight": missed}}
        for name, missed in [("standard", 1.0), ("reward_low_FP_rate", 1.0)]
    } | {"reward_low_FN_rate": {"CostMatrix": costs | {"fnWeight": 2.0}}}
    for place, found in [(nab.LABELS, labels), (nab.PROFILES, profiles)]:
        (folder / place).parent.mkdir()
        (folder / place).write_text(json.dumps(found), "utf-8")
    return folder


def test_spikes_are_found_and_figures_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = corpus(tmp_path / "nab")
    registry = tmp_path / "registry"
    files = ["data/a/one.csv", "data/b/two.csv", nab.LABELS, nab.PROFILES]
    registry.write_text("".join(f"{file} 0\n" for file in files), "utf-8")
    monkeypatch.setattr(nab_report, "REGISTRY", registry)
    figures, scores = tmp_path / "found.json", tmp_path / "scores"
    shown = tmp_path / "nab.html"
    nab_report.run(folder.parent, json_file=figures, scores=scores, report=shown)
    assert shown.read_text("utf-8").count("data:image/png") >= 2
    found = json.loads(figures.read_text("utf-8"))
    assert found["standard"] > 90
    assert found["leave_one_group_out_standard"] <= found["standard"]
    assert found["reward_low_FN_rate"] >= found["reward_low_FP_rate"] > 90
    assert found["seconds"] > 0
    rows = pd.read_csv(scores / "a/one.together.csv")
    assert list(rows) == ["file", "time", "detector", "raw", "value"]
    assert len(rows) == 600
    assert rows["value"].between(0, 1).all()
    assert rows["value"].idxmax() == 450
    assert len(pd.read_csv(scores / "b/two.novelty.csv")["raw"].dropna()) > 500
    rows = pd.read_csv(scores / "nab.csv")
    assert list(rows) == ["item", "label", "detector", "score"]
    together = rows[(rows["detector"] == "together") & rows["item"].str.startswith("a/one.csv/")]
    assert len(together) == 600
    assert together["label"].sum() == 31
    assert together["score"].between(0, 1).all()
    highest = together["item"].to_numpy()[int(together["score"].to_numpy().argmax())]
    assert highest == "a/one.csv/2024-01-02 13:30:00"
    assert rows["score"][rows["detector"] == "novelty"].count() > 1000
    assert "ARTime" in capsys.readouterr().out


def test_a_score_does_not_depend_on_what_comes_later(tmp_path: Path) -> None:
    every = nab.read_series(corpus(tmp_path))
    short = {n: s._replace(time=s.time[:460], value=s.value[:460]) for n, s in every.items()}
    _, whole = nab.score_series(every, nab.configuration())
    _, part = nab.score_series(short, nab.configuration())
    for name in every:
        assert np.array_equal(whole[name].score[:460], part[name].score)


def test_a_score_does_not_depend_on_the_other_series(tmp_path: Path) -> None:
    every = nab.read_series(corpus(tmp_path))
    _, together = nab.score_series(every, nab.configuration())
    for name, one in every.items():
        _, alone = nab.score_series({name: one}, nab.configuration())
        assert np.array_equal(together[name].score, alone[name].score)


def test_a_value_that_does_not_exceed_those_before_it_is_told_no_more() -> None:
    values = np.array([1.0, 3, 2, 3, 4, 0, 1, 1, 5])
    kept = nab.first_of_their_kind(values, 3)
    assert kept.tolist() == [1, 3, 0, 0, 4, 0, 0, 0, 5]
    assert nab.first_of_their_kind(values, 1).tolist() == [1, 3, 0, 3, 4, 0, 1, 0, 5]


@recorded
def test_the_registry_names_every_file_that_is_labelled() -> None:
    labels = json.loads((DATA / nab.LABELS).read_text("utf-8"))
    wanted = {f"data/{name}" for name in labels} | {nab.LABELS, nab.PROFILES}
    assert set(listed(nab_report.REGISTRY)) == wanted
