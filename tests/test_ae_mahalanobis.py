"""The autoencoder of a few frames, and the Mahalanobis distance of what it gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from monitor.detect.deep.ae_mahalanobis import MahalanobisAutoencoder
from monitor.errors import ConfigError, ModelError
from monitor.protocols import Explainer, Localiser, Trainable
from monitor.testing import anomalous_examples, normal_examples
from monitor.types import Array

SHAPE = (6, 20)
NOISY, LEADS, FOLLOWS = 0, 3, 4


def sounds(count: int, seed: int = 0) -> Array:
    """Noise of six bands: the first is ten times as loud, and one band goes as its neighbour."""
    x = np.random.default_rng(seed).normal(0, 0.1, (count, *SHAPE))
    x[:, NOISY] *= 10
    x[:, LEADS] *= 10
    x[:, FOLLOWS] += x[:, LEADS]
    return x.astype(np.float32)


def made(**params: Any) -> MahalanobisAutoencoder:
    quick = {"context": 3, "widths": (16,), "latent": 2, "epochs": 2, "batch": 16}
    return MahalanobisAutoencoder(SHAPE, **{**quick, **params})


@pytest.fixture(scope="module")
def detector() -> MahalanobisAutoencoder:
    found = made()
    found.fit(sounds(300))
    return found


def changed(bands: list[int], steps: list[float]) -> Array:
    x = sounds(60, seed=7)
    x[:, bands, 8:12] += np.array(steps, np.float32)[:, None]
    return x


def test_it_is_trainable_explains_and_localises(detector: MahalanobisAutoencoder) -> None:
    for protocol in (Trainable, Explainer, Localiser):
        assert isinstance(detector, protocol)


def test_a_normal_example_scores_about_one(detector: MahalanobisAutoencoder) -> None:
    assert detector.score(sounds(200, seed=5)).mean() == pytest.approx(1, abs=0.15)


def test_the_same_step_counts_more_in_a_quiet_band(detector: MahalanobisAutoencoder) -> None:
    quiet, noisy = changed([1], [0.6]), changed([NOISY], [0.6])
    assert detector.score(quiet).min() > np.median(detector.score(noisy))


def test_bands_that_part_count_more_than_those_that_go_together(
    detector: MahalanobisAutoencoder,
) -> None:
    together, apart = changed([LEADS, FOLLOWS], [1, 1]), changed([LEADS, FOLLOWS], [0.5, -0.5])
    assert detector.score(apart).min() > detector.score(together).max()


@pytest.mark.parametrize("band", [1, 5])
def test_the_band_that_changed_has_the_share(detector: MahalanobisAutoencoder, band: int) -> None:
    assert (detector.contributions(changed([band], [1.0])).argmax(axis=1) == band).all()


def test_the_map_shows_the_band_and_when(detector: MahalanobisAutoencoder) -> None:
    heat = detector.heat_maps(changed([2], [2.0]))
    assert heat.shape == (60, *SHAPE)
    assert (heat >= 0).all()
    loudest = heat.mean(axis=0)
    assert loudest.argmax() // SHAPE[1] == 2
    assert loudest[2, 8:12].min() > 3 * loudest[2, :5].max()


def test_the_map_adds_up_to_the_score(detector: MahalanobisAutoencoder) -> None:
    x = sounds(10, seed=3)
    stacks = np.convolve(np.ones(SHAPE[1] - 2), np.ones(3))  # that have each frame
    total = (detector.heat_maps(x) * stacks).sum(axis=(1, 2)) / stacks.sum() / SHAPE[0]
    np.testing.assert_allclose(total, detector.score(x), rtol=1e-4)


def test_onnx_says_what_torch_says(detector: MahalanobisAutoencoder) -> None:
    x = sounds(8, seed=4)
    fast = detector.compile(8, "onnx")
    assert fast.backend == "onnx"
    np.testing.assert_allclose(fast(x), detector.compile(8, "torch")(x), rtol=1e-5)


def test_labelled_anomalies_are_not_learned(detector: MahalanobisAutoencoder) -> None:
    wild = anomalous_examples(SHAPE, 30)
    found = made()
    labels = np.repeat(np.array([0, 1], np.float32), [300, 30])
    found.fit(np.concatenate([sounds(300), wild]), labels)
    np.testing.assert_array_equal(found.score(wild), detector.score(wild))


def test_a_few_wild_examples_do_not_widen_what_is_normal(detector: MahalanobisAutoencoder) -> None:
    mixed = np.concatenate([sounds(300), changed([1], [3.0])[:10]])
    trimmed, all_in = made(), made(trim=0.0)
    trimmed.fit(mixed)
    all_in.fit(mixed)
    faults = changed([1], [0.5])
    assert np.median(trimmed.score(faults)) > 1.5 * np.median(all_in.score(faults))


def test_windows_of_one_channel_do_too() -> None:
    found = MahalanobisAutoencoder((1, 24), epochs=2, batch=16)
    assert found.latent == 2
    found.fit(normal_examples((1, 24), 200))
    normal = found.score(normal_examples((1, 24), 100, seed=3))
    wild = found.score(anomalous_examples((1, 24), 100))
    assert roc_auc_score(np.repeat([0, 1], 100), np.concatenate([normal, wild])) > 0.99


@pytest.mark.parametrize(
    ("shape", "params", "said"),
    [
        ((3, 8, 8), {}, "valid are"),
        ((0, 8), {}, "valid are"),
        (SHAPE, {"context": 21}, "whole numbers from 1 to 20"),
        (SHAPE, {"trim": 0.5}, "numbers from 0 to under 0.5"),
        (SHAPE, {"latent": 0}, "whole numbers from 1"),
        (SHAPE, {"widths": []}, "1 to 6 whole numbers"),
        ((500, 100), {"context": 100}, "take smaller widths"),
    ],
)
def test_what_cannot_be_used_is_told(
    shape: tuple[int, ...], params: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        MahalanobisAutoencoder(shape, **params)


def test_examples_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(ModelError, match="all the same"):
        made().fit(np.ones((100, *SHAPE), np.float32))
