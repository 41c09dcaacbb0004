"""The losses of training: told by the loop, kept with the model, shown by nobody else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from monitor.connect.store import ModelStore
from monitor.detect import build, curves
from monitor.notation import Reference
from monitor.recipe import Recipe, train
from monitor.types import Array, Curve

SHAPE = (2, 16)
TINY = {"epochs": 4, "widths": [4], "latent": 2, "patience": 9}


def windows(seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((80, *SHAPE)).astype(np.float32)


def recipe(detector: str, **params: object) -> Recipe:
    return Recipe(detector, "pumps", SHAPE, ("x", "y"), 16.0, params)


def test_a_net_tells_its_loss_after_each_epoch() -> None:
    detector = build("conv_ae", SHAPE, **TINY)
    with curves.heard() as found:
        detector.fit(windows())
    (curve,) = found
    assert len(curve.training) == len(curve.held_out) == 4
    first, last = curve.training[0], curve.training[-1]
    assert first is not None
    assert last is not None
    assert last < first
    assert min(loss for loss in curve.held_out if loss is not None) == detector.metrics["loss"]


def test_a_trained_model_keeps_its_curve_in_the_store(tmp_path: Path) -> None:
    model = train(recipe("conv_ae", **TINY), {"a": windows()})
    ModelStore(tmp_path).publish(model)
    kept = ModelStore(tmp_path).load(Reference("conv_ae", "pumps", "production")).manifest
    assert kept.history == model.manifest.history
    assert [len(curve.training) for curve in kept.history] == [4]


def test_a_model_file_from_before_there_were_curves_is_read(tmp_path: Path) -> None:
    ModelStore(tmp_path).publish(train(recipe("conv_ae", **TINY), {"a": windows()}))
    path = tmp_path / "conv_ae" / "pumps" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("history")
    path.write_text(json.dumps(manifest))
    kept = ModelStore(tmp_path).load(Reference("conv_ae", "pumps", "production"))
    assert kept.manifest.history == ()


def test_a_detector_without_a_net_has_no_curve() -> None:
    assert train(recipe("mahalanobis"), {"a": windows()}).manifest.history == ()


def test_curves_do_not_change_a_models_identity() -> None:
    one, other = (train(recipe("conv_ae", **TINY), {"a": windows()}).manifest for _ in range(2))
    assert one.fingerprint == other.fingerprint


def test_who_listens_inside_hears_alone() -> None:
    with curves.heard() as outside:
        curves.tell([1.0], [2.0])
        with curves.heard() as inside:
            curves.tell([3.0], [4.0])
    curves.tell([5.0], [6.0])
    assert outside == [Curve((1.0,), (2.0,))]
    assert inside == [Curve((3.0,), (4.0,))]


def test_a_loss_that_is_not_finite_is_none() -> None:
    with curves.heard() as found:
        curves.tell([float("nan"), 1.0], [float("inf"), 2.0])
    assert found == [Curve((None, 1.0), (None, 2.0))]


def test_metric_learning_tells_its_loss_too() -> None:
    detector = build("l2_softmax", SHAPE, epochs=3, widths=[4], latent=2)
    x = np.concatenate([windows(), windows(1) + 3, windows(2) - 3])
    with curves.heard() as found:
        detector.fit(x, np.repeat(np.array([-1, 2, 3], np.float32), 80))
    (curve,) = found
    assert len(curve.training) == 3
    assert curve.training[-1] == detector.metrics["loss"]
    assert detector.embed(x[:5]).shape[0] == 5
