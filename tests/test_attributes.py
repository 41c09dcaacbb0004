"""Drawn faces, and nets that find glasses on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monitor.offline.reproduce import attributes
from monitor.offline.reproduce.faces import SIDE, face, faces
from monitor.offline.reproduce.image_sets import ImageSet
from monitor.offline.reproduce.mnist import Options


def few() -> ImageSet:
    return faces(150, 20)


def test_glasses_are_where_the_mask_says() -> None:
    bare, none = face(np.random.default_rng(4))
    assert bare.shape == none.shape == (SIDE, SIDE)
    assert not none.any()
    worn, mask = face(np.random.default_rng(4), glasses=True)
    assert 0.02 < mask.mean() < 0.2
    assert worn[mask].mean() < 90


def test_the_same_seed_draws_the_same_faces_and_no_two_are_alike() -> None:
    images, again, other = faces(10, 5), faces(10, 5), faces(10, 5, seed=1)
    assert np.array_equal(images.training, again.training)
    assert not np.array_equal(images.training, other.training)
    assert len(np.unique(images.training.reshape(10, -1), axis=0)) == 10
    assert images.truth.tolist() == [0] * 5 + [1] * 5
    assert images.masks is not None
    assert images.masks.any(axis=(1, 2)).tolist() == [False] * 5 + [True] * 5


def test_the_command_finds_glasses_and_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(attributes, "faces", few)
    monkeypatch.setattr(attributes, "DETECTORS", {"dense_ae": {"epochs": 6}})
    monkeypatch.setattr(attributes, "REPORTED", "dense_ae")
    monkeypatch.setattr(attributes, "side_by_side", lambda work, jobs, _: [work(j) for j in jobs])
    files = tmp_path / "a.json", tmp_path / "scores", tmp_path / "a.html"
    attributes.run(Options(1, *files))
    found = json.loads(files[0].read_text("utf-8"))
    assert found["auroc"] > 0.75
    assert found["pixel_auroc"] > 0.75
    assert found["simulated"] is True
    assert len((files[1] / "attributes.csv").read_text("utf-8").splitlines()) == 41
    assert "data:image/png" in files[2].read_text("utf-8")
    assert "simulated" in capsys.readouterr().out
