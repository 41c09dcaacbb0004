"""The rolling percentile: exact, from the past only, hard to pull, quick to give in for good."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.alerting import AlertConfig, ThresholdConfig
from monitor.errors import ModelError, StateError
from monitor.protocols import Stateful
from monitor.stream.alarm import Alarm
from monitor.stream.threshold import RollingThreshold
from monitor.types import Array, State

ONE = np.zeros(1, np.int64)
FLOOR = 1e-30

some_scores = st.lists(
    st.one_of(
        st.floats(0, 1000, width=32),
        st.sampled_from([0.0, 1.0, 1.0, 2.0, 7.0]),
        st.sampled_from([np.nan, np.inf, -np.inf]),
    ),
    max_size=80,
)


def threshold(
    *, detectors: int = 1, calibration: list[Array | None] | None = None, **values: Any
) -> RollingThreshold:
    config = ThresholdConfig.model_validate({"floor": FLOOR, "warm_up": 1} | values)
    return RollingThreshold(detectors, config, calibration or [None] * detectors)


def feed(rolling: RollingThreshold, scores: Any) -> tuple[Array, NDArray[np.bool_]]:
    """The cut before each score of one slot and detector, and where a level was adopted."""
    cuts, adopted = [], []
    for score in scores:
        cuts.append(rolling.cuts(ONE)[0, 0])
        adopted.append(rolling.update(ONE, np.array([[score]], np.float32))[0, 0])
    return np.array(cuts, np.float32), np.array(adopted)


def percentile(past: Any, quantile: float) -> float:
    """What numpy says, in double precision so that it does not round the quantile."""
    return float(np.quantile(np.asarray(past, np.float64), quantile, method="higher"))


def replay(scores: Any, quantile: float, window: int, cap: float) -> list[float]:
    """The definition, as slow as it reads: every threshold from a list of the last scores."""
    past: list[np.float32] = []
    cuts = []
    limit = None
    for score in np.asarray(scores, np.float32):
        cut = np.float32(np.inf)
        if past:
            cut = max(np.float32(FLOOR), np.float32(percentile(past, quantile)))
        cuts.append(float(cut))
        if np.isfinite(score):
            limit = (limit or np.float32(cap) * cut) if score > cut else None
            past = [*past, min(score, limit or score)][-window:]
    return cuts


@settings(deadline=None, max_examples=60)
@given(some_scores, st.floats(0.001, 0.999), st.sampled_from([16, 17, 40]))
def test_every_threshold_is_the_exact_percentile_of_the_past(
    scores: list[float], quantile: float, window: int
) -> None:
    rolling = threshold(quantile=quantile, window=window, cap=1e6, adopt=10**6)
    expected = np.array(replay(scores, quantile, window, 1e6), np.float32)
    np.testing.assert_array_equal(feed(rolling, scores)[0], expected)


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9, 0.995])
@pytest.mark.parametrize("kind", ["random", "ties", "descending", "ascending", "constant", "saw"])
def test_long_series_stay_exact(quantile: float, kind: str) -> None:
    random = np.random.default_rng(5)
    series = {
        "random": random.exponential(size=1500),
        "ties": random.integers(0, 4, 1500),
        "descending": np.linspace(100, 1, 1500),
        "ascending": np.linspace(1, 100, 1500),
        "constant": np.full(1500, 3.0),
        "saw": np.arange(1500) % 97,
    }[kind]
    rolling = threshold(quantile=quantile, window=300, cap=1e6, adopt=10**6)
    expected = np.array(replay(series, quantile, 300, 1e6), np.float32)
    np.testing.assert_array_equal(feed(rolling, series)[0], expected)


def test_the_threshold_is_infinite_until_the_warm_up_is_over() -> None:
    rolling = threshold(warm_up=5)
    cuts, _ = feed(rolling, [1, 2, np.nan, 3, 4, 5, 6])
    assert np.isinf(cuts[:6]).all()
    assert cuts[6] == 5


def test_progress_counts_scores_that_are_finite() -> None:
    rolling = threshold(warm_up=4)
    assert rolling.progress().shape == (0, 1)
    feed(rolling, [1, np.nan, np.inf, 1, 1])
    assert rolling.progress() == pytest.approx(0.75)
    feed(rolling, [1, 1, 1])
    assert rolling.progress() == 1


def test_floor_and_margin_raise_the_threshold() -> None:
    assert feed(threshold(floor=0.5), [0.1, 0.2, 0.3])[0][-1] == np.float32(0.5)
    assert feed(threshold(margin=2.0), [1, 3, 0])[0][-1] == 6


def test_a_flagged_score_enters_capped() -> None:
    rolling = threshold(quantile=0.999, cap=2.0)
    cuts, _ = feed(rolling, [1, 1, 1000, 1, 1000, 1])
    np.testing.assert_array_equal(cuts, np.array([np.inf, 1, 1, 2, 2, 4], np.float32))


def test_a_long_run_raises_the_threshold_once_only() -> None:
    cuts, _ = feed(threshold(quantile=0.999, cap=2.0), [1, 1, *[1000] * 50, 1, 1000, 1])
    assert (cuts[3:-1] == 2).all()
    assert cuts[-1] == 4


def test_while_an_alert_holds_flagged_scores_enter_nothing_but_are_counted() -> None:
    rolling, held = threshold(adopt=5), np.ones(1, np.bool_)
    feed(rolling, np.linspace(1, 0, 50))
    before = rolling.cuts(ONE)
    adopted = []
    for _ in range(5):
        np.testing.assert_array_equal(rolling.cuts(ONE), before)
        adopted.append(bool(rolling.update(ONE, np.full((1, 1), 9, np.float32), held)[0, 0]))
    assert adopted == [False, False, False, False, True]
    assert rolling.cuts(ONE) == 9


def test_an_unflagged_score_enters_as_it_is() -> None:
    cuts, _ = feed(threshold(warm_up=3, quantile=0.999), [5, 1000, 3, 1])
    assert cuts[3] == 1000


def test_a_level_that_lasts_is_adopted_once_and_then_normal() -> None:
    random = np.random.default_rng(2)
    rolling = threshold(quantile=0.99, window=400, adopt=100)
    feed(rolling, random.uniform(1, 2, 400))
    new = random.uniform(1000, 1100, 400).astype(np.float32)
    cuts, adopted = feed(rolling, new)
    assert adopted.nonzero()[0].tolist() == [99]
    assert (new[:100] > cuts[:100]).all()
    assert cuts[100] == np.float32(percentile(new[:100], 0.99))
    assert (new[100:] > cuts[100:]).mean() < 0.04


def test_only_the_newest_part_of_a_long_run_fits_the_ring() -> None:
    rolling = threshold(quantile=0.99, window=16, adopt=50)
    feed(rolling, np.ones(20))
    run = np.geomspace(1e3, 1e30, 50)
    _, adopted = feed(rolling, run)
    assert adopted[-1]
    np.testing.assert_array_equal(rolling.state()["ring"][0, 0], run[-16:].astype(np.float32))


def test_a_score_below_the_threshold_ends_the_run_and_a_gap_does_not() -> None:
    def adopts(between: float) -> bool:
        rolling = threshold(adopt=10)
        feed(rolling, np.ones(100))
        return bool(feed(rolling, [*[1e9] * 9, between, 1e9])[1].any())

    assert not adopts(1.0)
    assert adopts(np.nan)


def test_a_flagged_score_that_is_adopted_at_once_is_the_new_level() -> None:
    rolling = threshold(adopt=1)
    _, adopted = feed(rolling, [1, 1, 50])
    assert adopted.tolist() == [False, False, True]
    assert rolling.cuts(ONE) == 50


def test_calibration_gives_a_threshold_from_the_first_score_on() -> None:
    calibration = np.linspace(0, 1, 1001, dtype=np.float32)
    rolling = threshold(quantile=0.9, window=200, warm_up=200, calibration=[calibration])
    assert rolling.cuts(ONE)[0, 0] == pytest.approx(0.9, abs=0.02)
    assert rolling.progress() == 1


def test_calibration_leaves_the_ring_evenly() -> None:
    calibration = np.linspace(0, 1, 101, dtype=np.float32)
    rolling = threshold(quantile=0.9, window=200, calibration=[calibration])
    feed(rolling, np.full(150, 0.5))
    left = np.sort(rolling.state()["ring"][0, 0])
    left = left[left != 0.5]
    assert 45 <= len(left) <= 55
    assert np.diff(left).max() < 0.05
    feed(rolling, np.full(50, 0.5))
    assert rolling.cuts(ONE) == 0.5


def test_a_slot_that_comes_late_has_the_calibration_too() -> None:
    calibration = np.linspace(1, 2, 50, dtype=np.float32)
    rolling = threshold(detectors=2, calibration=[None, calibration])
    cuts = rolling.cuts(np.array([0, 77], np.int64))
    assert np.isinf(cuts[:, 0]).all()
    np.testing.assert_allclose(cuts[:, 1], 2, atol=0.05)
    assert rolling.progress().shape == (78, 2)


@pytest.mark.parametrize("bad", [[], [1.0, np.nan], [2.0, 1.0], [[1.0]], [1.0, np.inf]])
def test_a_calibration_that_is_none_is_refused(bad: Any) -> None:
    with pytest.raises(ModelError, match="calibration of detector 1"):
        threshold(detectors=2, calibration=[None, np.array(bad, np.float32)])


def test_calibrations_and_detectors_must_be_as_many() -> None:
    with pytest.raises(ModelError, match="2 calibrations for 3 detectors"):
        RollingThreshold(3, ThresholdConfig(), [None, None])


rounds = st.lists(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(0, 50, width=32), st.floats(0, 50, width=32)),
        unique_by=lambda row: row[0],
        max_size=6,
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(rounds, st.permutations(range(6)))
def test_neither_grouping_nor_slot_numbers_nor_a_restart_matter(
    turns: list[list[tuple[int, float, float]]], numbers: list[int]
) -> None:
    together, apart = (
        threshold(detectors=2, window=16, adopt=3, quantile=0.8, warm_up=4) for _ in range(2)
    )
    for turn in turns:
        if not turn:
            state, apart = (
                apart.state(),
                threshold(detectors=2, window=16, adopt=3, quantile=0.8, warm_up=4),
            )
            apart.restore(state)
            continue
        slots = np.array([row[0] for row in turn], np.int64)
        raw = np.array([row[1:] for row in turn], np.float32)
        cuts, adopted = together.cuts(slots), together.update(slots, raw)
        for i, slot in enumerate(slots):
            other = np.array([numbers[slot] * 3], np.int64)
            np.testing.assert_array_equal(apart.cuts(other)[0], cuts[i])
            np.testing.assert_array_equal(apart.update(other, raw[i : i + 1])[0], adopted[i])


def test_the_state_holds_the_slots_in_use_and_does_not_change_when_it_is_restored() -> None:
    rolling = threshold(detectors=2, window=32)
    random = np.random.default_rng(0)
    for _ in range(50):
        rolling.update(np.arange(5), random.exponential(size=(5, 2)).astype(np.float32))
    state = rolling.state()
    assert state["ring"].shape == (5, 2, 32)
    again = threshold(detectors=2, window=32)
    again.restore(state)
    assert isinstance(again, Stateful)
    for name, array in again.state().items():
        np.testing.assert_array_equal(array, state[name])
    again.update(np.arange(5), np.ones((5, 2), np.float32))
    np.testing.assert_array_equal(rolling.state()["ring"], state["ring"])


@pytest.mark.parametrize(
    ("other", "told"),
    [({"quantile": 0.9}, "quantile"), ({"window": 32}, "window"), ({"adopt": 7}, "adopt")],
)
def test_a_state_of_other_settings_is_refused(other: dict[str, Any], told: str) -> None:
    written = threshold(window=16, quantile=0.95, adopt=9)
    feed(written, np.ones(3))
    settings_here = {"window": 16, "quantile": 0.95, "adopt": 9} | other
    with pytest.raises(StateError, match=told):
        threshold(**settings_here).restore(written.state())


def damage(name: str, column: int, value: float) -> Any:
    def apply(state: State) -> None:
        if column < 0:
            state[name][...] = value
        else:
            state[name][0, 0, column] = value

    return apply


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (damage("ring", -1, np.nan), "ring"),
        (damage("run", -1, np.inf), "run"),
        (damage("counts", 0, 999), "next"),
        (damage("counts", 0, 3), "next"),
        (damage("counts", 1, -1), "fill"),
        (damage("counts", 1, 10**9), "fill"),
        (damage("counts", 3, -5), "missing"),
        (damage("counts", 4, 999), "flagged"),
        (lambda state: state.pop("run"), "arrays"),
        (lambda state: state.update(extra=ONE), "arrays"),
        (lambda state: state.update(ring=state["ring"].astype(np.float64)), "ring"),
        (lambda state: state.update(counts=np.zeros(0, np.int64)), "ring|counts"),
        (lambda state: state.update(counts=np.array(1)), "ring|counts"),
        (lambda state: state.update(run=state["run"][:, :, :-1]), "run"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(harm: Any, told: str) -> None:
    rolling = threshold(window=16, warm_up=2)
    feed(rolling, [1, 2, 3, 4, 5])
    state = rolling.state()
    before = rolling.cuts(ONE)
    harm(state)
    with pytest.raises(StateError, match=told):
        rolling.restore(state)
    assert rolling.cuts(ONE) == before


def test_rows_that_do_not_fit_are_refused() -> None:
    rolling = threshold(detectors=2)
    with pytest.raises(ModelError, match="raw scores have shape"):
        rolling.update(ONE, np.zeros((1, 3), np.float32))
    with pytest.raises(ModelError, match="numbers from 0"):
        rolling.cuts(np.array([-1]))


@pytest.mark.parametrize("contamination", [0.0, 0.05])
def test_the_flag_rate_is_near_nominal(contamination: float) -> None:
    """4,000 scores of 30 sensors, the first third ignored; anomalies are ten times a normal one."""
    random = np.random.default_rng(11)
    rolling = threshold(quantile=0.99, window=1000, cap=1.5, adopt=200)
    slots = np.arange(30)
    flags = []
    for _ in range(4000):
        scale = np.where(random.random(30) < contamination, 10, 1)
        raw = (random.exponential(size=30) * scale).astype(np.float32)[:, None]
        flags.append(raw > rolling.cuts(slots))
        rolling.update(slots, raw)
    assert 0.7 < np.mean(flags[1300:]) / 0.01 < 1.4


def test_a_slot_of_another_kind_of_sensor_starts_without_the_calibration() -> None:
    rolling = threshold(calibration=[np.linspace(1, 2, 50, dtype=np.float32)], warm_up=3)
    rolling.begin_empty(1)
    cuts = rolling.cuts(np.array([0, 1], np.int64))
    assert np.isfinite(cuts[0, 0])
    assert np.isinf(cuts[1, 0])
    assert rolling.progress()[:, 0].tolist() == [1, 0]


@given(some_scores, some_scores)
@settings(max_examples=40)
def test_who_gets_a_forgotten_slot_starts_like_anybody(before: list[float], after: Any) -> None:
    options: Any = {"window": 16, "quantile": 0.9, "adopt": 3, "warm_up": 4}
    for calibration in (None, np.linspace(1, 2, 9, dtype=np.float32)):
        used, fresh = (threshold(calibration=[calibration], **options) for _ in range(2))
        feed(used, before)
        used.forget(ONE)
        assert used.progress().shape == (0, 1)
        for one, other in zip(feed(used, after), feed(fresh, after), strict=True):
            np.testing.assert_array_equal(one, other)


def test_forgetting_a_slot_leaves_the_others_alone() -> None:
    rolling = threshold(window=16, quantile=0.9)
    slots, raw = np.arange(3), np.array([[1], [2], [3]], np.float32)
    for _ in range(4):
        rolling.update(slots, raw)
    before = rolling.cuts(slots)
    rolling.begin_empty(1)
    rolling.forget(np.array([1, 70]))
    assert rolling.cuts(slots)[:, 0].tolist() == [before[0, 0], np.inf, before[2, 0]]


def test_a_fitted_tail_knows_quantiles_beyond_the_window() -> None:
    """30 rings of 2,048 exponential scores: what share of the next ones is over each threshold?"""
    random = np.random.default_rng(12)
    scores = random.exponential(size=(2048, 30)).astype(np.float32)
    realised = {}
    for tail in ("empirical", "pareto"):
        rolling = threshold(quantile=0.9999, window=2048, cap=1e6, tail=tail)
        for row in scores:
            rolling.update(np.arange(30), row[:, None])
        realised[tail] = np.exp(-rolling.cuts(np.arange(30))).mean() / 1e-4
    assert realised["empirical"] > 4
    assert 0.5 < realised["pareto"] < 2.5


@settings(deadline=None, max_examples=60)
@given(some_scores, st.floats(0.5, 0.999999), st.sampled_from(["capped", "left_out"]))
def test_a_fitted_threshold_is_a_number_after_the_warm_up(
    scores: list[float], quantile: float, outliers: str
) -> None:
    rolling = threshold(
        quantile=quantile, tail="pareto", window=40, outliers=outliers, rate_step=0.5
    )
    cuts, _ = feed(rolling, scores)
    known = np.maximum.accumulate(np.isfinite(np.array(scores, np.float32)))[:-1]
    assert not np.isnan(cuts).any()
    assert (cuts[1:][known] >= np.float32(FLOOR)).all()


def test_in_the_bulk_a_fitted_threshold_is_the_percentile() -> None:
    series = np.random.default_rng(1).exponential(size=300)
    pareto = feed(threshold(quantile=0.8, tail="pareto", window=100), series)[0]
    plain = feed(threshold(quantile=0.8, window=100), series)[0]
    np.testing.assert_array_equal(pareto[60:], plain[60:])


def test_outliers_that_are_left_out_enter_nothing() -> None:
    rolling = threshold(quantile=0.9, outliers="left_out", cap=2.0, window=64)
    feed(rolling, np.linspace(1, 2, 50))
    before = rolling.state()["ring"]
    feed(rolling, [1e3, 1.0, 1e3])
    after = rolling.state()["ring"]
    assert (before != after).sum() == 1
    assert feed(rolling, [3.0])[1].tolist() == [False]
    assert 3.0 in rolling.state()["ring"]


def test_beside_spikes_a_clean_start_stays_clean_only_if_they_are_left_out() -> None:
    random = np.random.default_rng(7)
    calibration = np.quantile(random.exponential(size=4000), np.linspace(0, 1, 501))
    flags = {}
    for outliers in ("capped", "left_out"):
        rolling = threshold(
            quantile=0.99,
            tail="pareto",
            window=500,
            outliers=outliers,
            calibration=[calibration.astype(np.float32)],
        )
        spikes = random.random((2000, 20)) < 0.05
        raw = (random.exponential(size=spikes.shape) + 30 * spikes).astype(np.float32)
        found = []
        for row in raw:
            found.append(row > rolling.cuts(np.arange(20))[:, 0])
            rolling.update(np.arange(20), row[:, None])
        flags[outliers] = np.array(found)[500:][~spikes[500:]].mean() / 0.01
    assert flags["capped"] < 0.2
    assert 0.7 < flags["left_out"] < 1.4


def guarded(rolling: RollingThreshold, scores: Any) -> tuple[Array, list[bool], list[bool]]:
    """As live: the cut before each score, whether an alert was open, and where one adopted."""
    alarm = Alarm(AlertConfig())
    cuts, held, adopted = [], [], []
    for i, score in enumerate(scores):
        cuts.append(rolling.cuts(ONE)[0, 0])
        held.append(bool(alarm.firing(ONE)[0]))
        raw = np.array([[score]], np.float32)
        adopted.append(bool(rolling.update(ONE, raw, alarm.firing(ONE))[0, 0]))
        alarm.step(ONE, raw[0] / cuts[-1], np.array([float(i)]))
    return np.array(cuts, np.float32), held, adopted


KINDS = [{}, {"tail": "pareto", "rate_step": 0.1}, {"tail": "pareto", "outliers": "left_out"}]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=["plain", "controlled", "left_out"])


def begun(**kind: Any) -> RollingThreshold:
    rolling = threshold(quantile=0.99, window=500, adopt=200, cap=2.0, **kind)
    feed(rolling, np.random.default_rng(3).exponential(size=500))
    return rolling


@each_kind
def test_a_change_of_regime_is_adopted_after_as_many_windows_as_documented(kind: Any) -> None:
    new = 100 + np.random.default_rng(4).exponential(size=400)
    cuts, _, adopted = guarded(begun(**kind), new)
    assert np.flatnonzero(adopted).tolist() == [199]
    assert (new[:200] > cuts[:200]).all()
    assert 100 < cuts[200] < 112


@each_kind
def test_a_score_that_swings_over_and_under_the_threshold_is_not_adopted(kind: Any) -> None:
    rolling = begun(**kind)
    start = float(rolling.cuts(ONE)[0, 0])
    swinging = np.tile([50.0, 50.0, 50.0, 0.5], 300)
    cuts, held, adopted = guarded(rolling, swinging)
    assert not any(adopted)
    assert all(held[3:])
    assert cuts.max() <= 2 * start * 1.001


@each_kind
@pytest.mark.parametrize("high", [1.3, 1.9, 2.5])
def test_isolated_scores_just_over_the_threshold_raise_it_slowly_at_most(
    high: float, kind: Any
) -> None:
    """One in ten, never three of five, so that no alert holds the ring: until they are as frequent
    in the ring as the quantile says, they cannot move it.
    """
    rolling = begun(**kind)
    start = float(rolling.cuts(ONE)[0, 0])
    scores = np.full(40, 0.5)
    scores[::10] = high * start
    cuts, held, _ = guarded(rolling, scores)
    assert not any(held)
    assert cuts.max() <= 2 * start * 1.01


@each_kind
def test_a_slow_rise_through_the_threshold_stays_an_alert_until_it_is_adopted(kind: Any) -> None:
    rolling = begun(**kind)
    start = float(rolling.cuts(ONE)[0, 0])
    rising = start * np.linspace(0.9, 4, 180)
    cuts, held, adopted = guarded(rolling, rising)
    assert not any(adopted)
    assert all(held[90:])
    assert cuts.max() <= 2.5 * start
