"""The generalised Pareto tail, and p-values from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import genpareto

from monitor.tail import HEAVIEST, excess_at, fit_tail, log_p_values, log_survival

SEEN = arrays(np.float32, st.integers(2, 80), elements=st.floats(0, 1e6, width=32)).map(np.sort)


@pytest.mark.parametrize("shape", [0.0, 0.1, 0.3])
def test_a_tail_is_found_again_from_its_own_samples(shape: float) -> None:
    x = np.sort(genpareto.rvs(shape, scale=2.0, size=20_000, random_state=1)).astype(np.float32)
    scale, found = fit_tail(x)
    assert found == pytest.approx(shape, abs=0.04)
    assert scale == pytest.approx(2.0, rel=0.05)


def test_a_bounded_tail_is_taken_as_exponential() -> None:
    x = np.sort(np.random.default_rng(0).uniform(0, 1, 5_000)).astype(np.float32)
    scale, shape = fit_tail(x)
    assert shape == 0
    assert scale == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("shape", [0.0, 0.25, HEAVIEST])
def test_survival_is_that_of_the_distribution(shape: float) -> None:
    for excess in (0.0, 0.5, 3.0, 20.0):
        expected = genpareto.logsf(excess, shape, scale=1.5)
        assert log_survival(excess, 1.5, shape) == pytest.approx(expected, rel=1e-9)


@given(st.floats(-30, 0), st.floats(1e-3, 1e3), st.floats(0, HEAVIEST))
def test_an_excess_has_the_probability_it_was_asked_for(
    log_p: float, scale: float, shape: float
) -> None:
    excess = excess_at(log_p, scale, shape)
    assert log_survival(excess, scale, shape) == pytest.approx(log_p, rel=1e-6, abs=1e-6)


@settings(deadline=None)
@given(SEEN, st.integers(0, 40))
def test_p_values_are_probabilities_that_never_rise_with_the_score(
    seen: np.ndarray[tuple[int], np.dtype[np.float32]], tail: int
) -> None:
    scores = np.sort(np.concatenate([seen, seen * 2, [0.0, 1e30]])).astype(np.float32)
    found = log_p_values(scores, seen, tail)
    assert not np.isnan(found).any()
    assert (found <= 1e-6).all()
    assert (np.diff(found) <= 1e-5).all()


def test_the_bulk_has_conformal_ranks() -> None:
    seen = np.arange(99, dtype=np.float32)
    found = np.exp(log_p_values(np.array([-1, 0, 49.5, 80], np.float32), seen, 10))
    assert found == pytest.approx([1.0, 1.0, 0.5, 0.2], abs=1e-6)


def test_beyond_what_was_seen_the_tail_goes_on() -> None:
    random = np.random.default_rng(3)
    seen = np.sort(random.exponential(1.0, 2_000)).astype(np.float32)
    found = log_p_values(np.array([12.0], np.float32), seen, 200)
    assert found[0] == pytest.approx(-12.0, rel=0.15)


def test_a_score_that_is_no_number_has_no_p_value() -> None:
    found = log_p_values(np.array([np.nan, 1.0], np.float32), np.ones(5, np.float32), 2)
    assert math.isnan(found[0])
    assert not math.isnan(found[1])
