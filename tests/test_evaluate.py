"""Evaluation of a detector whose scores can be worked out: loud windows are anomalous."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from monitor.connect.recording.reading import Recording
from monitor.errors import ConfigError
from monitor.offline.evaluate import Evaluated, Part, evaluate, run
from monitor.offline.evaluate_table import alerting_table, ranking_table
from monitor.offline.labels import Event
from monitor.offline.train import train
from tests.recorded import START, config, recording, write_csv

TWO = [
    recording("pump-1", 120.0, [(60.0, 64.0)]),
    recording("pump-2", 120.0, [(40.0, 42.0), (80.0, 84.0)]),
]


def pooled(found: Evaluated) -> Part:
    return found.pooled["machines"]


def of(recordings: list[Recording], events: list[Event] | None = None, **stream: Any) -> Evaluated:
    return evaluate(config(**stream), {"machines": recordings}, events)


def test_a_detector_that_hears_every_fault_is_perfect() -> None:
    found = pooled(of(TWO))
    own = found.raw["Loudness"]
    assert (own.auroc, own.auprc, own.f1_best) == (1.0, 1.0, 1.0)
    assert (found.windows, found.anomalous, found.unknown) == (2 * 239, 9 + 5 + 9, 0)
    assert (found.alerts.events, found.alerts.detected, found.alerts.alerts) == (3, 3, 3)
    assert (found.alerts.recall, found.alerts.precision) == (1.0, 1.0)
    assert found.alerts.false_alarms == 0
    assert found.alerts.in_alarm == pytest.approx(6 / 455)


def test_the_delay_is_from_the_start_of_the_event_to_the_opening_of_its_alert() -> None:
    # The first window with the fault ends 0.5 s after its start, and the second raises the alert.
    found = pooled(of(TWO))
    assert [one.delay for one in found.events] == pytest.approx([1.0, 1.0, 1.0])
    assert found.alerts.delay_max == pytest.approx(1.0)


def test_each_file_has_its_own_figures() -> None:
    found = of(TWO)
    files = found.files["machines"]
    assert list(files) == ["pump-1.csv", "pump-2.csv"]
    assert [part.alerts.events for part in files.values()] == [1, 2]
    assert [part.windows for part in files.values()] == [239, 239]


def test_sensors_of_one_file_are_pooled() -> None:
    shared = [
        recording("a", 60.0, [(40.0, 42.0)], path=Path("both.csv")),
        recording("b", 60.0, path=Path("both.csv")),
    ]
    (part,) = of(shared).files["machines"].values()
    assert (part.windows, part.anomalous) == (238, 5)


def test_two_files_of_a_sensor_divide_its_windows_and_alerts() -> None:
    days = [
        recording("a", 60.0, [(40.0, 42.0)], path=Path("monday.csv")),
        recording("a", 80.0, [(50.0, 54.0)], start=START + 86400, path=Path("tuesday.csv")),
    ]
    found = of(days)
    parts = found.files["machines"]
    assert [(p.windows, p.anomalous) for p in parts.values()] == [(119, 5), (159, 9)]
    assert [(p.alerts.events, p.alerts.detected) for p in parts.values()] == [(1, 1), (1, 1)]


def test_a_fault_that_is_not_labelled_is_a_false_alarm() -> None:
    quiet = recording("pump-1", 120.0, [(60.0, 64.0)])
    found = pooled(of([quiet], [Event("pump-1", START + 100, START + 101)]))
    assert (found.alerts.detected, found.alerts.false_alarms) == (0, 1)
    assert found.alerts.precision == 0.0
    assert found.alerts.false_alarms_per_day == pytest.approx(1 / ((239 - 3) * 0.5 / 86400))
    (missed,) = found.events
    assert missed.delay is None


def test_events_from_outside_outrank_the_recordings_own_labels() -> None:
    own = recording("pump-1", 120.0, [(60.0, 64.0)], labelled=False)
    found = pooled(of([own], [Event("pump-1", START + 60, START + 64, "loud")]))
    assert found.raw["Loudness"].auroc == 1.0
    assert found.events[0].event.kind == "loud"


def test_recordings_without_labels_beside_labelled_ones_are_unknown() -> None:
    blind = recording("pump-9", 60.0, [(40.0, 44.0)], labelled=False)
    found = of([*TWO, blind])
    own = found.files["machines"]["pump-9.csv"]
    assert (own.unknown, own.alerts.alerts, own.alerts.false_alarms) == (119, 0, 0)
    assert own.raw["Loudness"].note == "no window is both scored and labelled"
    assert pooled(found).raw["Loudness"].auroc == 1.0


def test_recordings_without_a_single_fault_have_no_auroc_but_false_alarms() -> None:
    found = pooled(of([recording("pump-1", 60.0)]))
    assert (found.raw["Loudness"].auroc, found.raw["Loudness"].note) == (
        None,
        "all windows are normal",
    )
    assert (found.alerts.recall, found.alerts.false_alarms_per_day) == (None, 0.0)


def test_windows_without_a_score_are_counted() -> None:
    broken = recording("pump-1", 120.0, [(60.0, 64.0)])
    broken.data[0, 320] = np.nan
    found = pooled(of([broken]))
    assert (found.raw["Loudness"].windows, found.raw["Loudness"].not_scored) == (237, 2)


def test_warm_up_counts_as_normal_in_values_and_by_its_score_in_raw() -> None:
    early = recording("pump-1", 120.0, [(2.0, 4.0)])
    found = pooled(of([early]))
    assert found.raw["Loudness"].auroc == 1.0
    assert found.value["Loudness"].auroc is not None
    assert found.value["Loudness"].auroc < 0.5
    assert found.alerts.detected == 0


def test_fused_scores_need_as_many_votes_as_an_alert() -> None:
    use = ["tests.recorded:Loudness", "tests.recorded:Deaf"]
    one = pooled(evaluate(config(use), {"machines": TWO}))
    both = pooled(evaluate(config(use, alert={"votes": 2}), {"machines": TWO}))
    assert one.fused.auroc is not None
    assert both.fused.auroc is not None
    assert both.fused.auroc < one.fused.auroc
    assert (one.alerts.recall, both.alerts.recall) == (1.0, 0.0)


def test_sensors_of_different_rules_count_for_their_own_detectors() -> None:
    rules = [
        {"match": "pump-1", "use": ["tests.recorded:Loudness"]},
        {"use": ["tests.recorded:Deaf"]},
    ]
    found = pooled(of(TWO, models=rules))
    assert found.raw["Loudness"].windows == found.raw["Deaf"].windows == 239
    assert found.fused.windows == 478
    assert (found.alerts.events, found.alerts.detected) == (3, 1)


def test_a_sensor_that_nothing_was_said_of_still_has_its_missed_events() -> None:
    found = pooled(of(TWO, models=[{"match": "pump-1", "use": ["tests.recorded:Loudness"]}]))
    assert (found.alerts.events, found.alerts.detected) == (3, 1)
    assert found.windows == 239


def test_silence_counts_as_an_alert_but_not_at_the_end_of_a_recording() -> None:
    whole, other = recording("pump-1", 60.0), recording("pump-2", 90.0)
    keep = (whole.time < START + 20) | (whole.time >= START + 30)
    parts = whole.time[keep], whole.data[:, keep], whole.channels
    gone = Recording("pump-1", *parts, None, whole.path)
    alert = {"raise": "2 of 3", "silence": "4s"}
    found = pooled(of([gone, other], [Event("pump-1", START + 20, START + 30)], alert=alert))
    assert (found.alerts.alerts, found.alerts.detected, found.alerts.false_alarms) == (1, 1, 0)
    assert found.alerts.delay_mean == pytest.approx(4.0 - 1 / 16)


def test_a_trained_detector_is_evaluated_next_to_one_that_needs_no_training(
    tmp_path: Path,
) -> None:
    settings = config(["mahalanobis:pumps@production", "tests.recorded:Loudness"])
    settings = settings.model_copy(update={"models": tmp_path})
    train(settings, {"machines": [recording("pump-1", 120.0, start=START - 86400)]})
    found = pooled(evaluate(settings, {"machines": TWO}))
    assert list(found.raw) == ["mahalanobis", "Loudness"]
    assert found.raw["mahalanobis"].auroc == pytest.approx(1.0, abs=0.02)


def test_recordings_without_any_label_are_a_mistake() -> None:
    told = "pump-1.csv: has no labels, nor has any other recording; add a column 'anomaly'"
    with pytest.raises(ConfigError, match=re.escape(told)):
        of([recording(labelled=False)])


def test_the_command_prints_tables_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = write_csv(tmp_path, recording("pump-1", 60.0))
    labels = tmp_path / "faults.csv"
    labels.write_text(f"sensor,start,end,kind\npump-1,{START + 40:.0f},{START + 44:.0f},loud\n")
    run(config(), [path], labels, json_file=tmp_path / "found.json")
    figures = json.loads((tmp_path / "found.json").read_text())
    part = figures["pooled"]["machines"]
    assert part == figures["files"]["machines"][str(path)]
    assert part["events"][0]["event"][:4] == ["pump-1", START + 40, START + 44, "loud"]
    assert {"auroc", "auprc", "vus_pr", "auroc_low", "f1_best", "note"} <= set(
        part["raw"]["Loudness"]
    )
    shown = capsys.readouterr().out
    for told in ("AUROC", "F1 best is an oracle", "machines: alerts", "pooled", "fused"):
        assert told in shown


def test_tables_fit_into_80_columns_and_tell_files_of_one_name_apart(tmp_path: Path) -> None:
    twins = [tmp_path / folder / "0.csv" for folder in ("valve1", "valve2")]
    found = of([recording(f"m{i}", 60.0, [(40, 44)], path=p) for i, p in enumerate(twins)])
    parts = {**found.files["machines"], "pooled": pooled(found)}
    for table in (ranking_table("machines", parts), alerting_table("machines", parts)):
        screen = Console(width=80, file=StringIO(), record=True)
        screen.print(table)
        shown = screen.export_text()
        assert "…" not in shown
        assert "valve1/0.csv" in shown
        assert "valve2/0.csv" in shown


def test_labels_of_other_sensors_are_told(tmp_path: Path) -> None:
    path = write_csv(tmp_path, recording("pump-1", 60.0))
    labels = tmp_path / "faults.csv"
    labels.write_text(f"sensor,start,end\npumpe,{START},{START}\n")
    with pytest.raises(ConfigError, match="labels only 'pumpe', and recorded are 'pump-1'"):
        run(config(), [path], labels)
