"""The report of a run: its figures are those of the evaluation, and every part is there."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from monitor.cli import app
from monitor.connect.recording.reading import Recording
from monitor.errors import ConfigError
from monitor.offline.evaluate import Evaluated, evaluate
from monitor.offline.labels import Event
from monitor.offline.report.command import asked, report
from monitor.offline.report.page import Page, Section, html
from monitor.offline.train import train
from monitor.settings import Config
from tests.recorded import START, config, recording, write_csv
from tests.report_page import Reading, check_pictures, read

HOSTILE = '<img src=x onerror="alert(1)"> & ポンプ $\\frac$'
TINY = {"epochs": 3, "widths": [4], "latent": 4}
FEW = asked(2, 12, "pca")
RUNS = [
    recording("pump-1", 60.0, [(30.0, 34.0)]),
    recording(HOSTILE, 60.0, [(20.0, 22.0)], path=Path("two.csv")),
]
RUNS[0].data[0, 160] = np.nan  # a broken window does no harm


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A trained autoencoder beside a detector that learns in the stream."""
    use = [
        {"detector": "dense_ae:pumps@production", "params": TINY},
        "tests.recorded:Loudness",
    ]
    settings = config(use).model_copy(update={"models": tmp_path_factory.mktemp("models")})
    train(settings, {"machines": [recording("pump-1", 60.0), recording(HOSTILE, 60.0)]})
    return settings


@pytest.fixture(scope="module")
def made(plant: Config) -> tuple[Page, dict[str, Any]]:
    return report(plant, {"machines": RUNS}, None, FEW)


@pytest.fixture(scope="module")
def evaluated(plant: Config) -> Evaluated:
    return evaluate(plant, {"machines": RUNS})


@pytest.fixture(scope="module")
def seen(made: tuple[Page, dict[str, Any]]) -> Reading:
    return read(html(made[0], datetime(2026, 1, 1, tzinfo=UTC)))


def section(page: Page, part: str) -> Section:
    (found,) = (section for section in page.sections if part in section.title)
    return found


def captions(of: Section) -> list[str]:
    return [picture.caption for picture in of.pictures]


def test_every_picture_is_there_and_none_is_blank(seen: Reading) -> None:
    # Curves; histograms of both detectors and fused; timelines of both; losses, four kinds of
    # examples, the scatter.
    assert check_pictures(seen) >= 1 + 3 + 2 + 1 + 4 + 1


def test_the_figures_are_those_of_the_evaluation(
    made: tuple[Page, dict[str, Any]], evaluated: Evaluated, seen: Reading
) -> None:
    part, figures = evaluated.pooled["machines"], made[1]["streams"]["machines"]
    rows = seen.table("AUROC")
    for name, ranking in {**part.raw, "fused": part.fused}.items():
        assert rows[name]["AUROC"] == f"{ranking.auroc:.4f}"
        assert rows[name]["AUPRC"] == f"{ranking.auprc:.4f}"
        assert rows[name]["F1, best (oracle)"] == f"{ranking.f1_best:.4f}"
    assert figures["raw"]["dense_ae"]["auroc"] == part.raw["dense_ae"].auroc
    assert figures["alerts"]["detected"] == part.alerts.detected == 2
    assert seen.table("mean delay s")["all"]["found"] == "2"


def test_the_confusion_is_at_the_thresholds_of_the_stream(
    made: tuple[Page, dict[str, Any]], evaluated: Evaluated, seen: Reading
) -> None:
    counts = made[1]["streams"]["machines"]["at_threshold"]["Loudness"]
    part = evaluated.pooled["machines"]
    assert counts["found"] + counts["missed"] == part.anomalous
    assert sum(counts.values()) == part.windows - part.unknown  # a broken one is not over a cut
    flagged = counts["found"] + counts["false"]
    assert flagged == made[1]["replay"]["flagged"]["Loudness"]
    assert seen.table("missed")["Loudness"]["found"] == str(counts["found"])


def test_a_models_section_shows_its_training_and_its_examples(
    made: tuple[Page, dict[str, Any]],
) -> None:
    own = section(made[0], "dense_ae")
    assert own.title == "dense_ae: pumps, version 1"
    told = " | ".join(captions(own))
    for wanted in ("Loss in training", "Anomalous, highest", "Normal, usual", "rebuilt", "widest"):
        assert wanted in told
    (curve,) = made[1]["streams"]["machines"]["training"]["dense_ae:pumps"]
    assert len(curve["training"]) == 3


def test_every_recording_has_its_timeline(made: tuple[Page, dict[str, Any]]) -> None:
    told = captions(section(made[0], "over time"))
    assert sorted(told) == sorted(
        [
            "pump-1 (pump-1.csv): 1 alerts, 1 labelled events",
            f"{HOSTILE} (two.csv): 1 alerts, 1 labelled events",
        ]
    )


def test_a_hostile_name_of_a_sensor_stays_text(seen: Reading) -> None:
    assert HOSTILE in seen.text
    assert all(source.startswith("data:") for source, _ in seen.pictures)


def test_without_labels_there_are_no_curves_but_the_rest(plant: Config) -> None:
    blind = [recording("pump-1", 60.0, [(30.0, 34.0)], labelled=False)]
    page, figures = report(plant, {"machines": blind}, None, FEW)
    seen = read(html(page, datetime(2026, 1, 1, tzinfo=UTC)))
    assert "Nothing is labelled" in seen.text
    assert "AUROC" not in seen.text
    told = " | ".join(captions(section(page, "dense_ae")))
    assert "Highest scores" in told
    assert "Anomalous" not in told
    assert check_pictures(seen) >= 3 + 1 + 1 + 2 + 1
    assert figures["streams"]["machines"]["fused"]["auroc"] is None


def test_events_from_outside_are_the_truth_and_less_can_be_asked_for(plant: Config) -> None:
    blind = [replace(run, labels=None) for run in RUNS]
    events = [Event("pump-1", START + 30, START + 34), Event(HOSTILE, START + 20, START + 22)]
    page, figures = report(plant, {"machines": blind}, events, asked(1, 1, "tsne"))
    assert figures["streams"]["machines"]["raw"]["Loudness"]["auroc"] == 1.0
    assert len(section(page, "over time").pictures) == 1
    assert section(page, "over time").notes == ["1 of 2 recordings"]
    model = section(page, "dense_ae")
    alts = [picture.alt for picture in model.pictures if "scores (over" in picture.alt]
    assert len(alts) == 4
    assert all(len(alt.rpartition(": ")[2].split(", ")) == 1 for alt in alts)
    assert any("t-SNE" in caption for caption in captions(model))


def test_an_unknown_projection_is_told() -> None:
    with pytest.raises(ConfigError, match="projection is 'umap'; valid are pca, tsne"):
        asked(6, 12, "umap")


def test_the_command_writes_the_page_and_the_figures(plant: Config, tmp_path: Path) -> None:
    runs: list[Recording] = [recording("pump-1", 60.0, [(30.0, 34.0)])]
    file = tmp_path / "plant.yaml"
    sections = plant.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    file.write_text(json.dumps(sections), encoding="utf-8")
    out, figures = tmp_path / "report.html", tmp_path / "report.json"
    given = [
        str(file),
        str(write_csv(tmp_path, runs[0])),
        "--max-examples",
        "1",
        "--out",
        str(out),
        "--json",
        str(figures),
    ]
    found = CliRunner().invoke(app, ["report", *given], catch_exceptions=False)
    assert found.exit_code == 0
    assert read(out.read_text(encoding="utf-8")).headings[0] == "Report of machines"
    assert json.loads(figures.read_text())["streams"]["machines"]["raw"]["Loudness"]["auroc"] == 1.0
