"""The working rate: what is realised keeps to what is asked for, within bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerting import ThresholdConfig
from monitor.errors import StateError
from monitor.stream.rate import control_of, moved
from monitor.stream.threshold import RollingThreshold
from monitor.types import Array, Slots

ONE = np.zeros(1, np.int64)


def rolling(sensors: int = 1, **values: Any) -> tuple[RollingThreshold, Slots]:
    plain = {"quantile": 0.99, "window": 256, "warm_up": 50, "rate_step": 0.1}
    asked = ThresholdConfig.model_validate(plain | values)
    return RollingThreshold(1, asked, [None]), np.arange(sensors)


def learn(threshold: RollingThreshold, slots: Slots, scores: Any, held: bool = False) -> float:
    """The share of scores `(n, S)` that is flagged."""
    flags = []
    for row in np.asarray(scores, np.float32):
        flags.append(row > threshold.cuts(slots)[:, 0])
        threshold.update(slots, row[:, None], np.full(len(slots), held))
    return float(np.mean(flags))


@given(
    st.lists(st.booleans(), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.9, 0.999]),
    st.floats(0.001, 1),
    st.floats(1, 100),
)
def test_any_series_of_flags_is_as_near_to_the_rate_as_the_level_has_moved(
    flags: list[bool], quantile: float, step: float, bound: float
) -> None:
    control = control_of(ThresholdConfig(quantile=quantile, rate_step=step, rate_bound=bound))
    level, free = 0.0, True
    for flagged in flags:
        level = moved(level, float(flagged), control)
        free &= control.low < level < control.high
        assert abs(level) <= math.log(bound)
        assert control.rate * math.exp(level) <= max(0.5, control.rate) + 1e-9
    if free:
        gap = control.rate - np.mean(flags)
        assert gap == pytest.approx(level / step / len(flags), abs=1e-9)
        assert abs(gap) <= 2 * math.log(bound) / (step * len(flags)) + 1e-9


def test_the_realised_rate_keeps_to_the_nominal_one_while_scores_grow() -> None:
    random = np.random.default_rng(3)
    scale = np.exp(np.arange(6000) / 800)[:, None]
    scores = random.exponential(size=(6000, 20)) * scale
    kept, slots = rolling(20)
    left, _ = rolling(20, rate_step=0.0)
    learn(kept, slots, scores[:2000])
    learn(left, slots, scores[:2000])
    assert learn(kept, slots, scores[2000:]) == pytest.approx(0.01, rel=0.15)
    assert learn(left, slots, scores[2000:]) > 0.015


def test_what_does_not_teach_does_not_count() -> None:
    threshold, slots = rolling()
    learn(threshold, slots, np.random.default_rng(0).exponential(size=(300, 1)))
    before = threshold.rates()
    learn(threshold, slots, np.full((40, 1), 100.0), held=True)
    learn(threshold, slots, np.full((40, 1), 0.1), held=True)
    learn(threshold, slots, np.full((40, 1), np.nan))
    assert (threshold.rates() == before).all()


def test_in_the_warm_up_nothing_counts() -> None:
    threshold, slots = rolling()
    learn(threshold, slots, np.ones((50, 1)))
    assert threshold.rates() == pytest.approx(0.01)
    learn(threshold, slots, np.ones((1, 1)))
    assert threshold.rates()[0, 0] > 0.01


def test_an_attack_pulls_the_working_rate_to_its_bound_and_no_further() -> None:
    threshold, slots = rolling(rate_bound=4, tail="pareto", adopt=10**6)
    learn(threshold, slots, np.random.default_rng(0).exponential(size=(300, 1)))
    for _ in range(400):
        cut: Array = threshold.cuts(slots)
        threshold.update(slots, cut * np.float32(1.01))
        threshold.update(slots, cut * np.float32(0.01))
    assert threshold.rates()[0, 0] == pytest.approx(0.01 / 4, rel=0.01)


def test_an_adopted_level_begins_at_the_nominal_rate() -> None:
    threshold, slots = rolling(adopt=20)
    learn(threshold, slots, np.random.default_rng(0).exponential(size=(300, 1)))
    learn(threshold, slots, np.full((19, 1), 1e6))
    assert threshold.rates()[0, 0] < 0.009
    learn(threshold, slots, np.full((1, 1), 1e6))
    assert threshold.rates()[0, 0] == pytest.approx(0.01)


def test_a_level_out_of_bounds_is_a_damaged_state() -> None:
    threshold, slots = rolling(rate_bound=4)
    learn(threshold, slots, np.ones((3, 1)))
    for wrong in (2.0, -2.0, np.nan):
        state = threshold.state()
        state["level"][...] = wrong
        with pytest.raises(StateError, match="damaged in level"):
            threshold.restore(state)
