"""What detectors make of an example, and where they put it: in its own units, each by itself."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from monitor.detect import build
from monitor.errors import ModelError
from monitor.features.scaling import fit_scaling, scale, unscale
from monitor.model import Model
from monitor.protocols import Embedder, Rebuilding
from monitor.recipe import Recipe, train
from monitor.types import Array

SHAPE = (2, 32)
TINY = {"epochs": 15, "widths": [16], "latent": 4, "batch": 16}
REBUILDING = ("conv_ae", "dense_ae", "vae", "masked_ae")
EMBEDDING = ("conv_ae", "dense_ae", "vae", "deep_svdd", "deep_sad")


def waves(count: int = 160, seed: int = 0) -> Array:
    """Sines of any phase, far from 0 and in other units: `(count, 2, 32)`."""
    random = np.random.default_rng(seed)
    angle = random.uniform(0, 2 * np.pi, (count, 1, 1)) + np.arange(32) * np.pi / 8
    noise = 0.05 * random.standard_normal((count, *SHAPE))
    scaled = np.sin(angle + np.array([[0.0], [1.0]])) + noise
    return np.asarray(500 + 30 * scaled, np.float32)


@cache
def tiny(detector: str) -> Model:
    """Trained a little, once for all tests."""
    return trained(detector, **TINY)


def trained(detector: str, **params: Any) -> Model:
    recipe = Recipe(detector, "pumps", SHAPE, ("x", "y"), 16.0, params)
    return train(recipe, {"a": waves()})


def constants_for(model: Model, count: int) -> Array:
    return np.repeat(model.group[None], count, axis=0)


@pytest.mark.parametrize("name", REBUILDING)
def test_what_a_model_rebuilds_is_like_what_it_was_given(name: str) -> None:
    model, x = tiny(name), waves(20, seed=1)
    assert isinstance(model.detector, Rebuilding)
    rebuilt = model.rebuilt(x, constants_for(model, len(x)))
    assert rebuilt is not None
    assert rebuilt.shape == x.shape
    assert np.square(rebuilt - x).mean() < 0.35 * x.var()


@pytest.mark.parametrize("name", ["conv_ae", "dense_ae"])
def test_the_score_is_the_error_of_what_is_rebuilt(name: str) -> None:
    model = tiny(name)
    x = np.random.default_rng(5).standard_normal((30, *SHAPE)).astype(np.float32)
    detector: Any = model.detector
    errors = np.square(detector.rebuild(x) - x).mean(axis=2) @ detector.state()["weight"]
    assert detector.score(x) == pytest.approx(errors, rel=1e-4)


@pytest.mark.parametrize("name", EMBEDDING)
def test_like_examples_lie_closer_than_others(name: str) -> None:
    model = tiny(name)
    x = waves(12, seed=2)
    nearly = x + 0.3
    assert isinstance(model.detector, Embedder)
    places, near = (model.embedded(e, constants_for(model, len(x))) for e in (x, nearly))
    assert places is not None
    assert near is not None
    assert places.shape == (12, 4)
    own = np.linalg.norm(places - near, axis=1)
    others = np.linalg.norm(places[:, None] - near[None], axis=2)
    assert own.mean() < 0.3 * others.mean()


def test_a_view_is_not_rebuilt_but_a_window_is() -> None:
    model = trained("dense_ae", view="shape", **TINY)
    assert model.rebuilt(waves(3), constants_for(model, 3)) is None
    assert model.embedded(waves(3), constants_for(model, 3)) is not None


def test_a_detector_that_does_neither_gives_none() -> None:
    model = trained("mahalanobis")
    assert model.rebuilt(waves(3), constants_for(model, 3)) is None
    assert model.embedded(waves(3), constants_for(model, 3)) is None


@pytest.mark.parametrize("name", REBUILDING)
def test_frames_are_rebuilt_in_the_range_of_pixels(name: str) -> None:
    frames = np.random.default_rng(0).uniform(100, 150, (60, 1, 8 * 12)).astype(np.float32)
    front = {"frame": [8, 12], "color": "gray", "region": [0, 0, 1, 1]}
    params = {"epochs": 1, "latent": 2}
    recipe = Recipe(name, "belt", (1, 96), ("gray",), 1.0, params, front)
    model = train(recipe, {"cam": frames})
    rebuilt = model.rebuilt(frames[:3], constants_for(model, 3))
    assert rebuilt is not None
    assert rebuilt.shape == (3, 1, 96)
    assert 60 < rebuilt.mean() < 190


def test_nothing_is_rebuilt_before_training() -> None:
    detector = build("conv_ae", SHAPE)
    with pytest.raises(ModelError, match="no weights yet"):
        detector.rebuild(np.zeros((1, *SHAPE), np.float32))


def test_scaling_is_undone() -> None:
    x = waves(10)
    constants = np.repeat(fit_scaling(x)[None], len(x), axis=0)
    assert unscale(scale(x, constants), constants) == pytest.approx(x, abs=1e-3)
