"""PaDiM: what is normal at each place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from monitor.detect.images.padim import Padim, _whitened_lengths
from monitor.errors import ConfigError, ModelError
from monitor.protocols import Localiser, Trainable
from monitor.testing import anomalous_examples
from tests.frame_detectors import (
    SHAPE,
    SIDE,
    found_by,
    learned,
    made,
    shown,
    shuffled,
    spoiled,
    trained,
)


def test_parts_with_faults_are_found_and_where_the_faults_are() -> None:
    found = found_by(trained("padim"))
    assert found.image >= 0.97
    assert found.pixel >= 0.95


def test_scores_that_have_nothing_to_do_with_the_frames_would_not_do() -> None:
    chance = shuffled(trained("padim"))
    assert chance.image < 0.8
    assert chance.pixel < 0.8


def test_it_can_be_trained_and_tells_where() -> None:
    assert isinstance(trained("padim"), Trainable)
    assert isinstance(trained("padim"), Localiser)


def test_the_score_is_the_hottest_place_of_the_grid() -> None:
    x = shown()[0][:4]
    maps = trained("padim").heat_maps(x)
    assert maps.shape == (4, SIDE, SIDE)
    assert maps.min() >= 0
    assert (maps.max(axis=(1, 2)) <= trained("padim").score(x) * 1.3).all()


def test_the_distance_of_a_place_is_that_of_its_covariance() -> None:
    features = np.random.default_rng(0).normal(size=(200, 256, 64)).astype(np.float32)
    detector = Padim(SHAPE, trim=0)
    detector._arrays = detector._learn(features)
    place = features[:, 5]
    inverse = np.linalg.inv(np.cov(place.T, bias=True))
    exact = mahalanobis(place[0], place.mean(axis=0), inverse) / 8
    arrays = detector._arrays
    found = _whitened_lengths(features[0], arrays["mean"], arrays["whitening"])[5]
    assert found == pytest.approx(exact, rel=0.35)


def test_onnx_runtime_gives_the_scores_that_torch_gives() -> None:
    detector, x = trained("padim"), shown()[0][-5:]
    program = detector.compile(8, "onnx")
    assert program.backend == "onnx"
    np.testing.assert_allclose(program(x), detector.compile(8, "torch")(x), rtol=1e-3)


def test_frames_with_faults_among_the_training_frames_do_little_harm() -> None:
    detector = made("padim", dimensions=32)
    detector.fit(spoiled())
    assert found_by(detector).image >= 0.95


def test_labelled_anomalies_are_not_learned() -> None:
    normal = learned()[:20]
    labels = np.repeat(np.array([0, 1], np.float32), [20, 5])
    one, other = Padim(SHAPE, dimensions=8), Padim(SHAPE, dimensions=8)
    one.fit(normal)
    other.fit(np.concatenate([normal, anomalous_examples(SHAPE, 5)]), labels)
    np.testing.assert_array_equal(one.state()["mean"], other.state()["mean"])


def test_wrong_parameters_and_frames_are_refused() -> None:
    with pytest.raises(ConfigError, match="dimensions is 0"):
        Padim(SHAPE, dimensions=0)
    with pytest.raises(ConfigError, match=r"trim is 0\.5"):
        Padim(SHAPE, trim=0.5)
    with pytest.raises(ConfigError, match="at least 32 pixels a side"):
        Padim((1, 16, 64))
    with pytest.raises(ConfigError, match="backend is 'tpu'"):
        trained("padim").compile(8, "tpu")
    with pytest.raises(ModelError, match="knows nothing yet"):
        Padim(SHAPE).score(learned()[:1])


def test_a_model_whose_backbone_was_another_is_refused() -> None:
    state = trained("padim").state()
    state["backbone"] = state["backbone"][::-1].copy()
    with pytest.raises(ModelError, match="was trained with a backbone of SHA-256"):
        Padim(SHAPE).restore(state)
