"""Windows -> verdicts, in rounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stream.alarm import NOTHING, RAISED
from monitor.stream.judge import Judged, judge, rounds
from monitor.stream.lane import LaneState
from monitor.testing import same_state
from monitor.types import Array, Slots, State
from tests.core.builders import stream, stream_config


def lane() -> LaneState:
    return LaneState(stream().lanes[0])


def ready(*sensors: str) -> LaneState:
    made = lane()
    for sensor in sensors:
        assert made.admit(sensor) is not None
    return made


def judged(lane: LaneState, slots: list[int], levels: list[float], begin: int = 0) -> Judged:
    """Windows of these levels; the trained model says their square."""
    data = np.repeat(np.array(levels, np.float32), 8).reshape(-1, 2, 4)
    trained = np.array([[level**2] for level in levels], np.float32)
    ends = 4.0 * np.arange(begin + 1, begin + 1 + len(slots), dtype=np.float64)
    return judge(lane, np.array(slots, np.int64), data, trained, ends)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_a_round_holds_each_sensor_once_and_keeps_its_order(order: list[int]) -> None:
    slots: Slots = np.array(order, np.int64)
    found = [group.tolist() for group in rounds(slots)]
    assert sorted(place for group in found for place in group) == list(range(len(order)))
    for group in found:
        assert len({order[place] for place in group}) == len(group)
    for slot in set(order):
        places = [place for group in found for place in group if order[place] == slot]
        assert places == sorted(places)
    assert len([group for group in found if group]) == max(map(order.count, order), default=0)


def test_a_score_is_judged_by_the_past_only() -> None:
    made = ready("a")
    found = judged(made, [0] * 9, [1, 1, 1, 1, 1, 1, 1, 9, 9])
    assert found.cuts[7, 1] < 2, "the leap itself is not in its own threshold"
    assert found.values[7, 1] > 3
    apart = judged(ready("a"), [0] * 8, [1, 1, 1, 1, 1, 1, 1, 9])
    assert np.array_equal(found.cuts[:8], apart.cuts)


def test_values_are_raw_scores_in_thresholds() -> None:
    found = judged(ready("a", "b"), [0, 1, 0], [1, 2, 3])
    with np.errstate(invalid="ignore"):
        assert np.array_equal(found.values, found.raw / found.cuts, equal_nan=True)
    assert found.raw[:, 0].tolist() == [1, 4, 9]
    assert np.isinf(found.cuts[0, 1]), "an online detector warms up"


def test_a_window_that_is_not_finite_has_no_score_and_teaches_nothing() -> None:
    made, other = ready("a"), ready("a")
    found = judged(made, [0] * 6, [1, np.nan, 2, np.inf, 1, 1])
    assert np.isnan(found.raw[[1, 3]]).all()
    assert (found.code[[1, 3]] == NOTHING).all()
    expected = judged(other, [0] * 4, [1, 2, 1, 1])
    assert np.array_equal(found.raw[[0, 2, 4, 5]], expected.raw)
    assert np.array_equal(found.cuts[[0, 2, 4, 5]], expected.cuts)


def test_an_open_alert_holds_what_online_detectors_know() -> None:
    made = ready("a")
    judged(made, [0] * 8, [1.0] * 8)
    found = judged(made, [0] * 3, [9, 9, 9], begin=8)
    assert RAISED in found.code
    known = made.online[0].state()
    judged(made, [0], [1], begin=11)
    assert made.alarm.firing(np.array([0])).all()
    assert all(np.array_equal(known[k], v) for k, v in made.online[0].state().items())


def test_an_anomalous_window_is_not_learned_by_online_detectors() -> None:
    made = ready("a")
    judged(made, [0] * 8, [1.0] * 8)
    known = made.online[0].state()
    judged(made, [0], [5], begin=8)
    assert all(np.array_equal(known[k], v) for k, v in made.online[0].state().items())


@pytest.mark.parametrize("huge", [3e38, np.inf])
def test_a_score_beyond_all_measure_is_an_anomaly_and_no_warning(huge: float) -> None:
    made = ready("a")
    data: Array = np.ones((1, 2, 4), np.float32)
    trained = np.array([[huge]], np.float32)
    found = judge(made, np.array([0], np.int64), data, trained, np.array([4.0]))
    assert found.values[0, 0] > 1


def test_the_last_windows_are_kept_for_the_page() -> None:
    made = ready("a", "b")
    found = judged(made, [0, 1, 0], [1, 2, 3])
    times, raw, cuts = made.recent.get(np.arange(2))
    assert times[:, -1].tolist() == [12, 8]
    assert np.array_equal(raw[0, -2:], found.raw[[0, 2]])
    assert np.array_equal(cuts[1, -1], found.cuts[1])


def test_a_window_that_may_not_teach_is_judged_and_teaches_nothing() -> None:
    made, other = ready("a"), ready("a")
    levels = [1, 1, 2, 1, 1, 5, 1, 1]
    data = np.repeat(np.array(levels, np.float32), 8).reshape(-1, 2, 4)
    trained, ends = data[:, :1, 0] ** 2, np.arange(len(levels), dtype=np.float64)
    teaches = np.array([level not in (2, 5) for level in levels])
    found = judge(made, np.zeros(len(levels), np.int64), data, trained, ends, teaches)
    judge(other, np.zeros(6, np.int64), data[teaches], trained[teaches], ends[teaches])
    assert np.isfinite(found.raw[~teaches]).all()
    assert found.values[5, 0] > 1
    assert learned(made) == learned(other)


def learned(lane: LaneState) -> list[dict[str, bytes]]:
    parts = [*lane.thresholds, *lane.online]
    return [{k: np.asarray(v).tobytes() for k, v in part.state().items()} for part in parts]


@pytest.mark.parametrize("kind", ["cauchy", "log_p"])
def test_p_values_are_fused_alike_in_any_company_and_after_a_restart(kind: str) -> None:
    parts = {
        "alert": {"fusion": kind, "raise": "2 of 3", "clear": "2 below 0.9"},
        "threshold": {
            "window": 32,
            "quantile": 0.9,
            "warm_up": 4,
            "tail": "pareto",
            "rate_step": 0.2,
            "outliers": "left_out",
        },
    }
    config = stream_config(**parts)
    one, other = (LaneState(stream(config).lanes[0]) for _ in range(2))
    random = np.random.default_rng(3)
    for lane in (one, other):
        lane.admit("a")
        lane.admit("b")
    levels = random.exponential(size=60).astype(np.float32)
    levels[40:45] = 30
    slots = (np.arange(60) % 2).tolist()
    whole = judged(one, slots, levels.tolist())
    fused, codes = [], []
    for i in range(60):
        found = judged(other, slots[i : i + 1], levels[i : i + 1].tolist(), begin=i)
        fused.append(found.fused[0])
        codes.append(found.code[0])
        if i in (13, 42):
            state: State = other.state()
            other = LaneState(stream(config).lanes[0])
            assert other.restore(state) == []
    np.testing.assert_array_equal(whole.fused, fused)
    assert whole.code.tolist() == codes
    assert RAISED in codes
    assert same_state(one.state(), other.state())
