"""A memory of normal patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detect.patches.convolutions import KERNELS, convolved, dilations_of, fit_biases
from monitor.detect.patches.patch_memory import PatchMemory
from monitor.errors import ConfigError, ModelError
from monitor.testing import check_detector
from monitor.types import Array

SHAPE = (2, 40)
CONV: dict[str, Any] = {"encoder": "conv", "epochs": 2}


def waves(count: int, seed: int = 0, *, pace: float = 0.5) -> Array:
    """Windows of two channels: waves of one pace with any phase, and a little noise."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi, (count, 2, 1))
    x = np.sin(pace * np.arange(SHAPE[1]) + phase) + random.normal(0, 0.1, (count, *SHAPE))
    return x.astype(np.float32)


def fitted(x: Array, **params: Any) -> PatchMemory:
    made = PatchMemory(x.shape[1:], **params)
    made.fit(x)
    return made


def separated(made: PatchMemory, odd: Array) -> float:
    """The share of odd windows that score higher than all but 2 % of new normal ones."""
    usual = np.quantile(made.score(waves(200, seed=9)), 0.98)
    return float((made.score(odd) > usual).mean())


@pytest.mark.parametrize("params", [{}, {"encoder": "conv", "epochs": 1}])
def test_it_keeps_the_promises_whatever_the_encoder(params: dict[str, Any]) -> None:
    check_detector(lambda: PatchMemory((1, 12), **params))


def test_it_keeps_the_promises_for_windows_shorter_than_a_kernel() -> None:
    check_detector(lambda: PatchMemory((2, 5), patches=3))


def test_a_normal_window_scores_about_1() -> None:
    made = fitted(waves(300))
    assert np.median(made.score(waves(100, seed=1))) == pytest.approx(1.2, abs=0.3)


@pytest.mark.parametrize("params", [{}, CONV])
def test_another_pace_is_found_although_level_and_size_are_ordinary(
    params: dict[str, Any],
) -> None:
    made = fitted(waves(300), **params)
    assert separated(made, waves(100, seed=1, pace=0.8)) > 0.9


@pytest.mark.parametrize("params", [{}, CONV])
def test_a_shift_of_level_is_found_although_the_shape_is_ordinary(params: dict[str, Any]) -> None:
    made = fitted(waves(300), **params)
    assert separated(made, waves(100, seed=1) + np.float32(1.5)) > 0.9


def test_a_stuck_stretch_in_one_patch_is_found() -> None:
    odd = waves(100, seed=1)
    odd[:, 1, 20:] = odd[:, 1, 20:21]
    assert separated(fitted(waves(300)), odd) > 0.9


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1), st.integers(0, 1000))
def test_the_channel_that_is_off_has_the_larger_share(channel: int, seed: int) -> None:
    odd = waves(20, seed=seed)
    odd[:, channel] = np.random.default_rng(seed).normal(0, 1, (20, SHAPE[1]))
    found = MADE.contributions(odd)[:, channel]
    assert (found > 0.5).all()
    assert found.mean() > 0.8


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_a_score_does_not_depend_on_the_company(count: int, seed: int) -> None:
    x = waves(count, seed=seed)
    alone = np.concatenate([MADE.score(row[None]) for row in x])
    assert np.array_equal(MADE.score(x), alone)


MADE = fitted(waves(200))


def test_a_few_anomalies_among_the_examples_are_not_remembered() -> None:
    x = waves(300)
    x[100:115] = waves(15, seed=5, pace=1.3)
    odd = waves(100, seed=6, pace=1.3)
    assert separated(fitted(x), odd) > 0.9
    assert separated(fitted(x, trim=0.0), odd) < 0.5


def test_labelled_anomalies_are_left_out() -> None:
    x = np.concatenate([waves(60), waves(60, seed=1) + 100])
    y = np.repeat(np.array([0, 1], np.float32), 60)
    made = PatchMemory(SHAPE)
    made.fit(x, y)
    assert np.array_equal(made.score(x), fitted(x[:60]).score(x))


@pytest.mark.parametrize("params", [{}, CONV])
def test_sixteen_windows_are_enough(params: dict[str, Any]) -> None:
    made = fitted(waves(16), **params)
    assert np.median(made.score(waves(50, seed=1) + 5)) > 2 * np.median(
        made.score(waves(50, seed=1))
    )


@pytest.mark.parametrize("params", [{}, CONV])
def test_a_channel_that_was_constant_cannot_explode_and_is_blamed_when_it_moves(
    params: dict[str, Any],
) -> None:
    x = waves(100)
    x[:, 0] = 0
    made = fitted(x, **params)
    odd = x[:1].copy()
    assert np.median(made.score(x)) < 2
    odd[0, 0, 10:] = np.float32(3e38)
    assert np.isfinite(made.score(odd)).all()
    assert made.score(odd)[0] > 10
    assert made.contributions(odd)[0, 0] > 0.9


def test_of_many_windows_so_many_are_remembered() -> None:
    state = fitted(waves(200), memory=20, dimensions=8, patches=3).state()
    assert state["memory"].shape == (2, 8, 20)
    assert state["axes"].shape[2] == 8


def test_answers_of_kernels_are_those_of_a_convolution() -> None:
    x = waves(3)
    biases = fit_biases(waves(50))
    found = convolved(x, biases, 1)[..., :-2] * np.sqrt(KERNELS * len(dilations_of(40)))
    weights = np.full(9, -1.0)
    weights[[0, 1, 2]] = 2
    for place, dilation in enumerate(dilations_of(40)):
        spread = np.zeros(8 * dilation + 1)
        spread[::dilation] = weights
        answers = np.correlate(x[1, 0], spread, "valid")
        share = (answers > biases[0, place, 0]).mean()
        assert found[1, 0, 0, place * KERNELS] == pytest.approx(share, abs=1e-6)


def test_biases_are_answers_from_rare_to_common() -> None:
    x = waves(200)
    shares = convolved(x, fit_biases(x), 1)[:, 0, 0, :KERNELS].mean(axis=0)
    shares = shares * np.sqrt(KERNELS * len(dilations_of(40)))
    assert shares.min() < 0.1
    assert shares.max() > 0.9


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"encoder": "some"}, "encoder is 'some'; valid are random, conv"),
        ({"trim": 0.5}, "trim is 0.5"),
        ({"patches": 0}, "patches is 0"),
        ({"memory": 1.5}, "memory is 1.5"),
        ({"dimensions": 0}, "dimensions is 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PatchMemory(SHAPE, **params)


def test_shapes_without_time_are_refused() -> None:
    with pytest.raises(ConfigError, match="patches are of windows"):
        PatchMemory((1, 8, 8))
    with pytest.raises(ConfigError, match="at least 4 samples"):
        PatchMemory((1, 3), encoder="conv")


def test_examples_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ModelError, match="15 examples are not anomalies; at least 16"):
        fitted(waves(15))
    with pytest.raises(ModelError, match="NaN"):
        fitted(np.full((20, *SHAPE), np.nan, np.float32))
    with pytest.raises(ModelError, match=r"shape \(2, 39\); valid is \(2, 40\)"):
        MADE.score(waves(3)[:, :, 1:])


def test_it_cannot_score_before_training() -> None:
    with pytest.raises(ModelError, match="call fit or restore"):
        PatchMemory(SHAPE).score(waves(2))


@pytest.mark.parametrize("name", ["level", "axes", "memory", "encoder/biases"])
def test_arrays_that_cannot_be_are_refused(name: str) -> None:
    state = MADE.state()
    state[name] = state[name] * np.float32(np.nan)
    with pytest.raises(ModelError, match=name.rpartition("/")[2]):
        PatchMemory(SHAPE).restore(state)


def test_arrays_of_another_encoder_are_refused() -> None:
    with pytest.raises(ModelError, match=r"'centre' is float32 \(2, 170\); valid"):
        PatchMemory(SHAPE, encoder="conv").restore(MADE.state())


@pytest.mark.parametrize("shape", [(), (0,), (2, 32, 0), (2, 32, 513)])
def test_a_memory_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    state = {**MADE.state(), "memory": np.zeros(shape, np.float32)}
    with pytest.raises(ModelError, match="'memory' is float32"):
        PatchMemory(SHAPE).restore(state)


def test_a_level_of_zero_is_refused() -> None:
    state = MADE.state()
    state["level"][0] = 0
    with pytest.raises(ModelError, match="not over 0"):
        PatchMemory(SHAPE).restore(state)
