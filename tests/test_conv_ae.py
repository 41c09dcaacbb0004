"""The convolutional autoencoder."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detect.deep.conv_ae import ConvAutoencoder
from monitor.errors import ConfigError, ModelError
from monitor.protocols import Explainer, Trainable
from monitor.testing import anomalous_examples, check_detector, normal_examples
from monitor.types import Array

SHAPE = (2, 40)


def waves(count: int, seed: int = 0) -> Array:
    """Two channels with one wave of any phase."""
    random = np.random.default_rng(seed)
    time = np.arange(SHAPE[1]) / 8 + random.uniform(0, 6.28, (count, 1, 1))
    wave = np.concatenate([np.sin(time), np.cos(time)], axis=1)
    return np.asarray(wave + random.normal(0, 0.1, wave.shape), np.float32)


@pytest.fixture(scope="module")
def detector() -> ConvAutoencoder:
    made = ConvAutoencoder(SHAPE, epochs=15, latent=4, batch=16)
    made.fit(waves(400))
    return made


def test_it_keeps_the_promises_for_images_too() -> None:
    check_detector(lambda: ConvAutoencoder((3, 9, 12), epochs=3))


def test_it_is_a_trainable_explainer(detector: ConvAutoencoder) -> None:
    assert isinstance(detector, Trainable)
    assert isinstance(detector, Explainer)


def test_a_normal_example_scores_about_one(detector: ConvAutoencoder) -> None:
    assert np.median(detector.score(waves(200, seed=5))) == pytest.approx(1, abs=0.3)


def test_a_break_in_the_wave_scores_higher_than_any_normal_one(detector: ConvAutoencoder) -> None:
    broken = waves(50, seed=6)
    broken[:, 0, 10:20] = 0
    assert np.median(detector.score(broken)) > detector.score(waves(200, seed=5)).max()


def test_the_channel_that_is_broken_has_the_larger_share(detector: ConvAutoencoder) -> None:
    for channel in (0, 1):
        broken = waves(50, seed=7)
        broken[:, channel] += 2
        assert (detector.contributions(broken)[:, channel] > 0.5).mean() > 0.9


def test_labelled_anomalies_are_not_learned(detector: ConvAutoencoder) -> None:
    wild = anomalous_examples(SHAPE, 40)
    mixed = ConvAutoencoder(SHAPE, epochs=15, latent=4, batch=16)
    y = np.repeat(np.array([0, 1], np.float32), [400, 40])
    mixed.fit(np.concatenate([waves(400), wild]), y)
    assert np.array_equal(mixed.score(wild), detector.score(wild))


def test_another_seed_gives_another_net() -> None:
    scores = []
    for seed in (0, 1):
        made = ConvAutoencoder(SHAPE, epochs=1, seed=seed)
        made.fit(waves(40))
        scores.append(made.score(waves(5)))
    assert not np.array_equal(scores[0], scores[1])


def test_a_constant_channel_does_not_drown_the_others() -> None:
    x = waves(200)
    x[:, 1] = 0
    made = ConvAutoencoder(SHAPE, epochs=3, batch=16)
    made.fit(x)
    assert np.isfinite(made.score(x)).all()
    assert made.score(x).mean() < 20


def test_it_cannot_score_before_training() -> None:
    with pytest.raises(ModelError, match="no weights yet: call fit or restore"):
        ConvAutoencoder(SHAPE).score(waves(1))


def test_another_shape_is_named(detector: ConvAutoencoder) -> None:
    with pytest.raises(ModelError, match=r"shape \(2, 41\); the net is for \(2, 40\)"):
        detector.score(np.zeros((1, 2, 41), np.float32))


def test_weights_that_are_not_numbers_are_refused(detector: ConvAutoencoder) -> None:
    state = detector.state()
    state["weight"][0] = np.nan
    with pytest.raises(ModelError, match="'weight' hold NaN"):
        ConvAutoencoder(SHAPE, latent=4).restore(state)


def test_weights_of_another_size_are_refused(detector: ConvAutoencoder) -> None:
    with pytest.raises(ModelError, match=r"valid is float32"):
        ConvAutoencoder(SHAPE, latent=5).restore(detector.state())


def test_a_bottleneck_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="latent is 0"):
        ConvAutoencoder(SHAPE, latent=0)


def test_the_compiled_forms_agree(detector: ConvAutoencoder) -> None:
    x = normal_examples(SHAPE, 8)
    for backend in ("torch", "onnx"):
        np.testing.assert_allclose(detector.compile(8, backend)(x), detector.score(x), rtol=1e-5)
