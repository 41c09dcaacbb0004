"""Random convolutions of the whole window, and their Mahalanobis distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detect.patches.random_kernels import RandomKernels
from monitor.errors import ConfigError, ModelError
from monitor.testing import check_detector
from monitor.types import Array

SHAPE = (2, 40)


def waves(count: int, seed: int = 0, *, pace: float = 0.5, lag: float = 1.0) -> Array:
    """Windows of two channels: waves of one pace and any phase, the second behind by `lag`."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi, (count, 1, 1)) - np.array([[0], [lag]])
    x = np.sin(pace * np.arange(SHAPE[1]) + phase) + random.normal(0, 0.1, (count, *SHAPE))
    return np.asarray(x, np.float32)


def fitted(x: Array, **params: Any) -> RandomKernels:
    made = RandomKernels(x.shape[1:], **params)
    made.fit(x)
    return made


MADE = fitted(waves(300))


def separated(odd: Array) -> float:
    """The share of odd windows that score higher than all but 2 % of new normal ones."""
    usual = np.quantile(MADE.score(waves(200, seed=9)), 0.98)
    return float(np.mean(MADE.score(odd) > usual))


def test_it_keeps_the_promises_for_short_windows_and_several_patches() -> None:
    check_detector(lambda: RandomKernels((2, 12), patches=2))
    check_detector(lambda: RandomKernels((1, 3), patches=5))


def test_a_normal_window_scores_about_1() -> None:
    assert np.median(MADE.score(waves(100, seed=1))) == pytest.approx(1, abs=0.2)


def test_another_pace_is_found_although_level_and_size_are_ordinary() -> None:
    assert separated(waves(100, seed=1, pace=0.8)) > 0.9


def test_a_shift_of_level_is_found_although_the_shape_is_ordinary() -> None:
    assert separated(waves(100, seed=1) + np.float32(1.5)) > 0.9


def test_a_frozen_channel_is_found() -> None:
    odd = waves(100, seed=1)
    odd[:, 1, 15:] = odd[:, 1, 15:16]
    assert separated(odd) > 0.9


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1), st.integers(0, 1000))
def test_the_channel_that_is_off_has_the_larger_share(channel: int, seed: int) -> None:
    odd = waves(20, seed=seed)
    odd[:, channel] = np.random.default_rng(seed).normal(0, 1, (20, SHAPE[1]))
    found = MADE.contributions(odd)[:, channel]
    assert (found > 0.5).mean() > 0.9
    assert found.mean() > 0.65


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_a_score_does_not_depend_on_the_company(count: int, seed: int) -> None:
    x = waves(count, seed=seed)
    alone = np.concatenate([MADE.score(row[None]) for row in x])
    assert np.array_equal(MADE.score(x), alone)


def test_a_few_anomalies_among_the_examples_hardly_matter() -> None:
    x = waves(300)
    x[::60] += np.random.default_rng(5).normal(0, 3, x[::60].shape).astype(np.float32)
    odd, usual = waves(100, seed=6, pace=0.8), waves(100, seed=7)
    made = fitted(x)
    assert np.median(made.score(odd)) > np.quantile(made.score(usual), 0.98)


def test_labelled_anomalies_are_left_out() -> None:
    x = np.concatenate([waves(60), waves(60, seed=1) + 100])
    made = RandomKernels(SHAPE)
    made.fit(x, np.repeat(np.array([0, 1], np.float32), 60))
    assert np.array_equal(made.score(x), fitted(x[:60]).score(x))


def test_sixteen_windows_are_enough() -> None:
    made = fitted(waves(16))
    assert np.median(made.score(waves(50, 1) + 5)) > 2 * np.median(made.score(waves(50, 1)))


def test_a_channel_that_was_constant_cannot_explode_and_is_blamed_when_it_moves() -> None:
    x = waves(100)
    x[:, 0] = 0
    made = fitted(x)
    odd = x[:1].copy()
    odd[0, 0, 10:] = np.float32(3e38)
    assert np.isfinite(made.score(odd)).all()
    assert made.score(odd)[0] > 10
    assert made.contributions(odd)[0, 0] > 0.9


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"trim": 0.5}, "trim is 0.5"),
        ({"patches": 0}, "patches is 0"),
        ({"dimensions": 2.5}, "dimensions is 2.5"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RandomKernels(SHAPE, **params)
    with pytest.raises(ConfigError, match="kernels need windows"):
        RandomKernels((1, 8, 8))


def test_examples_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ModelError, match="15 examples are not anomalies; at least 16"):
        fitted(waves(15))
    with pytest.raises(ModelError, match="NaN"):
        fitted(np.full((20, *SHAPE), np.nan, np.float32))
    with pytest.raises(ModelError, match=r"shape \(2, 39\); valid is \(2, 40\)"):
        MADE.score(waves(3)[:, :, 1:])


def test_it_cannot_score_before_training() -> None:
    with pytest.raises(ModelError, match="call fit or restore"):
        RandomKernels(SHAPE).score(waves(2))


@pytest.mark.parametrize("name", ["axes", "centre", "encoder/biases", "distance/whitening"])
def test_arrays_that_cannot_be_are_refused(name: str) -> None:
    state = MADE.state()
    state[name] = state[name] * np.float32(np.nan)
    with pytest.raises(ModelError, match=name.rpartition("/")[2]):
        RandomKernels(SHAPE).restore(state)
    del state[name]
    with pytest.raises(ModelError, match="do not fit"):
        RandomKernels(SHAPE).restore(state)
