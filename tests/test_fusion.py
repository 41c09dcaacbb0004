"""Many detectors' scores -> one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerting import AlertConfig
from monitor.stream.fusion import Fusion, fuse
from monitor.types import Array

NAN = math.nan


def row(*values: float) -> Array:
    return np.array([values], np.float32)


@pytest.mark.parametrize(
    ("values", "votes", "expected"),
    [
        ((0.5, 3.0, 2.0), 1, 3.0),
        ((0.5, 3.0, 2.0), 2, 2.0),
        ((0.5, 3.0, 2.0), 3, 0.5),
        ((NAN, 3.0, 2.0), 2, 2.0),
        ((NAN, 3.0, NAN), 2, 0.0),
        ((math.inf, 3.0), 1, math.inf),
    ],
)
def test_it_is_the_so_manieth_largest_known_score(
    values: tuple[float, ...], votes: int, expected: float
) -> None:
    assert fuse(row(*values), votes).tolist() == [expected]


def test_nobody_knowing_is_unknown() -> None:
    assert np.isnan(fuse(row(NAN, NAN), 1)).all()


def test_no_windows_have_no_scores() -> None:
    assert fuse(np.empty((0, 2), np.float32), 1).shape == (0,)


SCORES = st.one_of(st.floats(0, 10, width=32), st.just(NAN))


@given(st.lists(SCORES, min_size=1, max_size=5), st.integers(1, 5))
def test_it_is_over_one_exactly_where_enough_detectors_are(values: list[float], votes: int) -> None:
    assert (fuse(row(*values), votes)[0] > 1) == (sum(value > 1 for value in values) >= votes)


RATE = 0.005
LOG_P = st.one_of(
    st.floats(-2000, 0, width=32), st.floats(-5, 0, width=32), st.sampled_from([0.0, -1e30])
)


def fusion(kind: str, detectors: str = "abc", **values: Any) -> Fusion:
    asked = AlertConfig.model_validate({"fusion": kind} | values)
    return Fusion(asked, list(detectors), RATE)


both = pytest.mark.parametrize("kind", ["cauchy", "log_p"])


@pytest.mark.parametrize("row_of", [(0.5, 0.01, 0.2), (0.9, 1e-9, 0.3), (0.98, 0.97, 0.9)])
def test_cauchy_is_the_published_combination(row_of: tuple[float, ...]) -> None:
    statistic = np.mean(np.tan((0.5 - np.array(row_of)) * np.pi))
    expected = 0.5 - np.arctan(statistic) / np.pi
    found = fusion("cauchy").log_p(np.log(np.array([row_of], np.float32)))
    assert np.exp(found) == pytest.approx(expected, rel=1e-4)


def test_mean_log_p_gives_up_a_factor_of_e_for_dependence() -> None:
    found = fusion("log_p").log_p(row(-4, -8, -12))
    assert found == pytest.approx(1 - 8)
    assert fusion("log_p").log_p(row(-0.5, -0.5, -0.5)) == 0


@both
def test_the_value_is_over_one_where_p_is_below_the_rate(kind: str) -> None:
    for log_p in (-4.0, -5.0, -6.5, -12.0):
        made = fusion(kind)
        given = row(log_p, log_p, log_p)
        fused = float(made.log_p(given)[0])
        assert made.of_p(given)[0] == pytest.approx(fused / math.log(RATE), rel=1e-6)
        assert (made.of_p(given)[0] > 1) == (fused < math.log(RATE))


@both
@given(st.lists(LOG_P, min_size=3, max_size=3), st.integers(0, 2), st.floats(0, 50))
def test_what_surprises_more_never_counts_less(
    kind: str, log_p: list[float], place: int, more: float
) -> None:
    other = list(log_p)
    other[place] -= more
    low, high = (float(fusion(kind).of_p(row(*each))[0]) for each in (log_p, other))
    assert 0 <= low <= high * (1 + 1e-5) + 1e-5
    assert math.isfinite(high)


@both
def test_who_has_no_p_value_is_left_out(kind: str) -> None:
    alone = fusion(kind, "ab").log_p(row(-3, -7))
    assert fusion(kind).log_p(row(-3, NAN, -7)) == pytest.approx(alone)
    assert np.isnan(fusion(kind).of_p(row(NAN, NAN, NAN))).all()


def test_one_detector_alone_keeps_its_p_value_with_cauchy() -> None:
    assert fusion("cauchy", "a").log_p(row(-9)) == pytest.approx(-9)
    assert fusion("cauchy", "a").log_p(row(-1500)) == pytest.approx(-1500)


@both
def test_weights_say_who_counts_more(kind: str) -> None:
    weighed = fusion(kind, "ab", weights={"a": 3})
    assert weighed.log_p(row(-9, -1)) < weighed.log_p(row(-1, -9))
    assert weighed.log_p(row(-9, -1)) < fusion(kind, "ab").log_p(row(-9, -1))


@both
@pytest.mark.parametrize("dependence", [0.0, 0.7, 1.0])
def test_normal_windows_are_flagged_no_more_than_asked_whatever_the_dependence(
    kind: str, dependence: float
) -> None:
    random = np.random.default_rng(5)
    shared, own = random.normal(size=(400_000, 1)), random.normal(size=(400_000, 3))
    normal = math.sqrt(dependence) * shared + math.sqrt(1 - dependence) * own
    log_p = np.log([0.5 * math.erfc(z / math.sqrt(2)) for z in normal.ravel()])
    fused = fusion(kind).of_p(log_p.reshape(-1, 3).astype(np.float32))
    assert (fused > 1).mean() < 1.15 * RATE
