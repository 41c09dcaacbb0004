"""Frames as detectors of rows see them, and what each detector is shown of a frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from monitor.detect import build, view_of
from monitor.errors import ConfigError
from monitor.features import PIXELS, VIEWS, natural, natural_shape, seen, seen_shape
from monitor.features.pixels import SIDE, pixels
from monitor.recipe import Recipe, train
from monitor.types import Array

FRAMES = arrays(
    np.float32,
    array_shapes(min_dims=4, max_dims=4, min_side=1, max_side=40),
    elements=st.floats(-1, 1, width=32),
)


@settings(deadline=None)
@given(FRAMES)
def test_areas_keep_the_mean_of_a_frame_and_see_each_frame_alone(x: Array) -> None:
    found = pixels(x)
    assert found.shape == (len(x), *seen_shape(PIXELS, x.shape[1:]))
    assert np.allclose(found.mean(axis=2), x.mean(axis=(2, 3)), atol=1e-5)
    assert found.min() >= x.min() - 1e-5
    assert found.max() <= x.max() + 1e-5
    alone = np.concatenate([pixels(x[n : n + 1]) for n in range(len(x))])
    assert np.array_equal(found, alone), "to the last bit"


def test_a_small_frame_stays_as_it_is() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 9, 16)).astype(np.float32)
    assert np.array_equal(pixels(x), x.reshape(3, 2, 144))


def test_whole_areas_are_plain_means_and_parted_pixels_count_in_proportion() -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 2 * SIDE, 3 * SIDE)).astype(np.float32)
    wanted = x.reshape(SIDE, 2, SIDE, 3).mean(axis=(1, 3)).ravel()
    assert np.allclose(pixels(x)[0, 0], wanted, atol=1e-6)
    row = np.zeros((1, 1, 1, 24), np.float32)
    row[..., 1] = 1.0  # half in the first area of 1.5 pixels, half in the second
    assert pixels(row)[0, 0, :3] == pytest.approx([1 / 3, 1 / 3, 0])


def test_a_row_of_pixels_lies_where_it_was_in_the_picture() -> None:
    x = np.zeros((1, 1, 64, 64), np.float32)
    x[0, 0, 60, 3] = 1.0
    assert np.unravel_index(pixels(x)[0, 0].argmax(), (SIDE, SIDE)) == (15, 0)


@pytest.mark.parametrize("view", [*VIEWS, PIXELS])
def test_every_view_of_a_frame_has_the_shape_it_says(view: str) -> None:
    x = np.random.default_rng(0).normal(size=(5, 3, 20, 32)).astype(np.float32)
    assert seen(view, x).shape == (5, *seen_shape(view, (3, 20, 32)))


def test_pixels_are_not_for_windows() -> None:
    with pytest.raises(ConfigError, match=r"'pixels'; valid are window, .*; pixels is for frames"):
        seen_shape(PIXELS, (3, 64))
    with pytest.raises(ConfigError, match=r"'pixls'; valid are window, .*, pixels$"):
        seen_shape("pixls", (3, 8, 8))


def test_examples_of_frames_get_their_sides_and_others_stay() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 1, 12)
    assert np.array_equal(natural(x, {"frame": [3, 4]}), x.reshape(2, 1, 3, 4))
    assert natural(x, {}) is x
    assert natural_shape((1, 12), {"frame": [3, 4]}) == (1, 3, 4)
    assert natural_shape((1, 12), {}) == (1, 12)


def test_nets_see_the_whole_frame_and_detectors_of_rows_its_pixels() -> None:
    assert view_of("conv_ae", {}, frames=True) == "window"
    for name in ("knn", "mahalanobis", "iforest", "patch_memory", "flow"):
        assert view_of(name, {}, frames=True) == PIXELS, name
        assert view_of(name, {}) != PIXELS, name
    assert view_of("knn", {"view": "statistics"}, frames=True) == "statistics"
    assert view_of("novelty", {}, frames=True) == "mean"


def test_a_detector_of_rows_is_trained_on_frames_and_scores_them() -> None:
    random = np.random.default_rng(0)
    frames = random.normal(128, 8, (120, 1, 24 * 20)).astype(np.float32).clip(0, 255)
    recipe = Recipe("pca", "small", (1, 480), ("gray",), 1.0, front={"frame": [24, 20]})
    model = train(recipe, {"camera": frames[:100]})
    assert model.detector.shape == (1, 256)
    broken = frames[100:].copy()
    broken.reshape(-1, 24, 20)[:, 4:9, 3:8] = 255
    constants = np.repeat(model.group[None], 20, axis=0)
    assert model.score(broken, constants).min() > model.score(frames[100:], constants).max()


@pytest.mark.parametrize("name", ["novelty", "neighbours", "online_iforest"])
def test_what_learns_in_the_stream_takes_what_it_is_shown_of_frames(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(300, 1, 20, 24)).astype(np.float32)
    view = view_of(name, {}, frames=True)
    detector = build(name, seen_shape(view, x.shape[1:]))
    cut = np.full(1, np.inf, np.float32)
    scores = [
        detector.score_learn(np.zeros(1, np.int64), seen(view, x[n : n + 1]), cut)[0]
        for n in range(len(x))
    ]
    assert np.isfinite(scores[-1])


def test_an_ensemble_shows_each_member_of_frames_what_it_sees_of_them() -> None:
    random = np.random.default_rng(0)
    x = random.normal(0, 0.1, (80, 1, 12, 10)).astype(np.float32)
    detector = build("ensemble", (1, 12, 10), members=["pca", {"detector": "knn"}])
    detector.fit(x)
    broken = x.copy()
    broken[:, :, 3:6, 3:6] += 1
    assert detector.score(broken).min() > detector.score(x).max()
    assert [member.view for member in build("ensemble", (1, 12, 10)).members] == [PIXELS] * 3
