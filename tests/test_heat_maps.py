"""Heat maps of nets that rebuild: where an error lies, in the units of the score."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from monitor.detect import build
from monitor.detect.deep.heat import heat, smoothed
from monitor.detect.ensemble import Ensemble
from monitor.protocols import Localiser
from monitor.types import Array
from tests.plates import SIDE, plates, scratched

FRAME, WINDOW = (1, SIDE, SIDE), (2, 40)
QUICK: dict[str, dict[str, Any]] = {
    "conv_ae": {"epochs": 6},
    "dense_ae": {"epochs": 6},
    "gan": {"epochs": 10},
    "masked_ae": {"epochs": 4},
    "vae": {"epochs": 6},
}
NETS = sorted(QUICK)
each_net = pytest.mark.parametrize("name", NETS)


def waves(count: int, seed: int = 0) -> Array:
    """Two channels with one wave of any phase, and noise: `(count, *WINDOW)`."""
    random = np.random.default_rng(seed)
    time = np.arange(WINDOW[1]) / 4 + random.uniform(0, 6.28, (count, 1, 1))
    wave = np.concatenate([np.sin(time), np.cos(time)], axis=1)
    return np.asarray(wave + random.normal(0, 0.1, wave.shape), np.float32)


@cache
def trained(name: str, shape: tuple[int, ...]) -> Any:
    detector = build(name, shape, batch=16, learning_rate=4e-3, **QUICK[name])
    detector.fit(plates(150) if shape == FRAME else waves(150))
    return detector


@each_net
def test_a_map_has_the_sides_of_the_frame_or_window_and_is_never_below_zero(name: str) -> None:
    for shape, x, sides in ((FRAME, plates(5), FRAME[1:]), (WINDOW, waves(5), WINDOW)):
        detector = trained(name, shape)
        assert isinstance(detector, Localiser)
        maps = detector.heat_maps(x)
        assert maps.shape == (5, *sides)
        assert maps.dtype == np.float32
        assert np.isfinite(maps).all()
        assert (maps >= 0).all()
        assert detector.heat_maps(x[:0]).shape == (0, *sides)


@each_net
def test_the_pixels_of_a_scratch_are_hotter_than_others(name: str) -> None:
    x, mask = scratched(plates(40, seed=9))
    maps = trained(name, FRAME).heat_maps(x)
    assert roc_auc_score(mask.ravel(), maps.ravel()) > 0.8


@each_net
def test_the_stretch_of_a_window_that_is_stuck_is_hotter_than_the_rest(name: str) -> None:
    x = waves(40, seed=9)
    x[:, 1, 10:16] = 2.5
    maps = trained(name, WINDOW).heat_maps(x)
    mask = np.zeros(WINDOW, bool)
    mask[1, 10:16] = True
    assert maps[:, mask].mean() > 2 * maps[:, ~mask].mean()


@each_net
def test_an_example_has_the_same_map_in_any_company(name: str) -> None:
    detector, x = trained(name, FRAME), plates(6, seed=3)
    alone = np.concatenate([detector.heat_maps(x[n : n + 1]) for n in range(6)])
    np.testing.assert_allclose(detector.heat_maps(x), alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["conv_ae", "dense_ae"])
def test_the_mean_of_a_windows_map_is_its_score(name: str) -> None:
    detector, x = trained(name, WINDOW), waves(20, seed=4)
    np.testing.assert_allclose(detector.heat_maps(x).mean((1, 2)), detector.score(x), rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(4, 20), st.integers(4, 20), st.integers(0, 9))
def test_smoothing_keeps_the_middle_of_an_even_map_and_what_lies_inside_in_sum(
    count: int, height: int, width: int, seed: int
) -> None:
    even = torch.full((count, height, width), 0.7)
    torch.testing.assert_close(smoothed(even), even)
    spot = torch.zeros(count, height + 8, width + 8)
    spot[:, 4:-4, 4:-4] = torch.rand(
        count, height, width, generator=torch.Generator().manual_seed(seed)
    )
    found = smoothed(spot)
    torch.testing.assert_close(found.sum((1, 2)), spot.sum((1, 2)), rtol=1e-4, atol=1e-4)
    assert (found >= 0).all()
    assert found.max() <= spot.max() + 1e-6


def test_a_channel_counts_in_a_map_as_it_counts_in_the_score() -> None:
    errors, weight = torch.ones(1, 2, 4, 4), torch.tensor([1.0, 3.0])
    torch.testing.assert_close(heat(errors, weight), torch.full((1, 4, 4), 4.0))
    windows = heat(torch.ones(1, 2, 5), weight)
    torch.testing.assert_close(windows, torch.tensor([2.0, 6.0])[None, :, None].expand(1, 2, 5))


# --- ensembles ------------------------------------------------------------------------------


def quick(name: str) -> dict[str, Any]:
    return {"detector": name, "params": {**QUICK[name], "batch": 16, "learning_rate": 4e-3}}


def test_an_ensemble_shows_the_map_of_its_surest_member() -> None:
    together = Ensemble(WINDOW, members=["mahalanobis", quick("dense_ae"), quick("vae")])
    together.fit(waves(150))
    assert isinstance(together, Localiser)
    x = waves(30, seed=9)
    x[::2, 1, 10:16] = 2.5
    able = together.members[1:]
    surest = np.argmax([member.surprise(x) for member in able], axis=0)
    maps = together.heat_maps(x)
    for n in range(30):
        expected = able[surest[n]].detector.heat_maps(x[n : n + 1])[0]
        np.testing.assert_allclose(maps[n], expected, rtol=1e-3, atol=1e-5)


def test_an_ensemble_of_members_without_maps_has_none() -> None:
    assert not isinstance(Ensemble(WINDOW), Localiser)
    of_a_view = {"detector": "dense_ae", "params": {"view": "statistics"}}
    assert not isinstance(Ensemble(WINDOW, members=[of_a_view]), Localiser)
