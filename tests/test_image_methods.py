"""Every trained detector on the same pictures: sets, figures, the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import ConfigError
from monitor.offline.reproduce import image_methods, image_sets
from monitor.offline.reproduce.image_methods import Job, Options, chosen, measure, of_pixels
from monitor.offline.reproduce.image_sets import ImageSet, conveyor

SIDE = 16


def spots(count: int = 120, bad: int = 30, seed: int = 0) -> ImageSet:
    """Even pictures; the bad ones have a bright spot."""
    random = np.random.default_rng(seed)
    x = random.normal(100, 6, (count + 2 * bad, 1, SIDE, SIDE)).clip(0, 255).astype(np.uint8)
    masks = np.zeros((2 * bad, SIDE, SIDE), np.bool_)
    for n, (row, column) in enumerate(random.integers(2, 11, (bad, 2)).tolist()):
        masks[bad + n, row : row + 3, column : column + 3] = True
    judged = x[count:]
    judged[:, 0][masks] = 200
    classes = ["good"] * bad + ["spot"] * bad
    return ImageSet("conveyor", x[:count], judged, classes, frozenset({"good"}), masks)


def test_a_detector_is_judged_by_pictures_and_by_pixels() -> None:
    found, outcome = measure("dense_ae", spots())
    assert found.auroc is not None
    assert found.auroc > 0.95
    assert found.pixel_auroc is not None
    assert found.pixel_auroc > 0.95
    assert found.frames_per_second
    assert outcome is not None
    assert outcome.scores.shape == (60,)


def test_a_detector_without_heat_maps_has_no_figure_of_pixels() -> None:
    assert measure("knn", spots()).figures.pixel_auroc is None


def test_pixels_of_random_heat_maps_are_ranked_by_chance() -> None:
    masks = spots().masks
    assert masks is not None
    found = of_pixels(np.random.default_rng(0).random(masks.shape, np.float32), masks)
    assert found == pytest.approx(0.5, abs=0.05)
    assert of_pixels(masks.astype(np.float32), masks) == 1.0


def test_a_detector_that_needs_labels_is_refused_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_methods, "SETS", {"conveyor": lambda _: spots()})
    found = image_methods.measured(Job(None, "conveyor", "deviation", 1)).figures
    assert found.auroc is None
    assert "label" in found.refused


def test_a_detector_that_learns_in_the_stream_is_none_that_is_compared() -> None:
    with pytest.raises(ConfigError, match=r"'novelty' is none that is trained; valid are .*pca"):
        chosen(["novelty"])
    assert {"padim", "pca", "conv_ae"} <= set(chosen([]))


def test_pictures_of_the_conveyor_are_apart_and_have_the_pixels_of_their_defects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, count in (("NORMAL", 6), ("BELT_NORMAL", 4), ("BELT_EACH", 2)):
        monkeypatch.setattr(image_sets, name, count)
    images = conveyor(side=32)
    assert images.training.shape == (6, 3, 32, 32)
    assert len(images.judged) == len(images.classes) == 4 + 2 * len(image_sets.PART_DEFECTS)
    assert images.masks is not None
    assert not images.masks[images.truth == 0].any()
    assert images.masks[images.truth == 1].any()
    flat = images.training.reshape(6, -1)
    assert not any((one == flat).all(axis=1).any() for one in images.judged.reshape(-1, 3 * 1024))


def test_thinned_pictures_keep_their_classes_and_masks() -> None:
    images = spots()
    found = images.thinned(4)
    assert len(found.training) == 30
    assert np.array_equal(found.judged, images.judged[::4])
    assert np.array_equal(found.truth, images.truth[::4])
    assert found.masks is not None
    assert len(found.masks) == len(found.judged)


def test_the_command_writes_a_table_figures_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image_methods, "SETS", {"conveyor": lambda _: spots()})
    monkeypatch.setattr(
        image_methods, "side_by_side", lambda work, jobs, _: [work(job) for job in jobs]
    )
    file, scores = tmp_path / "found.json", tmp_path / "scores"
    image_methods.run(None, Options(("pca", "deviation"), 2, file, scores))
    found = json.loads(file.read_text("utf-8"))["conveyor"]
    assert found["pca"]["auroc"] > 0.8
    assert found["deviation"]["refused"]
    lines = (scores / "methods-conveyor.csv").read_text("utf-8").splitlines()
    told = list(csv.DictReader(lines))
    assert len(told) == 30
    assert {line["detector"] for line in told} == {"pca/seed 0"}
    assert "conveyor, simulated" in capsys.readouterr().out
