"""The masked autoencoder, and its masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.deep import masked_ae
from monitor.detect.deep.masked_ae import MaskedAutoencoder
from monitor.detect.deep.masking import Guess, complementary_masks, guessed
from monitor.errors import ConfigError, ModelError
from monitor.protocols import Explainer, Trainable
from monitor.testing import anomalous_examples, check_detector, normal_examples
from monitor.types import Array
from tests.broken_signals import (
    SHAPE,
    auroc,
    found,
    machine,
    with_extra_impact,
    with_missing_impact,
    with_phase_break,
    with_stuck_wave,
)

signals = st.tuples(st.integers(1, 4), st.integers(1, 40))
images = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))


@pytest.fixture(scope="module")
def detector() -> MaskedAutoencoder:
    made = MaskedAutoencoder(SHAPE, epochs=10, batch=32)
    made.fit(machine(600))
    return made


@given(st.one_of(signals, images), st.integers(2, 6), st.integers(1, 12))
def test_each_number_is_hidden_exactly_once(shape: tuple[int, ...], count: int, patch: int) -> None:
    masks = complementary_masks(shape, count, patch)
    assert masks.shape == (count, *shape)
    assert torch.equal(masks.sum(0), torch.ones(shape))
    assert ((masks == 0) | (masks == 1)).all()


def test_patches_are_hidden_as_a_whole_and_in_each_channel_at_another_place() -> None:
    masks = complementary_masks((2, 8), 2, 2)
    assert masks[0].tolist() == [[1, 1, 0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0, 1, 1]]
    assert complementary_masks((1, 4, 4), 2, 2)[0, 0].tolist() == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 1, 1],
    ]


def test_what_is_hidden_is_not_seen() -> None:
    """A net that copies its input guesses the token everywhere."""
    masks, token = complementary_masks((2, 8), 4, 1), torch.full((2, 8), 7.0)
    x = torch.arange(32.0).reshape(2, 2, 8)
    assert torch.equal(guessed(torch.nn.Identity(), x, masks, token), torch.full((2, 2, 8), 7.0))


@pytest.mark.parametrize(("ratio", "part"), [(1, 0), (2, 0.307), (0.5, 0.193), (0, 9.597)])
def test_an_error_that_is_larger_or_smaller_than_usual_scores(ratio: float, part: float) -> None:
    """The net guesses 0, the usual squared error is 4."""
    head = Guess(torch.nn.Sequential(torch.nn.Identity()), complementary_masks((1, 4), 2, 1))
    head.weight.fill_(1 / 4)
    assert float(head(torch.full((1, 1, 4), 2 * ratio**0.5))) == pytest.approx(part, abs=1e-3)


def test_it_keeps_the_promises_for_images_too() -> None:
    check_detector(lambda: MaskedAutoencoder((2, 4, 5), epochs=1))


def test_it_is_a_trainable_explainer(detector: MaskedAutoencoder) -> None:
    assert isinstance(detector, Trainable)
    assert isinstance(detector, Explainer)


@pytest.mark.parametrize(
    "fault", [with_phase_break, with_stuck_wave, with_missing_impact, with_extra_impact]
)
def test_it_finds_what_is_broken(
    detector: MaskedAutoencoder, fault: Callable[[Array], Array]
) -> None:
    assert found(detector, fault) > 0.95


def test_a_sensor_that_is_stuck_where_it_is_easy_to_guess_is_found() -> None:
    """Noise about 0 that stops: every guess is better than ever."""
    random = np.random.default_rng(0)
    noise = random.normal(0, 1, (500, 2, 24)).astype(np.float32)
    made = MaskedAutoencoder((2, 24), epochs=3)
    made.fit(noise[:300])
    stuck = noise[400:].copy()
    stuck[:, 0] = 0
    assert auroc(made.score(noise[300:400]), made.score(stuck)) > 0.99
    assert (made.contributions(stuck)[:, 0] > 0.5).mean() > 0.9


def test_the_channel_that_is_broken_has_the_larger_share(detector: MaskedAutoencoder) -> None:
    for channel, fault in ((0, with_extra_impact), (1, with_missing_impact)):
        shares = detector.contributions(fault(machine(50, seed=7)))
        assert (shares[:, channel] > 0.5).mean() > 0.9


def test_a_constant_channel_does_not_drown_the_others() -> None:
    x = machine(200)
    x[:, 1] = 0
    made = MaskedAutoencoder(SHAPE, epochs=2)
    made.fit(x)
    parts = made.parts(x)
    assert np.isfinite(parts).all()
    assert parts[:, 1].mean() < 1


def test_labelled_anomalies_are_not_learned() -> None:
    wild, x = anomalous_examples((1, 12), 40), normal_examples((1, 12), 100)
    alone, mixed = (MaskedAutoencoder((1, 12), epochs=1) for _ in range(2))
    alone.fit(x)
    mixed.fit(np.concatenate([x, wild]), np.repeat(np.array([0, 1], np.float32), [100, 40]))
    assert np.array_equal(mixed.score(wild), alone.score(wild))


def test_a_collapse_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def flattened(net: torch.nn.Module, *_: object, **__: object) -> dict[str, float]:
        for weights in net.parameters():
            weights.data.mul_(1e-9)
        return {}

    monkeypatch.setattr(masked_ae, "train", flattened)
    with pytest.raises(ModelError, match=r"collapsed: the embedding keeps .* of its spread"):
        MaskedAutoencoder((1, 12)).fit(normal_examples((1, 12), 40))


@pytest.mark.parametrize("shape", [(1, 5), (3, 21), (2, 5, 7)])
def test_onnx_runtime_gives_what_torch_gives_at_any_place(shape: tuple[int, ...]) -> None:
    made = MaskedAutoencoder(shape, epochs=1)
    made.fit(normal_examples(shape, 60))
    program, x = made.compile(64, "onnx"), normal_examples(shape, 64, seed=4)
    np.testing.assert_allclose(program(x), made.score(x), rtol=1e-4, atol=1e-6)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(64)
        assert np.array_equal(program(x[order]), program(x)[order])


def test_weights_that_make_no_sense_cannot_make_a_score_infinite(
    detector: MaskedAutoencoder,
) -> None:
    state, x = detector.state(), machine(3)
    state["weight"][:] = 0
    other = MaskedAutoencoder(SHAPE)
    other.restore(state)
    assert np.isfinite(other.score(x)).all()
    state["weight"][0] = -1
    with pytest.raises(ModelError, match="'weight' are negative"):
        other.restore(state)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"widths": 16}, "widths is 16"),
        ({"latent": 0}, "latent is 0"),
        ({"masks": 1}, "masks is 1; whole numbers from 2 to 16"),
        ({"patch": 0}, "patch is 0; whole numbers from 1"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_parameters_that_make_no_sense_are_named(params: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        MaskedAutoencoder(SHAPE, **params)
