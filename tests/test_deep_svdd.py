"""Deep SVDD, and what keeps it from collapsing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monitor.detect.deep import deep_svdd
from monitor.detect.deep.deep_svdd import DeepSVDD
from monitor.errors import ConfigError, ModelError
from monitor.testing import anomalous_examples, check_detector, normal_examples

SHAPE = (2, 32)


def fitted(epochs: int = 8, patience: int = 6) -> DeepSVDD:
    made = DeepSVDD(SHAPE, epochs=epochs, patience=patience, latent=8, batch=32)
    made.fit(normal_examples(SHAPE, 300))
    return made


def test_it_keeps_the_promises_for_images_too() -> None:
    check_detector(lambda: DeepSVDD((1, 10, 7), epochs=3, latent=8))


def test_a_normal_example_scores_about_one() -> None:
    scores = fitted().score(normal_examples(SHAPE, 200, seed=5))
    assert float(scores.mean()) == pytest.approx(1, abs=0.4)


def test_training_pulls_normal_examples_together_but_keeps_a_spread() -> None:
    assert 0.05 < fitted(epochs=20).metrics["spread"] < 0.8


def test_no_coordinate_of_the_centre_is_near_zero() -> None:
    centre = torch.tensor([0.0, -0.01, 0.05, -2.0, 3.0])
    assert deep_svdd._away_from_zero(centre).tolist() == pytest.approx([0.1, -0.1, 0.1, -2, 3])


def test_the_settled_statistics_make_the_first_embedding_that_of_inference() -> None:
    """One pass over everything: no trace is left of the statistics that a net starts with."""
    made = DeepSVDD(SHAPE, latent=8)
    net, x = made._encoder(), torch.from_numpy(normal_examples(SHAPE, 256) * 50 + 20)
    settled = deep_svdd._settled_embedding(net, x)
    torch.testing.assert_close(settled, net.train()(x).detach(), rtol=0.02, atol=0.02)
    assert all(getattr(layer, "momentum", 0.1) == 0.1 for layer in net)


def test_a_collapse_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def flattened(net: torch.nn.Module, *_: object, **__: object) -> dict[str, float]:
        for weights in net.parameters():
            weights.data.mul_(1e-4)
        return {}

    monkeypatch.setattr(deep_svdd, "train", flattened)
    with pytest.raises(ModelError, match=r"collapsed: the embedding keeps .* of its spread"):
        fitted()


def test_without_the_hinge_the_spread_falls_further(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fitted(epochs=12, patience=12).metrics["spread"]
    monkeypatch.setattr(deep_svdd, "_KEPT_SPREAD", 0.0)
    assert fitted(epochs=12, patience=12).metrics["spread"] < 0.9 * kept


def test_examples_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(ModelError, match="40 training examples are all the same"):
        DeepSVDD(SHAPE).fit(np.ones((40, *SHAPE), np.float32))


def test_labelled_anomalies_are_pushed_away() -> None:
    """Anomalies that look normal but for a small shift, a few of them labelled."""
    odd = normal_examples(SHAPE, 60, seed=8) + np.float32(0.4)
    x = np.concatenate([normal_examples(SHAPE, 300), odd[:30]])
    y = np.repeat(np.array([-1, 1], np.float32), [300, 30])
    order = np.random.default_rng(0).permutation(len(x))
    taught = DeepSVDD(SHAPE, epochs=15, latent=8, batch=32)
    taught.fit(x[order], y[order])
    fresh = normal_examples(SHAPE, 100, seed=9)

    def contrast(detector: DeepSVDD) -> float:
        return float(np.median(detector.score(odd[30:])) / np.median(detector.score(fresh)))

    assert contrast(taught) > 1.5 * contrast(fitted(epochs=15))


def test_only_a_batch_of_anomalies_is_no_division_by_zero() -> None:
    x = np.concatenate([normal_examples(SHAPE, 20), anomalous_examples(SHAPE, 180)])
    made = DeepSVDD(SHAPE, epochs=2, latent=4, batch=2)
    made.fit(x, np.repeat(np.array([0, 1], np.float32), [20, 180]))
    assert np.isfinite(made.score(x)).all()


def test_the_compiled_forms_agree() -> None:
    made, x = fitted(), normal_examples(SHAPE, 8)
    for backend in ("torch", "onnx"):
        np.testing.assert_allclose(made.compile(8, backend)(x), made.score(x), rtol=1e-4)


def test_an_embedding_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="latent is 0"):
        DeepSVDD(SHAPE, latent=0)
