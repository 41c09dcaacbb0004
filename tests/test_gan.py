"""The adversarial autoencoder, its critic, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from monitor.detect.deep import gan, onnx_backend
from monitor.detect.deep.adversary import Critic, reversed_gradient
from monitor.detect.deep.gan import AdversarialAutoencoder
from monitor.detect.deep.training import Examples, Loss, seeded
from monitor.errors import ConfigError, ModelError
from monitor.protocols import Embedder, Explainer, Generator, Localiser, Rebuilding
from monitor.testing import anomalous_examples, normal_examples
from monitor.types import Array

SHAPE = (2, 32)


def waves(count: int, seed: int = 0) -> Array:
    """Two channels with one wave of any phase: `(count, *SHAPE)`."""
    random = np.random.default_rng(seed)
    time = np.arange(SHAPE[1]) / 4 + random.uniform(0, 6.28, (count, 1, 1))
    wave = np.concatenate([np.sin(time), np.cos(time)], axis=1)
    return np.asarray(wave + random.normal(0, 0.1, wave.shape), np.float32)


def _to_nothing(net: nn.Module, data: Examples) -> Loss:
    """What a generator learns that is to make nothing at all."""
    outward: Any = net.get_submodule("outward")
    made = outward(torch.randn(len(data.x), 16))
    return Loss(made.square().flatten(1).mean(1), torch.zeros(()))


@pytest.fixture(scope="module")
def detector() -> AdversarialAutoencoder:
    made = AdversarialAutoencoder(SHAPE, epochs=25, latent=4)
    made.fit(waves(400))
    return made


def test_it_rebuilds_embeds_explains_localises_and_generates() -> None:
    detector: Any = AdversarialAutoencoder(SHAPE)
    for protocol in (Rebuilding, Embedder, Explainer, Localiser, Generator):
        assert isinstance(detector, protocol)


def test_a_normal_example_scores_about_one(detector: AdversarialAutoencoder) -> None:
    assert np.median(detector.score(waves(200, seed=5))) == pytest.approx(1, abs=0.3)


def test_a_break_in_the_wave_scores_higher_than_normal_ones(
    detector: AdversarialAutoencoder,
) -> None:
    normal, broken = waves(100, seed=5), waves(100, seed=6)
    broken[:, 0, 10:20] = 0
    scores = detector.score(np.concatenate([normal, broken]))
    assert roc_auc_score(np.repeat([0, 1], 100), scores) > 0.95


def test_the_critics_part_tells_normal_examples_from_others_too() -> None:
    alone = AdversarialAutoencoder(SHAPE, epochs=25, latent=4, critic=1)
    alone.fit(waves(400))
    broken = waves(100, seed=6)
    broken[:, 0, 10:20] = 0
    scores = alone.score(np.concatenate([waves(100, seed=5), broken]))
    assert roc_auc_score(np.repeat([0, 1], 100), scores) > 0.8


def test_the_channel_that_is_broken_has_the_larger_share(detector: AdversarialAutoencoder) -> None:
    for channel in (0, 1):
        broken = waves(50, seed=7)
        broken[:, channel] += 2
        assert (detector.contributions(broken)[:, channel] > 0.5).mean() > 0.9


def test_what_is_generated_is_like_what_was_learned(detector: AdversarialAutoencoder) -> None:
    """Random latent numbers become examples that vary as the real ones do, and score as low."""
    made = detector.generate(200, seed=3)
    assert made.shape == (200, *SHAPE)
    spread = made.std(axis=0).mean() / waves(200).std(axis=0).mean()
    assert 0.5 < spread < 1.5
    noise = normal_examples(SHAPE, 200, seed=8)
    both = detector.score(np.concatenate([made, noise]))
    assert roc_auc_score(np.repeat([0, 1], 200), both) > 0.95


def test_a_generator_that_makes_one_example_only_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gan, "_play", lambda *_: _to_nothing)
    with pytest.raises(ModelError, match=r"the generator collapsed: .*at least 0\.1 is needed"):
        AdversarialAutoencoder(SHAPE, epochs=8, learning_rate=2e-2).fit(waves(100))


def test_examples_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(ModelError, match="are all the same"):
        AdversarialAutoencoder(SHAPE).fit(np.ones((40, *SHAPE), np.float32))


def test_labelled_anomalies_are_not_learned() -> None:
    alone, mixed = (AdversarialAutoencoder(SHAPE, epochs=1) for _ in range(2))
    wild = anomalous_examples(SHAPE, 20)
    alone.fit(waves(100))
    y = np.repeat(np.array([0, 1], np.float32), [100, 20])
    mixed.fit(np.concatenate([waves(100), wild]), y)
    assert np.array_equal(alone.score(wild), mixed.score(wild))


@pytest.mark.parametrize(("shape", "encoder"), [((2, 21), "conv"), ((3, 18, 20), "conv")])
def test_onnx_runtime_gives_what_torch_gives(shape: tuple[int, ...], encoder: str) -> None:
    net = AdversarialAutoencoder(shape, encoder=encoder).net
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    program = onnx_backend.OnnxProgram(net, tuple(x.shape))
    with torch.inference_mode():
        expected = net(x).numpy()
    np.testing.assert_allclose(program(x.numpy()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"critic": 2}, "critic is 2; numbers from 0 to 1"),
        ({"critic": True}, "critic is True"),
        ({"latent": 0}, "latent is 0"),
        ({"encoder": "lstm"}, "encoder is 'lstm'; valid are conv, patch, dense"),
        ({"widths": []}, "widths"),
    ],
)
def test_parameters_that_make_no_sense_are_named(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        AdversarialAutoencoder(SHAPE, **params)


# --- the parts ------------------------------------------------------------------------------


def test_a_gradient_comes_back_reversed() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    (reversed_gradient(x, 0.5) * torch.tensor([3.0, 4.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [-1.5, -2.0]


def test_what_a_critic_sees_cannot_grow_faster_than_its_input() -> None:
    """Each layer's largest singular value is about 1, however large its weights were."""
    with seeded(1):
        trunk = nn.Sequential(nn.Flatten(), nn.Linear(12, 8))
        for parameter in trunk.parameters():
            parameter.data *= 50
        judge = Critic(trunk, 3, 8).train()
        for _ in range(30):
            judge(torch.randn(4, 3, 4), torch.randn(4, 3))
    plain = judge.unbounded()
    for layer in (plain.trunk[1], plain.beside, plain.joint[1]):
        assert torch.linalg.matrix_norm(layer.get_parameter("weight"), 2) == pytest.approx(1, 0.05)


def test_the_inference_form_of_a_critic_sees_the_same() -> None:
    with seeded(1):
        judge = Critic(nn.Sequential(nn.Flatten(), nn.Linear(12, 8)), 3, 8).eval()
        x, z = torch.randn(4, 3, 4), torch.randn(4, 3)
    before = judge(x, z)
    after = judge.unbounded()(x, z)
    torch.testing.assert_close(after, before)
    assert not after.requires_grad
