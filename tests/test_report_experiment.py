"""The page of an experiment: what it shows is what was given, and nothing given can break it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from monitor.errors import ConfigError
from monitor.offline import report
from monitor.offline.report import Page, Section, Shot, Table
from monitor.offline.report.experiments import examples_picture
from monitor.offline.report.page import html
from tests.report_page import Reading, check_pictures, read

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RANDOM = np.random.default_rng(3)
ONES, NINES = RANDOM.gamma(4, 1, 200), RANDOM.gamma(9, 1, 100)


def page_of(*sections: Section) -> Reading:
    return read(html(Page("MNIST", sections, [("seed", "1")]), NOON))


def shots(shape: tuple[int, ...], heat: tuple[int, ...] | None = None) -> list[Shot]:
    def some(size: tuple[int, ...]) -> Any:
        return RANDOM.uniform(0, 255, size).astype(np.float32)

    return [
        Shot(some(shape), float(place), f"{place}", some(shape), some(heat) if heat else None, 1.0)
        for place in range(3)
    ]


def test_the_figures_are_those_of_the_scores() -> None:
    found = page_of(report.experiment("dense", {"1": ONES, "9": NINES}, 8.0, normal=["1"]))
    truth, scores = np.repeat([0, 1], [200, 100]), np.concatenate([ONES, NINES])
    told = found.table("AUROC")["dense"]
    assert told["AUROC"] == f"{roc_auc_score(truth, scores):.4f}"
    assert told["AUPRC"] == f"{average_precision_score(truth, scores):.4f}"
    counts = found.table("missed")["dense"]
    assert int(counts["found"]) == (NINES > 8).sum()
    assert int(counts["missed"]) == (NINES <= 8).sum()
    assert int(counts["false"]) == (ONES > 8).sum()
    assert int(counts["right"]) == (ONES <= 8).sum()
    assert found.table("over the cut")["9"]["over the cut"] == f"{(NINES > 8).mean():.2%}"
    assert check_pictures(found) == 2


def test_every_class_that_is_not_normal_is_anomalous() -> None:
    scores = {"1": ONES, "2": ONES, "9": NINES}
    found = page_of(report.experiment("dense", scores, None, normal=["1", "2"]))
    assert found.table("AUROC")["dense"]["anomalous"] == "100"


@pytest.mark.parametrize(
    ("shape", "heat", "kind"),
    [
        ((1, 28, 28), (28, 28), "frame"),
        ((3, 20, 30), None, "frame"),
        ((16, 40), (16, 40), "sound"),
        ((3, 60), (3, 60), "window"),
        ((1, 60), None, "window"),
    ],
)
def test_examples_of_any_kind_are_drawn(
    shape: tuple[int, ...], heat: tuple[int, ...] | None, kind: Any
) -> None:
    drawn = examples_picture(shots(shape, heat), kind, "Three examples")
    assert ("heat map" in drawn.caption) == (heat is not None)
    assert check_pictures(page_of(Section("net", pictures=[drawn]))) == 1


def test_an_experiment_shows_its_examples() -> None:
    rows = shots((1, 28, 28))
    part = report.experiment("net", {"1": ONES, "9": NINES}, 8.0, normal=["1"], rows=rows)
    assert [picture.caption for picture in part.pictures][-1].startswith("Examples")


def test_one_sided_scores_have_no_curves_but_a_note() -> None:
    found = page_of(report.experiment("net", {"1": ONES}, 8.0, normal=["1"]))
    assert found.table("AUROC")["net"]["AUROC"] == "-"
    assert "all windows are normal" in found.text
    assert check_pictures(found) == 1


def test_scores_that_are_not_finite_or_constant_or_none_do_no_harm() -> None:
    odd = {"a": np.array([np.nan, np.inf, 1.0]), "b": np.full(5, 2.0), "c": np.empty(0)}
    found = page_of(report.experiment("net", odd, 1.5, normal=["a"]))
    assert found.table("over the cut")["c"]["mean"] == "-"
    assert check_pictures(found) == 2


def test_a_normal_class_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"normal classes \['7'\]: valid are 1, 9"):
        report.experiment("net", {"1": ONES, "9": NINES}, 8.0, normal=["7"])


def test_the_same_scores_make_the_same_page() -> None:
    one, other = (
        html(Page("a", [report.experiment("n", {"1": ONES, "9": NINES}, 8.0, normal=["1"])]), NOON)
        for _ in range(2)
    )
    assert one == other


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1))
def test_no_name_can_break_the_page(name: str) -> None:
    section = Section(name, [name], [Table(name, ["", name], [(name, name)])])
    found = read(html(Page(name, [section] * 3, [(name, name)]), NOON))
    assert found.headings == [name] * 4
    assert found.tables[0][1] == [name, name]


def test_hostile_names_stay_text() -> None:
    name = '</style><script>alert(1)</script><img src="http://evil/x.png" onerror=x>'
    found = page_of(report.experiment(name, {name: ONES, "$x^$": NINES}, 8.0, normal=[name]))
    assert found.headings[-1] == name
    assert check_pictures(found) == 2


def test_a_page_is_written_into_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    report.write(path, Page("all", [report.experiment("n", {"1": ONES}, None, normal=["1"])]))
    assert read(path.read_text(encoding="utf-8")).headings == ["all", "n"]


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        report.write(tmp_path / "file" / "report.html", Page("all", []))
