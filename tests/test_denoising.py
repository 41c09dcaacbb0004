"""Autoencoders that rebuild from noisy examples, and batches of which nothing is dropped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monitor.detect import build
from monitor.detect.deep.training import Loss, Training, _trimmed
from monitor.errors import ConfigError
from monitor.types import Array

SHAPE = (1, 12, 12)


def bars(count: int, seed: int = 0) -> Array:
    """Frames with one upright bar each, somewhere in the middle."""
    random = np.random.default_rng(seed)
    x = np.full((count, *SHAPE), -1, np.float32)
    for n, place in enumerate(random.integers(3, 8, count).tolist()):
        x[n, 0, 2:10, place : place + 2] = 1
    return x


@pytest.mark.parametrize("name", ["dense_ae", "conv_ae"])
def test_a_net_that_learned_from_noisy_frames_gives_back_clean_ones(name: str) -> None:
    clean = bars(60, 2)
    noisy = clean + np.random.default_rng(0).normal(0, 0.7, clean.shape).astype(np.float32)
    errors = {}
    for noise in (0.0, 0.7):
        made = build(name, SHAPE, noise=noise, latent=24, epochs=5)
        made.fit(bars(200))
        errors[noise] = float(((made.rebuild(noisy) - clean) ** 2).mean())
    assert errors[0.7] < 0.7 * errors[0.0]


def test_noise_is_of_the_seed_and_of_training_alone() -> None:
    made = [build("dense_ae", SHAPE, noise=0.5, epochs=2, seed=3) for _ in range(2)]
    for one in made:
        one.fit(bars(100))
    x = bars(20, 5)
    assert np.array_equal(made[0].score(x), made[1].score(x))
    assert np.array_equal(made[0].score(x), made[0].score(x))


@pytest.mark.parametrize("noise", [-0.1, 11, "much", True, float("nan")])
def test_noise_that_is_none_is_refused(noise: object) -> None:
    with pytest.raises(ConfigError, match=r"noise is .*; numbers from 0 to 10 are valid"):
        build("dense_ae", SHAPE, noise=noise)


@pytest.mark.parametrize("trim", [-0.1, 0.5, "some", True])
def test_a_share_that_cannot_be_dropped_is_refused(trim: object) -> None:
    with pytest.raises(ConfigError, match=r"trim is .*; numbers from 0 to under 0\.5 are valid"):
        Training(trim=trim)  # type: ignore[arg-type]


def test_the_worst_share_of_a_batch_is_dropped_and_none_where_it_is_nought() -> None:
    loss = Loss(torch.tensor([1.0, 2.0, 3.0, 10.0]), torch.tensor(0.5))
    assert float(_trimmed(loss, 0.25)) == pytest.approx(2.5)
    assert float(_trimmed(loss, 0.0)) == pytest.approx(4.5)
