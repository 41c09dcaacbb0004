"""The experiment on digits: its data, its cut, its figures, and that nets do tell 1s from 9s."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from monitor.errors import ConfigError
from monitor.offline.measures import ranking
from monitor.offline.reproduce import mnist
from monitor.offline.reproduce.image_sets import ImageSet, Pixels, digits_of
from monitor.offline.reproduce.image_trials import (
    Outcome,
    Trial,
    cut_of,
    figures,
    spread,
    trained,
    tried,
)

SIDE = 12


def strokes(count: int, seed: int, *, ring: bool = False) -> Pixels:
    """Upright strokes, like 1s; with a ring at the top, like 9s."""
    random = np.random.default_rng(seed)
    x = random.integers(0, 30, (count, 1, SIDE, SIDE), np.uint8)
    for n, place in enumerate(random.integers(5, 8, count).tolist()):
        x[n, 0, 2:11, place] = 230
        if ring:
            x[n, 0, 2:6, place - 3 : place + 1] = 230
            x[n, 0, 3:5, place - 2 : place] = 10
    return x


def small() -> ImageSet:
    judged = np.concatenate([strokes(60, 1), strokes(40, 2, ring=True)])
    return ImageSet("small", strokes(260, 0), judged, ["1"] * 60 + ["9"] * 40, frozenset({"1"}))


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return tried(Trial("dense_ae", {"epochs": 8, **mnist.CLEAN}, 0), small())[1]


def test_a_net_that_knows_ones_tells_nines(outcome: Outcome) -> None:
    found = figures(small(), outcome)
    assert found["auroc"] > 0.98
    assert found["f1_at_cut"] > 0.9
    chance = outcome._replace(scores=np.random.default_rng(0).random(100).astype(np.float32))
    assert figures(small(), chance)["auroc"] < 0.7


def test_the_cut_comes_from_held_out_normals_and_no_image_that_is_judged() -> None:
    model = trained("pca", {}, strokes(200, 0))
    other = trained("pca", {}, strokes(200, 0))
    assert cut_of(model) == cut_of(other)
    assert np.quantile(model.calibration, 0.98) <= cut_of(model) <= max(model.calibration)


def test_an_order_of_its_own_comes_with_each_seed() -> None:
    found = [tried(Trial("pca", {}, seed), small())[1].cut for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_figures_are_those_of_the_scores(outcome: Outcome) -> None:
    images = small()
    found = figures(images, outcome)
    flagged = outcome.scores > outcome.cut
    right = (flagged & (images.truth == 1)).sum()
    assert found["recall_at_cut"] == pytest.approx(right / 40)
    assert found["false_alarm_rate_at_cut"] == pytest.approx((flagged.sum() - right) / 60)
    assert found["f1_at_cut"] == pytest.approx(2 * right / (flagged.sum() + 40))
    assert found["auroc"] == ranking(images.truth, outcome.scores).auroc


def test_a_spread_has_mean_and_both_ends() -> None:
    found = spread([{"auroc": 0.9}, {"auroc": 1.0}])["auroc"]
    assert found == pytest.approx({"mean": 0.95, "sd": 0.05, "least": 0.9, "most": 1.0})


def _idx(x: Pixels) -> bytes:
    return bytes([0, 0, 8, x.ndim]) + np.array(x.shape, ">i4").tobytes() + x.tobytes()


def test_digits_come_from_the_files_of_the_archive(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "mnist.tgz"
    parts = {"train": np.array([1, 5, 1, 9], np.uint8), "t10k": np.array([9, 1, 3], np.uint8)}
    pictures = {k: random.integers(0, 256, (len(y), 3, 2), np.uint8) for k, y in parts.items()}
    with tarfile.open(path, "w:gz") as tar:
        for part, y in parts.items():
            for name, content in (("images-idx3", pictures[part]), ("labels-idx1", y)):
                info = tarfile.TarInfo(f"package/data/{part}-{name}-ubyte")
                told = _idx(content)
                info.size = len(told)
                tar.addfile(info, io.BytesIO(told))
    found = digits_of(path)
    assert np.array_equal(found.training[:, 0], pictures["train"][[0, 2]])
    assert np.array_equal(found.judged[:, 0], pictures["t10k"][[0, 1]])
    assert list(found.classes) == ["9", "1"]
    assert found.truth.tolist() == [1, 0]


def test_an_archive_that_is_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mnist.tgz"
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(ConfigError, match="train-images-idx3-ubyte"):
        digits_of(path)


def _small(_: Path | None) -> ImageSet:
    return small()


def test_the_command_writes_figures_scores_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mnist, "digits", _small)
    monkeypatch.setattr(mnist, "DETECTORS", {"dense_ae": {"epochs": 3}, "conv_ae": {"epochs": 1}})
    monkeypatch.setattr(mnist, "side_by_side", lambda work, jobs, _: [work(job) for job in jobs])
    files = tmp_path / "m.json", tmp_path / "scores", tmp_path / "m.html"
    mnist.run(None, mnist.Options(2, *files))
    found = json.loads(files[0].read_text("utf-8"))
    assert found["auroc"] == found["detectors"][found["detector"]]["auroc"]["mean"] > 0.9
    assert found["f1_at_cut"] == found["detectors"][found["detector"]]["f1_at_cut"]["mean"]
    assert found["seeds"] == 2
    assert found["seconds"] > 0
    rows = list(csv.DictReader((files[1] / "mnist.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 2 * 2 * 100
    assert {row["label"] for row in rows if row["item"].endswith("/9")} == {"1"}
    assert "data:image/png" in files[2].read_text("utf-8")
    assert "images by score" in capsys.readouterr().out


def test_a_histogram_counts_every_image(outcome: Outcome) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(mnist.histogram(small(), outcome))
    text = console.export_text()
    assert text.count(" cut ") == 1
    assert "#" * mnist._WIDEST in text
