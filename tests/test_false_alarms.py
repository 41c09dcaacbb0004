"""The study of false alarms: what it simulates, what it counts, what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from monitor.alerting import ThresholdConfig
from monitor.cli import app
from monitor.errors import ConfigError
from monitor.offline.false_alarms import (
    CONTAMINATION,
    FAULTS,
    Found,
    Options,
    Scored,
    draw,
    play,
    read_nab,
    simulated,
    table,
)

SMALL = Options(seeds=1, samples=8000, sensors=4)


@pytest.mark.parametrize("faults", FAULTS)
def test_simulations_are_the_same_for_the_same_seed_and_have_the_share_of_faults(
    faults: str,
) -> None:
    options = Options(seeds=1, samples=200_000, sensors=4)
    one, again, other = (simulated(faults, options, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.scores, again.scores)
    assert not np.array_equal(one.scores, other.scores)
    assert one.scores.shape == (50_000, 4)
    share = 0 if faults == "none" else CONTAMINATION
    assert one.anomalous.mean() == pytest.approx(share, abs=0.01)
    assert (one.scores[one.anomalous] > 1).all()


def test_neighbouring_scores_are_alike_and_their_scale_drifts() -> None:
    scores = simulated("none", SMALL, 1).scores
    pairs = np.corrcoef(scores[:-1].ravel(), scores[1:].ravel())
    assert pairs[0, 1] > 0.4
    assert scores[-500:].mean() > 1.1 * scores[:500].mean()


def test_only_normal_windows_outside_of_alerts_count_as_false() -> None:
    scores = np.full((200, 1), 0.5, np.float32)
    scores[100] = scores[150:] = 9
    anomalous = np.zeros(scores.shape, np.bool_)
    anomalous[150:] = True
    settings = ThresholdConfig(warm_up=50)
    false_rate, found = play(Scored(scores, anomalous, None), settings)
    assert false_rate == pytest.approx(1 / 100)
    assert found == 1.0
    rate_of_all, _ = play(Scored(scores, np.zeros_like(anomalous), None), settings)
    assert rate_of_all == pytest.approx(4 / 103), "three raise the alert, the rest is in it"


def test_the_worst_seed_is_the_farthest_from_the_target_either_way() -> None:
    each = Found("made", "percentile", 0.01, (1.5, 0.5, 1.0), 1.0)
    assert each.worst == 0.5
    assert each.mean == 1.0


def nab(folder: Path) -> Path:
    """Two series, one of them with a labelled window."""
    (folder / "labels").mkdir()
    (folder / "data" / "kind").mkdir(parents=True)
    for name in ("a", "b"):
        rows = [f"2024-01-01 00:{i:02d}:00,{float(i % 7)}" for i in range(60 - 10 * (name == "b"))]
        (folder / "data" / "kind" / f"{name}.csv").write_text("\n".join(["timestamp,value", *rows]))
    windows = {"kind/a.csv": [["2024-01-01 00:10:00", "2024-01-01 00:19:00"]], "kind/b.csv": []}
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    return folder


def test_recorded_series_are_the_steps_between_values_with_their_windows(tmp_path: Path) -> None:
    found = read_nab(nab(tmp_path))
    assert found.scores.shape == (60, 2)
    assert found.scores[1:8, 0].tolist() == [1, 1, 1, 1, 1, 1, 6]
    assert np.flatnonzero(found.anomalous[:, 0]).tolist() == list(range(10, 20))
    assert np.isnan(found.scores[50:, 1]).all()
    assert not found.anomalous[:, 1].any()


def test_a_folder_of_something_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not the NAB's data and labels"):
        read_nab(tmp_path)


def test_the_table_names_every_figure_and_the_figure_is_drawn(tmp_path: Path) -> None:
    rows = [Found("made", "percentile", rate, (1.25, 0.75), 0.5) for rate in (0.01, 0.001)]
    console = Console(record=True, width=120)
    console.print(table(rows))
    told = console.export_text()
    assert "1.00" in told
    assert "0.75" in told
    draw(rows, tmp_path / "made.png")
    assert (tmp_path / "made.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="cannot be written"):
        draw(rows, tmp_path / "nowhere" / "made.png")


def test_the_command_writes_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    words = ["false-alarms", "--seeds", "1", "--samples", "2000", "--json", str(out)]
    assert CliRunner().invoke(app, words).exit_code == 0
    written = json.loads(out.read_text())
    assert written["options"]["samples"] == 2000
    assert {row["nominal"] for row in written["figures"]} == {0.01, 0.001}
    assert len(written["figures"]) == 3 * 2 * 4
