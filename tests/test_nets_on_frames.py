"""Nets on frames and spectrograms: sizes that fit, promises kept, defects found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from monitor.detect import build
from monitor.detect.deep import onnx_backend
from monitor.detect.deep.augment import shifts_called
from monitor.detect.deep.dense import usual_widths as dense_widths
from monitor.detect.deep.sizes import Shrink, shrink_to, usual_training, usual_widths
from monitor.detect.deep.turns import TURNS, kept_frames, turned_places
from monitor.errors import ConfigError
from monitor.testing import check_detector
from tests.plates import SIDE, plates, scratched, without_hole

QUICK: dict[str, dict[str, Any]] = {
    "conv_ae": {"epochs": 2},
    "contrastive": {"epochs": 1, "latent": 8, "memory": 8},
    "deep_sad": {"epochs": 1},
    "deep_svdd": {"epochs": 1},
    "deviation": {"epochs": 3},
    "dense_ae": {"epochs": 1},
    "flow": {"epochs": 1, "view": "window"},
    "masked_ae": {"epochs": 1},
    "vae": {"epochs": 1},
}
NETS = sorted(QUICK)
FRAMES = [(1, 28, 28), (3, 64, 64), (3, 128, 96), (3, 224, 224)]
sides = st.integers(4, 40)


@pytest.mark.parametrize("shape", [(2, 16, 18), (16, 9)])
@pytest.mark.parametrize("name", NETS)
def test_a_net_keeps_its_promises_on_frames_and_spectrograms(
    name: str, shape: tuple[int, ...]
) -> None:
    check_detector(lambda: build(name, shape, **{"batch": 16, **QUICK[name]}))


@pytest.mark.parametrize("shape", FRAMES)
@pytest.mark.parametrize("name", NETS)
def test_a_net_of_default_size_fits_frames_of_all_sizes(name: str, shape: tuple[int, ...]) -> None:
    net = build(name, shape).net
    weights = sum(weight.numel() for weight in net.parameters())
    assert weights < 40_000_000
    with torch.inference_mode():
        parts = net(torch.zeros(1, *shape))
    assert parts.shape[0] == 1
    assert torch.isfinite(parts).all()


@pytest.mark.parametrize("name", NETS)
def test_onnx_runtime_gives_of_frames_what_torch_gives(name: str) -> None:
    net = build(name, (3, 20, 70)).net
    x = torch.randn(3, 3, 20, 70, generator=torch.Generator().manual_seed(0))
    program = onnx_backend.OnnxProgram(net, tuple(x.shape))
    with torch.inference_mode():
        expected = net(x).numpy()
    np.testing.assert_allclose(program(x.numpy()), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["conv_ae", "deep_svdd", "contrastive"])
def test_a_frame_that_no_net_can_use_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"\(channels, height, width\) with at least 4"):
        build(name, (3, 2, 200))


# --- what is found ------------------------------------------------------------------------

FOUND = [  # the least area under the ROC curve, of scratches and of missing holes
    ("conv_ae", {"epochs": 8}, 0.85, 0.95),
    ("contrastive", {"epochs": 3, "batch": 16}, 0.55, 0.9),
    ("dense_ae", {"epochs": 8}, 0.9, 0.95),
    ("deep_svdd", {"epochs": 6}, 0.85, 0.95),
    ("flow", {"epochs": 2}, 0.75, 0.9),
    ("masked_ae", {"epochs": 8}, 0.75, 0.9),
    ("vae", {"epochs": 8}, 0.9, 0.95),
]


@pytest.mark.parametrize(("name", "params", "scratches", "holes"), FOUND)
def test_a_scratch_and_a_missing_hole_are_found(
    name: str, params: dict[str, Any], scratches: float, holes: float
) -> None:
    detector = build(name, (1, SIDE, SIDE), **{"batch": 16, "learning_rate": 4e-3, **params})
    detector.fit(plates(150))
    normal, faulty = detector.score(plates(60, seed=9)), scratched(plates(60, seed=10))[0]
    labels = np.repeat([0, 1], 60)
    for x, least in ((faulty, scratches), (without_hole(60), holes)):
        assert roc_auc_score(labels, np.concatenate([normal, detector.score(x)])) > least


@pytest.mark.parametrize("name", ["deep_sad", "deviation"])
def test_a_few_labelled_scratches_help_to_find_others(name: str) -> None:
    few = scratched(plates(10, seed=11), seed=5)[0]
    x, labels = np.concatenate([plates(150), few]), np.repeat([-1.0, 1.0], [150, 10])
    detector = build(name, (1, SIDE, SIDE), epochs=5)
    detector.fit(x, labels.astype(np.float32))
    scores = detector.score(np.concatenate([plates(60, seed=9), scratched(plates(60, seed=10))[0]]))
    assert roc_auc_score(np.repeat([0, 1], 60), scores) > 0.7


# --- sizes --------------------------------------------------------------------------------


@given(st.tuples(st.integers(1, 3), st.integers(4, 300), st.integers(4, 300)))
def test_the_last_stage_of_a_frame_is_small_whatever_the_frame(shape: tuple[int, ...]) -> None:
    widths = usual_widths(shape)
    assert 2 <= len(widths) <= 6
    assert max(shape[1:]) / 2 ** len(widths) <= 8


@pytest.mark.parametrize("shape", [(1, 256), (8, 60), (64, 31)])
def test_windows_have_the_widths_that_they_always_had(shape: tuple[int, ...]) -> None:
    assert usual_widths(shape) == (16, 32)
    assert usual_training(shape, {}).batch == 64


@given(st.integers(1, 2**20))
def test_a_dense_layer_never_has_too_many_weights(size: int) -> None:
    (width,) = dense_widths(size)
    assert 1 <= width <= 1024
    assert size * width <= 2**24


@given(st.tuples(st.integers(1, 3), st.integers(4, 300), st.integers(4, 300)))
def test_a_shrunk_frame_has_few_numbers_and_no_fewer_than_it_must(shape: tuple[int, ...]) -> None:
    shrink = shrink_to(shape, 1024)
    found = shrink(torch.zeros(2, *shape))
    assert found.shape[1:] == shrink.shape(shape)
    assert found[0].numel() <= 1024 or shrink.factor == min(shape[1:])
    if shrink.factor > 1:
        assert math.prod(Shrink(shrink.factor - 1).shape(shape)) > 1024


# --- what is done to frames -----------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TURNS))
def test_a_turn_of_a_square_keeps_every_pixel(name: str) -> None:
    places = turned_places(name, (6, 6))
    assert sorted(places.tolist()) == list(range(36))
    assert places.tolist() != list(range(36))


@settings(max_examples=20, deadline=None)
@given(sides, sides)
def test_four_quarter_turns_are_none_and_a_turn_of_any_frame_stays_inside(
    height: int, width: int
) -> None:
    for name in TURNS:
        places = turned_places(name, (height, width))
        assert places.shape == (height * width,)
        assert 0 <= places.min() <= places.max() < height * width
    half = turned_places("rotate180", (height, width))
    assert half[half].tolist() == list(range(height * width))


def test_a_frame_is_turned_as_torch_turns_it() -> None:
    x = torch.randn(2, 3, 8, 8)
    shifted = shifts_called(None, (8, 8))(x).unflatten(0, (2, 4))
    for quarters in range(4):
        assert torch.equal(shifted[:, quarters], torch.rot90(x, quarters, (2, 3)))


def test_shifts_of_windows_are_refused_for_frames() -> None:
    with pytest.raises(ConfigError, match=r"'trend'.*valid is a list of some of rotate90"):
        build("contrastive", (1, 16, 16), shifts=["trend"])


def test_what_stays_normal_is_another_picture_of_the_same() -> None:
    x = torch.from_numpy(plates(20))
    kept = kept_frames(x, torch.Generator().manual_seed(1), mirrored=False)
    other = x.roll(1, 0)
    assert kept.shape == x.shape
    assert not torch.equal(kept, x)
    near, far = (kept - x).square().mean((1, 2, 3)), (kept - other).square().mean((1, 2, 3))
    assert near.median() < far.median()


def test_only_where_asked_for_is_a_frame_mirrored() -> None:
    x = torch.zeros(40, 1, 16, 16)
    x[..., :8] = 1
    for mirrored in (False, True):
        kept = kept_frames(x, torch.Generator().manual_seed(1), mirrored=mirrored)
        turned = kept[..., :4].mean((1, 2, 3)) < 0.5
        assert bool(turned.any()) == mirrored
