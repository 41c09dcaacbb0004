"""The baseline: Mahalanobis distance with a shrunk covariance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from monitor.detect.classical.mahalanobis import Mahalanobis, shrunk_covariance, whitening_of
from monitor.errors import ConfigError, ModelError
from monitor.testing import check_detector
from monitor.types import Array

SHAPE = (2, 4)


def correlated(count: int, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    mix = np.eye(8) + np.random.default_rng(99).normal(0, 0.2, (8, 8))
    return np.asarray((random.normal(size=(count, 8)) @ mix + 5).reshape(count, *SHAPE), np.float32)


def fitted(x: Array, **params: Any) -> Mahalanobis:
    made = Mahalanobis(SHAPE, **params)
    made.fit(x)
    return made


@settings(deadline=None, max_examples=30)
@given(st.integers(5, 60), st.integers(1, 12), st.integers(0, 1000))
def test_the_covariance_is_that_of_ledoit_and_wolf(count: int, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    z = random.normal(size=(count, size)) @ random.normal(size=(size, size))
    z -= z.mean(axis=0)
    expected, _ = ledoit_wolf(z, assume_centered=True)
    np.testing.assert_allclose(shrunk_covariance(z), expected, rtol=1e-6, atol=1e-9)


def test_whitened_data_have_unit_covariance() -> None:
    z = correlated(20_000).reshape(-1, 8).astype(np.float64)
    mean, whitening = whitening_of(z)
    white = (z - mean) @ whitening
    np.testing.assert_allclose(np.cov(white.T), np.eye(8), atol=0.1)


def test_the_score_is_the_distance_over_the_root_of_the_dimensions() -> None:
    x = correlated(5000)
    made = fitted(x, trim=0.0)
    flat = x.reshape(-1, 8).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    squares = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(np.cov(flat.T)), centred)
    np.testing.assert_allclose(made.score(x), np.sqrt(squares / 8), rtol=0.05)


def test_it_keeps_the_promises_for_any_shape() -> None:
    check_detector(lambda: Mahalanobis((5,)))
    check_detector(lambda: Mahalanobis((2, 3, 2)))


def test_the_channel_that_is_off_has_the_larger_share() -> None:
    x = np.random.default_rng(1).normal(size=(500, *SHAPE)).astype(np.float32)
    made = fitted(x)
    for channel in (0, 1):
        off = x[:50].copy()
        off[:, channel, 2] += 20
        assert (made.contributions(off)[:, channel] > 0.8).all()


def test_a_broken_correlation_counts_although_each_value_is_ordinary() -> None:
    base = np.random.default_rng(2).normal(size=(500, 1, 1))
    noise = np.random.default_rng(3).normal(0, 0.1, (500, *SHAPE))
    x = (base + noise).astype(np.float32)
    odd = x[:1].copy()
    odd[0] = [[1, 1, 1, 1], [1, 1, 1, -1]]
    assert fitted(x).score(odd)[0] > 2 * fitted(x).score(x).max()


def test_a_few_anomalies_among_the_examples_hardly_matter() -> None:
    x = correlated(1000)
    clean = fitted(x).score(correlated(100, seed=4))
    x[::25] += 50
    spoiled = fitted(x).score(correlated(100, seed=4))
    assert np.median(spoiled / clean) == pytest.approx(1, abs=0.15)


def test_labelled_anomalies_are_left_out() -> None:
    x = np.concatenate([correlated(200), correlated(200, seed=1) + 100])
    y = np.repeat(np.array([0, 1], np.float32), 200)
    made = Mahalanobis(SHAPE)
    made.fit(x, y)
    assert np.array_equal(made.score(x), fitted(x[:200]).score(x))


def test_a_statistic_that_never_changed_cannot_explode() -> None:
    x = correlated(200)
    x[:, 0, 0] = 7
    made = fitted(x)
    odd = x[:1].copy()
    odd[0, 0, 0] = np.float32(3e38)
    assert np.isfinite(made.score(odd)).all()
    assert made.score(odd)[0] > made.score(x).max()


@pytest.mark.parametrize("trim", [-0.1, 0.5, "some"])
def test_a_trim_that_makes_no_sense_is_refused(trim: Any) -> None:
    with pytest.raises(ConfigError, match="trim is"):
        Mahalanobis(SHAPE, trim=trim)


def test_examples_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ModelError, match="15 examples are not anomalies; at least 16"):
        fitted(correlated(15))
    with pytest.raises(ModelError, match="NaN"):
        fitted(np.full((20, *SHAPE), np.nan, np.float32))
    with pytest.raises(ModelError, match=r"shape \(8,\); valid is \(2, 4\)"):
        fitted(correlated(20).reshape(20, 8))


def test_it_cannot_score_before_training() -> None:
    with pytest.raises(ModelError, match="call fit or restore"):
        Mahalanobis(SHAPE).score(correlated(2))


def test_a_scale_of_zero_is_refused() -> None:
    state = fitted(correlated(50)).state()
    state["scale"][1] = 0
    with pytest.raises(ModelError, match="not over 0"):
        Mahalanobis(SHAPE).restore(state)
