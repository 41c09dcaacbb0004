"""The variational autoencoder, and its bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from monitor.detect.deep import vae
from monitor.detect.deep.elbo import Elbo, codes, divergence, quasi_random
from monitor.detect.deep.training import Examples, Training, seeded
from monitor.detect.deep.vae import VariationalAutoencoder
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
def detector() -> VariationalAutoencoder:
    made = VariationalAutoencoder(SHAPE, epochs=15, latent=8, batch=32)
    made.fit(machine(600))
    return made


def head_of(detector: VariationalAutoencoder) -> Elbo:
    assert isinstance(detector.net, Elbo)
    return detector.net


def test_it_keeps_the_promises_for_images_too() -> None:
    check_detector(lambda: VariationalAutoencoder((2, 4, 5), epochs=1))


def test_it_is_a_trainable_explainer(detector: VariationalAutoencoder) -> None:
    assert isinstance(detector, Trainable)
    assert isinstance(detector, Explainer)


def test_a_normal_example_scores_about_one(detector: VariationalAutoencoder) -> None:
    assert np.median(detector.score(machine(200, seed=5))) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    "fault", [with_phase_break, with_stuck_wave, with_missing_impact, with_extra_impact]
)
def test_it_finds_what_is_broken(
    detector: VariationalAutoencoder, fault: Callable[[Array], Array]
) -> None:
    assert found(detector, fault) > 0.95


@settings(max_examples=25, deadline=None)
@given(st.floats(-5, 5), st.floats(-9, 9))
def test_the_divergence_is_that_of_normal_distributions(mean: float, log_variance: float) -> None:
    given_mean, given_log = torch.tensor([[mean]]), torch.tensor([[log_variance]])
    posterior = Normal(given_mean, (given_log / 2).exp())
    expected = kl_divergence(posterior, Normal(0.0, 1.0))
    torch.testing.assert_close(divergence(given_mean, given_log), expected, rtol=1e-3, atol=1e-5)


def test_the_score_is_the_negative_bound_less_its_constant(
    detector: VariationalAutoencoder,
) -> None:
    """Summed up term by term, up to one factor for all."""
    head, x = head_of(detector), torch.from_numpy(machine(5, seed=8))
    samples = SHAPE[1]
    unit = head.weight[-1]
    variance = samples / (2 * head.weight[:-1] / unit)
    with torch.no_grad():
        mean, log_variance = codes(head.inward, x)
        deviation = (log_variance / 2).exp()
        surprise = torch.zeros(5)
        for direction in head.directions:
            rebuilt = head.outward(mean + deviation * direction)
            squares = (rebuilt - x).square() / variance[:, None]
            density = -(squares + (2 * math.pi * variance[:, None]).log()) / 2
            surprise -= density.sum((1, 2)) / len(head.directions)
        surprise += kl_divergence(Normal(mean, deviation), Normal(0.0, 1.0)).sum(1)
    constant = samples / 2 * (2 * math.pi * variance).log().sum()
    expected = (surprise - constant) * unit
    np.testing.assert_allclose(detector.score(x.numpy()), expected.numpy(), rtol=1e-3)


def test_both_terms_grow_with_the_size_of_the_example_in_the_same_way() -> None:
    """A window of twice as many samples has twice the cost of being rebuilt badly, in nats."""
    heads = []
    for samples in (8, 16):
        made = VariationalAutoencoder((1, samples), latent=2)
        head = head_of(made)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.zero_()
        vae._weigh(head, torch.ones(4, 1, samples), samples)
        heads.append(head)
    for head, samples in zip(heads, (8, 16), strict=True):
        assert float(head.weight[0] / head.weight[-1]) == pytest.approx(samples / 2)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 16])
def test_the_directions_are_in_pairs_and_normal(count: int) -> None:
    directions = quasi_random(count, 6, seed=3)
    assert directions.shape == (count, 6)
    pairs = count // 2
    assert torch.equal(
        directions[:pairs], -directions[-pairs:] if count % 2 == 0 else -directions[count - pairs :]
    )
    assert torch.equal(directions, quasi_random(count, 6, seed=3))


def test_many_directions_have_the_spread_of_the_distribution() -> None:
    spread = quasi_random(64, 5, seed=0).square().mean(0)
    torch.testing.assert_close(spread, torch.ones(5), atol=0.25, rtol=0)


def test_a_single_draw_is_the_mean_itself() -> None:
    assert not quasi_random(1, 4, seed=0).any()


def test_the_directions_belong_to_the_state(detector: VariationalAutoencoder) -> None:
    other = VariationalAutoencoder(SHAPE, latent=8, seed=5)
    other.restore(detector.state())
    assert torch.equal(head_of(other).directions, head_of(detector).directions)
    with pytest.raises(ModelError, match="'directions' are float32"):
        VariationalAutoencoder(SHAPE, latent=8, draws=2).restore(detector.state())


def test_the_channel_that_is_broken_has_the_larger_share(detector: VariationalAutoencoder) -> None:
    for channel, fault in ((0, with_phase_break), (1, with_missing_impact)):
        shares = detector.contributions(fault(machine(50, seed=7)))
        assert (shares[:, channel] > 0.5).mean() > 0.9


def test_labelled_anomalies_are_not_learned() -> None:
    wild, x = anomalous_examples((1, 12), 40), normal_examples((1, 12), 100)
    alone, mixed = (VariationalAutoencoder((1, 12), epochs=1) for _ in range(2))
    alone.fit(x)
    mixed.fit(np.concatenate([x, wild]), np.repeat(np.array([0, 1], np.float32), [100, 40]))
    assert np.array_equal(mixed.score(wild), alone.score(wild))


def test_latent_numbers_that_say_nothing_are_counted() -> None:
    """Two numbers tell all of the example, so the divergence of others goes to 0."""
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (300, 2, 1)) + random.normal(0, 0.3, (300, 2, 8))
    made = VariationalAutoencoder((2, 8), epochs=12, latent=8, learning_rate=0.01)
    made.fit(x.astype(np.float32))
    assert 3 <= made.metrics["dead_latents"] <= 6


def test_a_collapse_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def flattened(net: torch.nn.Module, *_: object, **__: object) -> dict[str, float]:
        for weights in net.parameters():
            weights.data.mul_(1e-9)
        return {}

    monkeypatch.setattr(vae, "train", flattened)
    with pytest.raises(ModelError, match=r"collapsed: the embedding keeps .* of its spread"):
        VariationalAutoencoder((1, 12)).fit(normal_examples((1, 12), 40))


def test_training_is_the_same_with_the_same_seed_alone() -> None:
    x, scores = normal_examples((1, 12), 60), []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        made = VariationalAutoencoder((1, 12), epochs=1, seed=seed)
        made.fit(x)
        scores.append(made.score(x))
    assert np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_a_wild_code_stays_finite() -> None:
    with seeded(0):
        code = torch.nn.Sequential(torch.nn.Linear(1, 2))
    _, log_variance = codes(code, torch.tensor([[1e30]]))
    assert abs(float(log_variance.detach())) == 10


def test_the_compiled_forms_agree(detector: VariationalAutoencoder) -> None:
    x = machine(8, seed=3)
    for backend in ("torch", "onnx"):
        np.testing.assert_allclose(detector.compile(8, backend)(x), detector.score(x), rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 5), (3, 21), (2, 5, 7)])
def test_a_score_in_onnx_does_not_depend_on_the_place_to_the_bit(shape: tuple[int, ...]) -> None:
    made = VariationalAutoencoder(shape, epochs=1)
    made.fit(normal_examples(shape, 60))
    program, x = made.compile(64, "onnx"), normal_examples(shape, 64, seed=4)
    np.testing.assert_allclose(program(x), made.score(x), rtol=1e-5)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(64)
        assert np.array_equal(program(x[order]), program(x)[order])


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"widths": 16}, "widths is 16"),
        ({"latent": 0}, "latent is 0"),
        ({"draws": 0}, "draws is 0; whole numbers from 1 to 64"),
        ({"batch": 1}, "batch is 1"),
    ],
)
def test_parameters_that_make_no_sense_are_named(params: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        VariationalAutoencoder(SHAPE, **params)


def test_the_bound_learns_each_channels_deviation() -> None:
    """At the best deviation the loss by sample is log(deviation) + 1/2."""
    net = VariationalAutoencoder((2, 4), latent=1)._variational().eval()
    for parameter in net.parameters():
        parameter.data.zero_()
    net.log_deviation.data.copy_(torch.tensor([2.0, 0.5]).log())
    x = torch.tensor([2.0, 0.5])[None, :, None] * torch.tensor([1.0, -1, 1, -1])
    data = Examples(x, torch.zeros(1))
    loss = vae._bound(8, Training().seed)(net, data).rows
    assert float(loss.detach()) == pytest.approx((math.log(2) + math.log(0.5)) / 2 + 0.5, abs=1e-5)
