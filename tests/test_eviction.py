"""Sensors are forgotten, by a limit and by time, and results stay a function of the log."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stream.lane import LaneSpec
from monitor.stream.leaving import next_check
from monitor.stream.partition import Stream
from monitor.stream.pipeline import Pipeline
from monitor.testing import same_state
from monitor.types import Alert, Partition, Record, Result, State
from tests.core.builders import (
    HERE,
    level,
    pipeline,
    record,
    stream,
    stream_config,
    told,
    windows_of,
)
from tests.core.detectors import Energy
from tests.core.world import forest

THERE = Partition("plant", 1)
ONES = np.ones((2, 4), np.float32)
QUIET, LOUD = [1.0] * 8, [9.0] * 4
ALERT = {"raise": "2 of 3", "clear": "2 below 0.9", "silence": 40}
THRESHOLD = {"window": 32, "quantile": 0.9, "warm_up": 4, "adopt": 5}


def bounded(*, online: bool = True, **limits: Any) -> Stream:
    config = stream_config(limits=limits, alert=ALERT)
    return stream(config, online=None if online else [])


def calls(sensors: Sequence[str], first: int = 0, step: float = 4.0) -> list[Record]:
    """One whole window of each of these, in this order."""
    return [record(first + i, step * (first + i), ONES, name) for i, name in enumerate(sensors)]


def known(each: Pipeline, where: Partition = HERE) -> set[str]:
    return {name for lane in each.partitions[where].lanes for name in lane.sensors}


# --- by the limit ---------------------------------------------------------------------------


def test_a_new_sensor_takes_the_place_of_the_one_that_was_not_heard_for_longest() -> None:
    each = pipeline(bounded(sensors=3))
    result = each.process(calls(["a", "b", "c", "a", "d"]))
    assert known(each) == {"a", "c", "d"}
    assert each.counts["sensors_forgotten", "vibration", "limit"] == 1
    (notice,) = result.notices
    assert (notice.kind, notice.offset, notice.stream) == ("sensors_forgotten", 4, "vibration")
    assert notice.detail == "1 forgotten, the limit is 3 sensors: 'b'"


def test_who_was_heard_last_is_told_by_offsets_where_times_are_the_same() -> None:
    each = pipeline(bounded(sensors=2))
    each.process(calls(["a", "b", "a", "c"], step=0))
    assert known(each) == {"a", "c"}
    each.process(calls(["d"], first=4, step=0))
    assert known(each) == {"c", "d"}


def test_one_sensor_in_sixteen_goes_so_that_churn_does_not_split_every_batch() -> None:
    each = pipeline(bounded(sensors=64))
    names = [f"s{number:03d}" for number in range(66)]
    (notice,) = each.process(calls(names)).notices
    assert notice.detail == "4 forgotten, the limit is 64 sensors: 's000', 's001', 's002', ..."
    assert known(each) == set(names[4:])


def test_the_limit_holds_over_all_rules_of_a_stream_and_for_each_stream_and_partition() -> None:
    rules = [{"match": "a*", "use": ["mahalanobis:any"]}, {"use": ["mahalanobis:any"]}]
    tight = stream(stream_config(models=rules, limits={"sensors": 2}), "tight")
    each = pipeline(tight, stream(name="loose"), opened=(HERE, THERE))
    each.process(calls(["a1", "b1", "a2", "b2"]))
    each.process([record(0, 0.0, ONES, "b1", THERE)])
    lanes = each.partitions[HERE].lanes
    assert [sorted(lane.sensors) for lane in lanes] == [["a2"], ["b2"], ["a1", "a2", "b1", "b2"]]
    assert known(each, THERE) == {"b1"}
    assert each.counts["sensors_forgotten", "tight", "limit"] == 2


def test_a_refused_sensor_costs_nobody_its_place() -> None:
    rules = [{"match": "pump*", "use": ["mahalanobis:any"]}]
    each = pipeline(stream(stream_config(models=rules, limits={"sensors": 1})))
    result = each.process(calls(["pump", "stranger", "pump"]))
    assert [r.reason for r in result.rejected] == ["no_rule"]
    assert known(each) == {"pump"}
    assert not result.notices


def test_a_limit_that_became_smaller_holds_from_the_next_new_sensor_on() -> None:
    first, second = pipeline(bounded(sensors=9)), pipeline(bounded(sensors=2), opened=())
    first.process(calls("abcdef"))
    second.open(HERE, first.partitions[HERE].state(), 6)
    second.process(calls("f", first=6))
    assert known(second) == set("abcdef")
    second.process(calls("g", first=7))
    assert known(second) == {"f", "g"}


# --- by time --------------------------------------------------------------------------------


def test_a_sensor_that_is_not_heard_for_its_time_to_live_is_forgotten() -> None:
    each = pipeline(bounded(sensor_ttl=80))
    each.process(windows_of([1] * 3, "gone"))
    result = each.process(windows_of([1] * 30, "other", first=3))
    assert known(each) == {"other"}
    assert each.counts["sensors_forgotten", "vibration", "ttl"] == 1
    (notice,) = result.notices
    assert notice.detail == "1 forgotten, not heard for 80 s: 'gone'"
    heard, noticed = 11.0, 4.0 * notice.offset + 3
    assert heard + 80 <= noticed <= heard + 80 + 10 + 4, "looked for at each eighth of its life"


def test_a_restart_looks_for_nobody_before_the_clock_has_reached_the_next_eighth() -> None:
    first, second = pipeline(bounded(sensor_ttl=80)), pipeline(bounded(sensor_ttl=80), opened=())
    first.process([record(0, 8.0, ONES, "gone"), record(1, 87.0, ONES, "other")])
    assert second.open(HERE, states(first), 2) == []
    for each in (first, second):
        each.process([record(2, 91.0, ONES, "other")])
        assert known(each) == {"gone", "other"}, "94 is past its time, but 100 comes next"
        each.process([record(3, 98.0, ONES, "other")])
        assert known(each) == {"other"}


def test_without_a_time_to_live_a_sensor_stays() -> None:
    each = pipeline(bounded(sensor_ttl=None))
    each.process([record(0, 0.0, ONES, "old"), record(1, 2e9, ONES, "new")])
    assert known(each) == {"old", "new"}


def test_the_wall_clock_forgets_nobody() -> None:
    each = pipeline(bounded(sensor_ttl=80))
    each.process(calls(["a"]))
    each.tick(HERE, 1e6)
    assert known(each) == {"a"}


def test_a_sensor_that_comes_back_too_late_is_a_new_one() -> None:
    each = pipeline(bounded(sensor_ttl=80))
    first = each.process(windows_of([1, 2, 3], "pump"))
    again = each.process([record(3, 200.0, ONES, "pump")])
    assert [n.kind for n in again.notices] == ["sensors_forgotten"]
    energy = [s for s in (*first.scores, *again.scores) if s.detector == "energy"]
    assert energy[0].threshold == energy[-1].threshold != energy[-2].threshold


@given(
    st.floats(-1e12, 1e12),
    st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=3),
    st.floats(0, 1),
)
def test_the_next_look_is_the_same_from_anywhere_before_it(
    clock: float, ttls: list[float], part: float
) -> None:
    due = next_check(clock, ttls)
    assert clock < due <= clock + min(ttls) / 8 * (1 + 1e-9) + 1e-3
    between = min(clock + part * (due - clock), float(np.nextafter(due, -np.inf)))
    assert next_check(between, ttls) == due


def test_nobody_is_looked_for_without_a_time_to_live_or_before_the_first_sample() -> None:
    assert next_check(5.0, []) == np.inf
    assert next_check(-np.inf, [5.0]) == -np.inf


# --- alerts ---------------------------------------------------------------------------------


def phases(alerts: Sequence[Alert]) -> list[tuple[str, str, str]]:
    return [(alert.sensor, alert.rule, alert.phase) for alert in alerts]


def test_open_alerts_of_a_forgotten_sensor_have_their_one_end() -> None:
    each = pipeline(bounded(sensor_ttl=80))
    each.process(windows_of([*QUIET, *LOUD], "loud"))
    result = each.process(windows_of([1] * 40, "other", first=12))
    assert phases(result.alerts) == [
        ("loud", "silence", "firing"),
        ("loud", "silence", "resolved"),
        ("loud", "score", "resolved"),
    ]
    opened, silence, score = result.alerts
    assert opened.id == silence.id != score.id
    assert {silence.reason, score.reason} == {"the sensor is forgotten: not heard for 80 s"}
    assert silence.offset == score.offset == result.notices[0].offset
    assert silence.time == score.time == 4.0 * silence.offset + 3
    assert score.severity == "critical"
    assert not each.open_alerts


def test_the_silence_that_one_leap_of_the_clock_shows_is_told_before_its_end() -> None:
    each = pipeline(bounded(sensor_ttl=80))
    each.process(calls(["gone"]))
    result = each.process([record(1, 1000.0, ONES, "other")])
    assert phases(result.alerts) == [("gone", "silence", "firing"), ("gone", "silence", "resolved")]


def test_alerts_of_those_who_stay_go_on() -> None:
    each = pipeline(bounded(sensors=2))
    each.process(windows_of([*QUIET, *LOUD], "loud"))
    each.process(calls(["a"], first=12))
    result = each.process([record(13, 52.0, ONES, "loud"), record(14, 56.0, ONES, "b")])
    assert known(each) == {"loud", "b"}
    assert not [alert for alert in result.alerts if alert.phase == "resolved"]
    assert {alert.sensor for alert in each.open_alerts.values()} == {"loud"}


def test_an_end_is_never_before_its_beginning() -> None:
    each = pipeline(bounded(sensors=1))
    each.process(calls(["a"]))
    (opened,) = each.tick(HERE, 500.0).alerts
    ended = each.process(calls(["b"], first=1)).alerts[-1]
    assert (ended.id, ended.phase) == (opened.id, "resolved")
    assert ended.time >= ended.opened == 43.0


# --- what is left of a forgotten sensor -----------------------------------------------------


def test_views_show_those_who_are_there() -> None:
    each = pipeline(bounded(sensors=3))
    each.process(calls(["a", "b", "c", "a", "d"]))
    (view,) = each.views()
    assert view.sensors == ("a", "d", "c")
    assert view.last_seen.tolist() == [15, 19, 11]
    assert view.window_end.tolist() == [16, 20, 12]
    assert view.times.shape[0] == len(view.labels) == 3
    assert np.isfinite(view.times[1]).sum() == 1, "the windows of the last sensor are gone"


def test_memory_and_snapshots_stay_bounded_however_many_sensors_come() -> None:
    each = pipeline(bounded(sensors=16))
    for start in range(0, 500, 50):
        each.process(calls([f"s{number}" for number in range(start, start + 50)], first=start))
    assert len(known(each)) == 16
    rows = [len(array) for name, array in states(each).items() if name.endswith("/opened")]
    assert sorted(rows) == [0, 16, 16], "guards that watch nothing remember nobody"


def test_a_snapshot_shrinks_with_the_sensors_that_go() -> None:
    each = pipeline(bounded(sensor_ttl=80))
    each.process(calls(["stays", *(f"s{number}" for number in range(50))], step=0.1))
    each.process(windows_of([1] * 30, "stays", first=60))
    assert known(each) == {"stays"}
    by_slot = {name: array for name, array in states(each).items() if name.endswith("/counts")}
    assert {len(array) for array in by_slot.values()} == {1}


def states(each: Pipeline) -> State:
    return each.partitions[HERE].state()


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.sampled_from([1, 3, 5]))
@settings(max_examples=40, deadline=None)
def test_who_comes_back_is_scored_like_one_who_was_never_there(names: list[str], most: int) -> None:
    each, fresh = pipeline(bounded(sensors=most)), pipeline(bounded(sensors=99))
    each.process(calls(names))
    for number in range(most):
        each.process(calls([f"other {number}"], first=40 + number))
    later = windows_of([1, 5, 1, 2, 1, 9, 9, 1], "a", first=60)
    assert told(each.process(later))["scores"] == told(fresh.process(later))["scores"]


def test_a_lane_that_has_forgotten_everybody_is_like_a_new_one() -> None:
    each = pipeline(bounded(sensor_ttl=80))
    (lane,) = each.partitions[HERE].lanes
    new = lane.state()
    each.process([*windows_of([*QUIET, *LOUD], "a"), *windows_of(QUIET, "b", first=12)])
    assert not same_state(lane.state(), new)
    lane.forget(lane.sensors.live[0])
    assert same_state(lane.state(), new)


# --- a sensor that moves to another partition -------------------------------------------------


def test_a_sensor_that_moves_starts_afresh_and_its_old_place_goes_quietly() -> None:
    each = pipeline(bounded(sensor_ttl=80), opened=(HERE, THERE))
    each.process(windows_of(QUIET, "pump"))
    moved = each.process([record(0, 32.0, ONES, "pump", THERE)])
    assert [notice.kind for notice in moved.notices] == ["sensor_in_two_partitions"]
    new = pipeline(bounded()).process([record(0, 32.0, ONES, "pump")])
    assert [s.threshold for s in moved.scores] == [s.threshold for s in new.scores]
    left = each.process(windows_of([1] * 40, "other", first=8))
    assert phases(left.alerts) == [("pump", "silence", "firing"), ("pump", "silence", "resolved")]
    assert (known(each), known(each, THERE)) == ({"other"}, {"pump"})


# --- whatever the polls, and wherever a snapshot was taken ----------------------------------


def small_world() -> list[Stream]:
    """Two streams on one topic that forget in both ways, with all kinds of memory."""
    parts: dict[str, Any] = {"threshold": THRESHOLD, "alert": ALERT}
    window = {"length": 4, "hop": 2, "rate": 1, "channels": ["x", "y"], "lateness": 2}
    any_ = {"use": ["mahalanobis:any"]}
    rules = [any_ | {"match": "pump-*"}, any_]
    few = stream_config(window=window, models=rules, limits={"sensors": 4}, **parts)
    brief = {"sensors": 6, "sensor_ttl": 45}
    short = stream_config(
        window=window, unknown_sensors="warm_up", warm_up=3, limits=brief, **parts
    )
    shape = few.window.shape
    trees = LaneSpec("few", "pump-*", few, (Energy(shape),), (forest(), level(shape)))
    rest = LaneSpec("few", "*", few, (Energy(shape),), ())
    return [Stream("few", few, (trees, rest)), stream(short, "short")]


@cache
def churn(seed: int = 0) -> list[Record]:
    """Nine sensors that come and go, some at a time, with faults and pauses."""
    random = np.random.default_rng(seed)
    names = [f"pump-{n}" for n in range(5)] + [f"fan-{n}" for n in range(4)]
    found: list[Record] = []
    time = 1000.0
    for turn in range(60):
        time += 40.0 if turn % 20 == 19 else 2.0
        shift = turn // 6
        present = [names[(shift + k) % len(names)] for k in range(3 if turn % 4 else 5)]
        for name in present:
            size = 6.0 if turn % 9 > 5 else 1.0
            data = (size * random.standard_normal((2, 2))).astype(np.float32)
            found.append(record(len(found), time, data, name))
    return found


def through(calls: Sequence[Sequence[Record]], *, restart: bool = False) -> list[Result]:
    each = pipeline(*small_world())
    results = []
    for call in calls:
        if restart:
            state = states(each)
            each = pipeline(*small_world(), opened=())
            assert each.open(HERE, state, call[0].offset if call else 0) == []
        results.append(each.process(call))
    return results


def joined(results: Sequence[Result]) -> dict[str, Any]:
    every = Result(
        [score for result in results for score in result.scores],
        [alert for result in results for alert in result.alerts],
        [rejected for result in results for rejected in result.rejected],
        [notice for result in results for notice in result.notices],
    )
    return told(every)


@cache
def one_by_one() -> dict[str, Any]:
    return joined(through([[each] for each in churn()]))


def test_the_small_world_forgets_in_both_ways_and_ends_alerts_of_both_kinds() -> None:
    each = pipeline(*small_world())
    result = each.process(churn())
    forgotten = {key[1:]: n for key, n in each.counts.items() if key[0] == "sensors_forgotten"}
    assert {"few", "short"} == {stream for stream, _ in forgotten}
    assert {"ttl", "limit"} == {why for _, why in forgotten}
    assert min(forgotten.values()) >= 3
    ended = [alert for alert in result.alerts if alert.reason.startswith("the sensor is forgotten")]
    assert {alert.rule for alert in ended} == {"score", "silence"}
    assert len(each.partitions[HERE].lanes) == 3


def test_alerts_that_end_with_their_sensor_have_one_story_each() -> None:
    stories: dict[str, list[str]] = {}
    for alert in pipeline(*small_world()).process(churn()).alerts:
        stories.setdefault(alert.id, []).append(alert.phase)
    for story in stories.values():
        assert story[0] == "firing"
        assert story.count("resolved") <= 1
        assert "resolved" not in story[:-1]


@given(st.lists(st.integers(0, len(churn())), max_size=12))
@settings(max_examples=12, deadline=None)
def test_neither_the_number_of_calls_matters_nor_their_sizes(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(churn())]
    assert joined(through([churn()[low:high] for low, high in pairwise(edges)])) == one_by_one()


@given(st.lists(st.integers(0, len(churn())), max_size=6))
@settings(max_examples=8, deadline=None)
def test_it_does_not_matter_where_snapshots_were_taken(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(churn())]
    parts = [churn()[low:high] for low, high in pairwise(edges)]
    assert joined(through(parts, restart=True)) == one_by_one()


def test_a_restart_after_every_record_changes_nothing() -> None:
    assert joined(through([[each] for each in churn()], restart=True)) == one_by_one()


def test_results_are_in_the_order_of_offsets_also_where_a_batch_was_split() -> None:
    result = pipeline(*small_world()).process(churn())
    for offsets in (
        [score.offset for score in result.scores],
        [alert.offset for alert in result.alerts],
        [notice.offset for notice in result.notices],
    ):
        assert offsets == sorted(offsets)
        assert len(offsets) > 5


@pytest.mark.parametrize("seed", range(1, 3))
def test_one_call_is_as_good_as_one_for_each_record(seed: int) -> None:
    assert joined(through([churn(seed)])) == joined(through([[each] for each in churn(seed)]))
