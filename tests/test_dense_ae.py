"""The fully connected autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from monitor.detect.deep.dense_ae import DenseAutoencoder
from monitor.errors import ConfigError, ModelError
from monitor.protocols import Explainer, Trainable
from monitor.testing import anomalous_examples, check_detector, normal_examples
from monitor.types import Array
from tests.broken_signals import (
    SHAPE,
    found,
    machine,
    with_extra_impact,
    with_missing_impact,
    with_phase_break,
    with_stuck_wave,
)


@pytest.fixture(scope="module")
def detector() -> DenseAutoencoder:
    made = DenseAutoencoder(SHAPE, epochs=10, latent=8, batch=32)
    made.fit(machine(600))
    return made


def sizes(detector: DenseAutoencoder) -> list[int]:
    layers = [layer for layer in detector.net.modules() if isinstance(layer, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def test_an_image_of_28_by_28_gives_the_usual_net() -> None:
    assert sizes(DenseAutoencoder((1, 28, 28))) == [784, 392, 64, 392, 784]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 1), [1, 1, 1, 1, 1]),
        ((2, 12), [24, 12, 6, 12, 24]),
        ((8, 1024), [8192, 1024, 64, 1024, 8192]),
    ],
)
def test_the_sizes_follow_from_the_example(shape: tuple[int, ...], expected: list[int]) -> None:
    assert sizes(DenseAutoencoder(shape)) == expected


def test_the_sizes_can_be_chosen() -> None:
    chosen = DenseAutoencoder((1, 40), widths=[30, 20], latent=5)
    assert sizes(chosen) == [40, 30, 20, 5, 20, 30, 40]


def test_it_keeps_the_promises_for_images_and_for_views_of_one_number() -> None:
    for shape in ((2, 4, 5), (4, 1)):
        check_detector(lambda: DenseAutoencoder(shape, epochs=1))  # noqa: B023


def test_it_is_a_trainable_explainer(detector: DenseAutoencoder) -> None:
    assert isinstance(detector, Trainable)
    assert isinstance(detector, Explainer)


def test_a_normal_example_scores_about_one(detector: DenseAutoencoder) -> None:
    assert np.median(detector.score(machine(200, seed=5))) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(
    "fault", [with_phase_break, with_stuck_wave, with_missing_impact, with_extra_impact]
)
def test_it_finds_what_is_broken(
    detector: DenseAutoencoder, fault: Callable[[Array], Array]
) -> None:
    assert found(detector, fault) > 0.95


def test_the_channel_that_is_broken_has_the_larger_share(detector: DenseAutoencoder) -> None:
    for channel, fault in ((0, with_phase_break), (1, with_missing_impact)):
        shares = detector.contributions(fault(machine(50, seed=7)))
        assert (shares[:, channel] > 0.5).mean() > 0.9


def test_labelled_anomalies_are_not_learned(detector: DenseAutoencoder) -> None:
    wild = anomalous_examples(SHAPE, 40)
    mixed = DenseAutoencoder(SHAPE, epochs=10, latent=8, batch=32)
    mixed.fit(
        np.concatenate([machine(600), wild]), np.repeat(np.array([0, 1], np.float32), [600, 40])
    )
    assert np.array_equal(mixed.score(wild), detector.score(wild))


def test_the_compiled_forms_agree(detector: DenseAutoencoder) -> None:
    x = machine(8, seed=3)
    for backend in ("torch", "onnx"):
        np.testing.assert_allclose(detector.compile(8, backend)(x), detector.score(x), rtol=1e-5)


def test_a_score_in_onnx_does_not_depend_on_the_place_to_the_bit(
    detector: DenseAutoencoder,
) -> None:
    program, x = detector.compile(64, "onnx"), machine(64, seed=4)
    order = np.random.default_rng(0).permutation(64)
    assert np.array_equal(program(x[order]), program(x)[order])


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"widths": 16}, "widths is 16"),
        ({"widths": [0]}, "widths: each is 0"),
        ({"latent": 0}, "latent is 0"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_parameters_that_make_no_sense_are_named(params: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        DenseAutoencoder(SHAPE, **params)


@pytest.mark.parametrize("shape", [(4,), (2, 0), (1, 2, 3, 4)])
def test_a_shape_that_no_dense_net_can_use_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="cannot be used by a dense net"):
        DenseAutoencoder(shape)


def test_a_net_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"make 1\d* weights; at most 100000000"):
        DenseAutoencoder((3, 224, 224), widths=[1000])


def test_weights_of_another_size_are_refused(detector: DenseAutoencoder) -> None:
    with pytest.raises(ModelError, match="valid is float32"):
        DenseAutoencoder(SHAPE, latent=5).restore(detector.state())


def test_examples_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(ModelError, match="40 training examples are all the same"):
        DenseAutoencoder((1, 8)).fit(np.ones((40, 1, 8), np.float32))


def test_its_health_is_among_the_metrics(detector: DenseAutoencoder) -> None:
    assert detector.metrics["dead_latents"] == 0
    assert detector.metrics["ties"] == 0
    twice = DenseAutoencoder((1, 12), epochs=2)
    twice.fit(np.repeat(normal_examples((1, 12), 30), 2, axis=0))
    assert twice.metrics["ties"] == 1
