"""P-values of scores among the last ones: ranks in the bulk, a fitted tail beyond."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alerting import ThresholdConfig
from monitor.errors import ModelError
from monitor.stream.pvalues import LEAST, PART
from monitor.stream.threshold import RollingThreshold
from monitor.types import Array

ONE = np.zeros(1, np.int64)
SCORES = st.one_of(
    st.floats(0, 1000, width=32),
    st.sampled_from([0.0, 1.0, 1.0, 7.0, 3e38, 1e-30]),
)
ROWS = st.lists(SCORES, min_size=1, max_size=90)


def made(scores: Any, **values: Any) -> RollingThreshold:
    """One slot and detector that has learned these scores, whatever they are."""
    plain = {"floor": 1e-30, "warm_up": 1, "cap": 1e6, "adopt": 10**6, "window": 64}
    rolling = RollingThreshold(
        1, ThresholdConfig.model_validate(plain | values), [None], p_values=True
    )
    for score in scores:
        rolling.update(ONE, np.array([[score]], np.float32))
    return rolling


def log_p(rolling: RollingThreshold, score: float) -> float:
    return float(rolling.log_p(ONE, np.array([[score]], np.float32))[0, 0])


@settings(deadline=None, max_examples=80)
@given(ROWS, st.lists(SCORES, min_size=2, max_size=12), st.floats(0.5, 0.9999))
def test_p_values_are_numbers_that_never_rise_with_the_score(
    seen: list[float], asked: list[float], quantile: float
) -> None:
    rolling = made(seen, quantile=quantile, rate_step=0.3)
    found = [log_p(rolling, score) for score in [*sorted(asked), math.inf]]
    assert not any(map(math.isnan, found))
    assert max(found) <= 0
    assert all(low >= high for low, high in pairwise(found))
    assert found[-1] >= np.float32(LEAST)
    assert len(seen) <= 10 or found[-1] == np.float32(LEAST)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 30))
def test_in_the_bulk_they_are_conformal_ranks(seen: list[int], score: int) -> None:
    found = math.exp(log_p(made(seen), score))
    larger = sum(past >= score for past in seen)
    upper = max(10, len(seen) // PART) if len(seen) > 10 else 0
    if not upper or score <= sorted(seen)[-upper - 1]:
        assert found == pytest.approx((larger + 1) / (len(seen) + 1), rel=1e-5)


def test_beyond_what_was_seen_the_tail_goes_on() -> None:
    random = np.random.default_rng(4)
    rolling = made(random.exponential(size=2048), window=2048)
    assert log_p(rolling, 9.0) == pytest.approx(-9, rel=0.3)
    assert log_p(rolling, 3.0) == pytest.approx(-3, rel=0.05)


@pytest.mark.parametrize("kind", ["exponential", "normal", "lognormal"])
def test_normal_scores_have_p_values_as_rare_as_they_say(kind: str) -> None:
    random = np.random.default_rng(8)
    scores = {
        "exponential": random.exponential(size=(3000, 40)),
        "normal": np.abs(random.normal(size=(3000, 40))),
        "lognormal": np.exp(random.normal(size=(3000, 40))),
    }[kind].astype(np.float32)
    asked = ThresholdConfig(window=1000, quantile=0.999, cap=1e6)
    rolling = RollingThreshold(1, asked, [None], p_values=True)
    slots, found = np.arange(40), []
    for row in scores:
        found.append(rolling.log_p(slots, row[:, None]))
        rolling.update(slots, row[:, None])
    late = np.array(found[1000:])
    assert (late < math.log(0.01)).mean() == pytest.approx(0.01, rel=0.15)
    assert (late < math.log(0.001)).mean() == pytest.approx(0.001, rel=0.4)


def test_in_the_warm_up_and_without_a_score_there_is_none() -> None:
    rolling = made([1, 2], warm_up=4)
    assert math.isnan(log_p(rolling, 3))
    rolling = made([1, 2, 3, 4], warm_up=4)
    assert not math.isnan(log_p(rolling, 3))
    assert math.isnan(log_p(rolling, math.nan))


def test_a_score_up_to_the_floor_surprises_nobody() -> None:
    rolling = made([0.0] * 50, floor=0.5)
    assert log_p(rolling, 0.5) == 0
    assert log_p(rolling, 0.51) < -10


def test_a_margin_makes_scores_smaller() -> None:
    seen = np.random.default_rng(2).exponential(size=60)
    assert log_p(made(seen, margin=2.0), 5.0) == log_p(made(seen), 2.5)


def test_where_the_working_rate_has_moved_p_values_have_too() -> None:
    random = np.random.default_rng(1)
    asked: dict[str, Any] = {"quantile": 0.99, "tail": "pareto", "window": 512}
    rolling = made(random.exponential(size=600), rate_step=1.0, rate_bound=4, **asked)
    for score in np.full(6, float(rolling.cuts(ONE)[0, 0]) * 1.01):
        rolling.update(ONE, np.array([[score]], np.float32))
    assert rolling.rates()[0, 0] < 0.009
    cut = float(rolling.cuts(ONE)[0, 0])
    assert log_p(rolling, cut) == pytest.approx(math.log(0.01), rel=1e-3)


def test_neither_company_nor_a_restart_changes_a_bit_of_them() -> None:
    random = np.random.default_rng(6)
    asked = ThresholdConfig(window=64, tail="pareto", rate_step=0.2, warm_up=20, quantile=0.97)
    one, other = (RollingThreshold(1, asked, [None], p_values=True) for _ in range(2))
    slots = np.arange(5)
    for turn in range(150):
        raw = random.exponential(size=(5, 1)).astype(np.float32)
        together = one.log_p(slots, raw)
        apart: list[Array] = [other.log_p(slots[i : i + 1], raw[i : i + 1]) for i in range(5)]
        np.testing.assert_array_equal(together, np.concatenate(apart))
        np.testing.assert_array_equal(one.cuts(slots), other.cuts(slots))
        one.update(slots, raw)
        for i in (3, 1, 0, 4, 2):
            other.update(slots[i : i + 1], raw[i : i + 1])
        if turn % 40 == 39:
            state = other.state()
            other = RollingThreshold(1, asked, [None], p_values=True)
            other.restore(state)


def test_they_have_to_be_asked_for() -> None:
    rolling = RollingThreshold(1, ThresholdConfig(), [None])
    with pytest.raises(ModelError, match="not asked for"):
        rolling.log_p(ONE, np.ones((1, 1), np.float32))
