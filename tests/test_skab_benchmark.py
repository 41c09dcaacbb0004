"""The Skoltech Anomaly Benchmark: its scores by hand, and the product on runs made up for it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ConfigError
from monitor.offline.reproduce import skab, skab_report
from monitor.offline.reproduce.data import find, listed
from monitor.offline.reproduce.skab import CHANNELS, REGISTRY, TRAINING, Method, Run, Scored
from monitor.offline.reproduce.skab_scoring import (
    Changes,
    Ratios,
    Rows,
    change_score,
    leave_one_out,
    rows_at,
    told_once,
)
from monitor.offline.reproduce.told_report import write_told
from monitor.offline.suggest import suggest

ROWS = 520
FAULT = 440, 480
FAST = Method("mahalanobis", 16, {"view": "mean"})


def ratios(truth: list[int], values: list[float]) -> Ratios:
    return Ratios(np.array(truth, bool), np.array(values, float))


def changes(at: list[float], told: list[int], seconds: int = 300) -> Changes:
    flags = np.zeros(seconds, np.bool_)
    flags[told] = True
    return Changes(np.arange(seconds, dtype=float), np.array(at), flags)


def test_rows_of_all_runs_are_pooled() -> None:
    runs = [ratios([1, 1, 0, 0], [2, 0, 2, 0]), ratios([1, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0])]
    assert rows_at(runs, [1, 1]) == Rows(f1=4 / 6, far=1 / 7, mar=1 / 3)
    assert rows_at(runs, [1, 10]).mar == 2 / 3


def test_a_value_at_its_cut_is_no_flag() -> None:
    assert rows_at([ratios([1, 1], [1, 1.1])], [1]).mar == 0.5


def test_runs_without_rows_of_a_kind_divide_by_nothing() -> None:
    assert rows_at([ratios([0, 0], [0, 0])], [1]) == Rows(0, 0, 0)


def test_a_multiplier_is_chosen_on_the_other_runs() -> None:
    low, high = ratios([1, 1, 0, 0], [2, 2, 1, 1]), ratios([1, 1, 0, 0], [20, 20, 10, 10])
    assert leave_one_out([low, high]).multipliers == (15, 1.5)
    assert leave_one_out([low, high]).rows.far == 0.5
    assert leave_one_out([low, low, low]).rows == Rows(1, 0, 0)


def test_leaving_one_out_needs_another() -> None:
    with pytest.raises(ConfigError, match="1 runs"):
        leave_one_out([ratios([1, 0], [1, 0])])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=40))
def test_no_other_cut_has_a_higher_f1_on_the_runs_it_was_chosen_on(
    rows: list[tuple[bool, int]],
) -> None:
    run = ratios([r[0] for r in rows], [r[1] for r in rows])
    chosen = leave_one_out([run, run]).multipliers[0]
    best = max(rows_at([run], [cut]).f1 for cut in np.arange(-0.5, 10))
    assert rows_at([run], [chosen]).f1 == pytest.approx(best)


def test_a_change_that_is_told_at_once_is_worth_all() -> None:
    found = change_score([changes([100, 200], [100, 200])])
    assert (found.standard, found.low_false_alarms, found.low_missed) == pytest.approx([100] * 3)
    assert (found.missed, found.false, found.changes) == (0, 0, 2)


def test_saying_nothing_is_worth_nothing() -> None:
    found = change_score([changes([100], [])])
    assert (found.standard, found.low_false_alarms, found.low_missed) == (0, 0, 0)
    assert found.missed == 1


def test_a_false_alarm_costs_the_same_wherever_it_is() -> None:
    for at in (99, 161, 299):
        found = change_score([changes([100], [at, 100])])
        assert found.standard == pytest.approx(100 * (2 - 0.11) / 2)
        assert found.low_false_alarms == pytest.approx(100 * (2 - 0.22) / 2)
        assert found.low_missed == pytest.approx(100 * (3 - 0.11) / 3)


def test_only_the_first_detection_in_a_window_counts() -> None:
    often = change_score([changes([100], [110, 120, 130, 160])])
    assert often == change_score([changes([100], [110])])


def test_a_later_detection_is_worth_less_by_the_benchmarks_curve() -> None:
    found = [change_score([changes([100], [100 + late])]).standard for late in (0, 15, 30, 45, 60)]
    assert found == sorted(found, reverse=True)
    x = math.pi * (500 / 999 - 0.5)  # half of the window, in 1000 steps
    half = (1 + 0.11) / 2
    assert found[2] == pytest.approx(
        50 * (1 + half - 0.11 - half * math.tanh(x) / math.tanh(math.pi / 2))
    )
    assert found[4] == pytest.approx(50 * (1 - 0.11))


def test_a_window_that_begins_in_another_is_cut_short() -> None:
    both = change_score([changes([100, 130], [100, 161])])
    assert both.missed == both.false == 0
    assert change_score([changes([100, 130], [100, 131])]).missed == 1


def test_a_change_that_is_labelled_nowhere_cannot_be_scored() -> None:
    with pytest.raises(ConfigError, match="no run has a labelled change"):
        change_score([changes([], [3])])


def test_a_change_that_goes_on_is_told_again_after_a_pause() -> None:
    flagged = np.array([0, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 1], bool)
    assert np.flatnonzero(told_once(flagged, 3)).tolist() == [1, 4, 7, 11]
    assert np.flatnonzero(told_once(flagged, 1)).tolist() == np.flatnonzero(flagged).tolist()


def run_of(name: str, seed: int) -> Run:
    """All channels rise by 8 while the fault lasts."""
    random = np.random.default_rng(seed)
    data = random.normal(10 * np.arange(8)[:, None], 1, (8, ROWS)).astype(np.float32)
    data[:, slice(*FAULT)] += 8
    row = np.arange(ROWS)
    times = 1.5e9 + row.astype(float)
    stamps = tuple(str(time) for time in pd.to_datetime(times, unit="s"))
    return Run(name, times, stamps, data, (row >= FAULT[0]) & (row < FAULT[1]), np.isin(row, FAULT))


@pytest.fixture(scope="module")
def scored() -> list[Scored]:
    return skab.score_runs([run_of("one-0", 0), run_of("two-7", 1)], FAST)


def test_each_row_after_the_training_has_a_score_from_its_past_alone(scored: list[Scored]) -> None:
    assert [len(run.raw) for run in scored] == [ROWS - TRAINING] * 2
    whole, until = run_of("one-0", 0), FAULT[0] + 20
    first = replace(
        whole,
        times=whole.times[:until],
        stamps=whole.stamps[:until],
        data=whole.data[:, :until],
        anomalous=whole.anomalous[:until],
        changing=whole.changing[:until],
    )
    (again,) = skab.score_runs([first], FAST)
    assert np.array_equal(again.raw, scored[0].raw[: until - TRAINING])
    assert again.cut == scored[0].cut


def test_a_plain_fault_is_found_and_little_else(scored: list[Scored]) -> None:
    for run in scored:
        begin, end = FAULT[0] - TRAINING, FAULT[1] - TRAINING
        assert (run.value[begin + 3 : end] > 1).all()
        assert (run.value[:begin] > 1).mean() < 0.1
        assert (run.value[begin + 3 : end] > run.value[:begin].max()).all()


def test_labels_change_no_score(scored: list[Scored]) -> None:
    run = run_of("one-0", 0)
    blind = replace(run, anomalous=~run.anomalous, changing=~run.changing)
    (found,) = skab.score_runs([blind], FAST)
    assert np.array_equal(found.raw, scored[0].raw)


def test_the_report_has_every_figure_and_a_row_for_each_published_method(
    scored: list[Scored], tmp_path: Path
) -> None:
    found = skab_report.figures(scored, scored)
    assert {"f1_label_free", "far", "mar", "f1_leave_one_out", "auroc"} <= set(found)
    assert found["auroc"] > 0.9
    assert found["changepoints"] == 4
    assert set(found["files"]) == {"one-0", "two-7"}
    shown = skab_report.table(found)
    assert shown.row_count == 3 + len(skab_report.PUBLISHED) + 2
    told = skab_report.told("ensemble", scored)
    write_told(tmp_path / "skab.html", "SKAB", told, {"ensemble": 1.0})
    assert (tmp_path / "skab.html").read_text("utf-8").count("data:image/png") >= 2
    skab_report.write(tmp_path / "scores", {"ensemble": scored})
    table = pd.read_csv(tmp_path / "scores" / "two-7.ensemble.csv")
    assert list(table.columns) == ["file", "time", "detector", "raw", "value"]
    assert np.allclose(table["raw"] / scored[1].cut, table["value"])
    assert len(table) == ROWS - TRAINING
    table = pd.read_csv(tmp_path / "scores" / "skab.csv")
    assert list(table.columns) == ["item", "label", "detector", "score"]
    second = table[table["item"].str.startswith("two-7/")]
    assert np.allclose(scored[1].raw / scored[1].cut, second["score"])
    assert len(second) == ROWS - TRAINING
    assert second["label"].sum() == scored[1].truth.sum()


def test_scores_that_cannot_be_written_are_told_in_one_line(
    scored: list[Scored], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/.*\.csv: cannot be written"):
        skab_report.write(tmp_path / "file", {"ensemble": scored})


def test_rules_that_look_at_no_data_are_told_beside(scored: list[Scored]) -> None:
    floor = skab_report.floors(scored)
    assert floor["f1"] == 0  # these runs end before row 550
    assert floor["changepoints_false"] + 4 >= floor["changepoints_missed"]


def csv_of(run: Run, path: Path) -> None:
    columns = dict(zip(CHANNELS, run.data, strict=True))
    marks = {"anomaly": run.anomalous.astype(float), "changepoint": run.changing.astype(float)}
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"datetime": run.stamps, **columns, **marks}).to_csv(path, sep=";", index=False)


def test_a_file_is_read_with_both_kinds_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "valve1" / "3.csv"
    csv_of(run_of("any", 0), path)
    run = skab.read_run(path)
    assert run.name == "valve1-3"
    assert np.flatnonzero(run.anomalous).tolist() == list(range(*FAULT))
    assert np.flatnonzero(run.changing).tolist() == list(FAULT)
    assert run.times[-1] - run.times[0] == ROWS - 1
    assert run.recording(slice(None, 5)).labels is None


@pytest.mark.parametrize("column", ["Pressure", "datetime", "changepoint"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, column: str) -> None:
    path = tmp_path / "x.csv"
    csv_of(run_of("any", 0), path)
    pd.read_csv(path, sep=";").drop(columns=column).to_csv(path, index=False)
    with pytest.raises(ConfigError, match=f"no column '{column}'"):
        skab.read_run(path)


def test_a_run_that_ends_with_its_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    csv_of(run_of("any", 0), path)
    pd.read_csv(path, sep=";").head(TRAINING).to_csv(path, index=False)
    with pytest.raises(ConfigError, match="has 400 rows"):
        skab.read_run(path)


def test_the_published_runs_are_as_the_leaderboard_counts_them() -> None:
    folder = find(None, "skab", listed(REGISTRY))
    if folder is None:
        pytest.skip("SKAB is not there: set MONITOR_DATA to the folder that holds skab/")
    runs = skab.read_runs(folder)
    assert len(runs) == 34
    assert sum(int(run.changing[TRAINING:].sum()) for run in runs) == 127
    quiet = [Changes(r.times, r.times[r.changing], np.zeros(len(r.times), bool)) for r in runs]
    assert change_score(quiet).standard == 0


def test_windows_are_those_that_a_recording_of_the_benchmark_suggests(tmp_path: Path) -> None:
    time = 1_583_748_873.0 + np.arange(TRAINING)
    noise = np.random.default_rng(0).normal(size=(len(CHANNELS), TRAINING))
    frame = pd.DataFrame({"time": time, **dict(zip(CHANNELS, noise, strict=True))})
    frame.to_csv(tmp_path / "run.csv", index=False)
    found = suggest([tmp_path / "run.csv"])
    assert (found.samples, found.hop) == (skab.OUTLIERS.samples, 1)
