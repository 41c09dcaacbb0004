"""Sensors that stop sending: found by records or by ticks, under the same id."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stream.pipeline import Pipeline
from monitor.stream.silence import Change, Silence
from monitor.types import Alert
from tests.core.builders import HERE, pipeline, record, stream, stream_config, windows_of

TIMEOUT = 10.0
ONES = np.ones((2, 4), np.float32)


def observe(silence: Silence, messages: list[tuple[int, float]]) -> list[Change]:
    """Messages of sensors by slot, with the clock that they move."""
    slots, times = (np.array(column) for column in zip(*messages, strict=True))
    clock = np.maximum.accumulate(times.astype(np.float64))
    return silence.observe(slots.astype(np.int64), times.astype(np.float64), clock)


def test_a_sensor_is_silent_once_the_clock_has_passed_the_time_out() -> None:
    silence = Silence(TIMEOUT)
    assert observe(silence, [(0, 0.0), (1, 10.0)]) == []
    assert observe(silence, [(1, 10.5)]) == [Change(0, 0, True, 10.0, 10.5)]
    assert observe(silence, [(1, 19.0)]) == [], "told once"


def test_it_speaks_again() -> None:
    silence = Silence(TIMEOUT)
    changes = observe(silence, [(0, 0.0), (1, 20.0), (0, 21.0)])
    assert changes == [Change(0, 1, True, 10.0, 20.0), Change(0, 2, False, 10.0, 21.0)]
    assert silence.silent() == []


def test_its_own_next_record_may_show_a_silence_and_ends_it_at_once() -> None:
    changes = observe(Silence(TIMEOUT), [(0, 0.0), (0, 30.0)])
    assert changes == [Change(0, 1, True, 10.0, 30.0), Change(0, 1, False, 10.0, 30.0)]


def test_a_tick_finds_the_same_silence_as_a_record() -> None:
    by_record, by_tick = Silence(TIMEOUT), Silence(TIMEOUT)
    for silence in (by_record, by_tick):
        observe(silence, [(0, 3.0)])
    (found,) = by_tick.tick(99.0)
    (other,) = observe(by_record, [(1, 14.0)])
    assert found.opened == other.opened == 13.0


def test_without_a_time_out_nobody_is_silent() -> None:
    assert observe(Silence(None), [(0, 0.0), (1, 1e12)]) == []


def test_a_sensor_whose_clock_is_behind_is_not_silent_while_it_speaks() -> None:
    messages = [pair for t in range(0, 100, 5) for pair in ((0, float(t)), (1, t - 1000.0))]
    assert observe(Silence(TIMEOUT), messages) == []


def test_one_message_from_the_future_is_told_once_and_not_again_and_again() -> None:
    silence = Silence(TIMEOUT)
    observe(silence, [(0, 0.0), (1, 0.0)])
    later = [(1, 1e9), *((0, float(t)) for t in range(1, 50))]
    assert [change.silent for change in observe(silence, later)] == [True, True, False, False]


def test_two_silences_of_a_sensor_whose_clock_stands_still_have_two_ids() -> None:
    messages = [(0, 5.0), (1, 50.0), (0, 5.0), (1, 100.0)]
    opened = [c.opened for c in observe(Silence(TIMEOUT), messages) if c.silent and c.slot == 0]
    assert len(set(opened)) == 2


def test_a_silence_ends_under_its_id_also_with_another_time_out() -> None:
    before, after = Silence(TIMEOUT), Silence(77.0)
    observe(before, [(0, 0.0), (1, 20.0)])
    after.restore(before.state())
    assert [change.opened for change in after.silent()] == [10.0]
    assert observe(after, [(0, 21.0)]) == [Change(0, 0, False, 10.0, 21.0)]


def plain(messages: list[tuple[int, float]]) -> list[Change]:
    """The rule in plain Python."""
    heard: dict[int, float] = {}
    last: dict[int, float] = {}
    before: dict[int, float] = {}
    silent: dict[int, float] = {}
    found, clock = [], -np.inf
    for at, (slot, time) in enumerate(messages):
        clock = max(clock, time)
        for s in sorted(heard.keys() - silent.keys()):
            if heard[s] + TIMEOUT < clock:
                new = last[s] + TIMEOUT > before.get(s, -np.inf)
                silent[s] = before[s] = (last[s] if new else heard[s]) + TIMEOUT
                found.append(Change(s, at, True, silent[s], clock))
        if slot in silent:
            found.append(Change(slot, at, False, silent.pop(slot), time))
        heard[slot] = clock
        last[slot] = max(last.get(slot, -np.inf), time)
    return found


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 20)), min_size=1, max_size=60),
    st.lists(st.integers(1, 59), max_size=5),
)
def test_it_follows_the_plain_rule_in_any_grouping_and_after_any_restart(
    steps: list[tuple[int, int]], cuts: list[int]
) -> None:
    times = np.cumsum([step for _, step in steps]).tolist()
    messages = [(slot, float(time)) for (slot, _), time in zip(steps, times, strict=True)]
    clock = np.maximum.accumulate([time for _, time in messages])
    state, found = Silence(TIMEOUT).state(), []
    edges = sorted({0, len(messages), *(cut % len(messages) for cut in cuts)})
    for low, high in pairwise(edges):
        silence = Silence(TIMEOUT)
        silence.restore(state)
        slots = np.array([slot for slot, _ in messages[low:high]])
        changes = silence.observe(slots, np.array(times[low:high], np.float64), clock[low:high])
        found += [change._replace(at=change.at + low) for change in changes]
        state = silence.state()
    assert found == plain(messages)


def silent_pipeline(**changes: Any) -> Pipeline:
    config = stream_config(alert={"silence": TIMEOUT, "raise": "2 of 3"}, **changes)
    return pipeline(stream(config))


def of(alerts: Any, sensor: str) -> list[Alert]:
    return [alert for alert in alerts if alert.sensor == sensor]


def test_an_alert_says_who_is_silent_since_when_and_under_which_id() -> None:
    by_record, by_tick = silent_pipeline(), silent_pipeline()
    for each in (by_record, by_tick):
        each.process(windows_of([1], "fan"))
    (found,) = by_record.process([record(1, 13.0, ONES[:, :2], "pump")]).alerts
    (other,) = by_tick.tick(HERE, 1e6).alerts
    assert (found.sensor, found.rule, found.phase) == ("fan", "silence", "firing")
    assert (found.opened, found.time, found.offset) == (13.0, 13.0, 1)
    assert found.reason == "no samples for 10 s"
    assert other == found, "a repeat is the same, whoever noticed it"
    assert list(by_record.open_alerts) == list(by_tick.open_alerts) == [found.id]


def test_a_tick_is_told_once_and_its_silence_ends_with_the_next_record() -> None:
    each = silent_pipeline()
    each.process(windows_of([1], "fan"))
    (found,) = each.tick(HERE, 100.0).alerts
    assert not each.tick(HERE, 200.0).alerts
    (ended,) = each.process([record(1, 5.0, ONES[:, :1], "fan")]).alerts
    assert (ended.id, ended.phase) == (found.id, "resolved")
    assert not each.open_alerts


def test_sensors_of_other_rules_move_the_clock_too() -> None:
    rules = [{"match": "fan*", "use": ["mahalanobis:any"]}, {"use": ["mahalanobis:any"]}]
    each = silent_pipeline(models=rules)
    each.process(windows_of([1], "fan"))
    found = each.process([record(1, 50.0, ONES[:, :1], "pump")]).alerts
    assert [alert.sensor for alert in found] == ["fan"]


def test_sensors_that_keep_sending_are_never_silent() -> None:
    each = silent_pipeline()
    turns = [(t, sensor) for t in range(0, 400, 9) for sensor in ("fan", "pump")]
    records = [record(i, t, ONES[:, :1], s) for i, (t, s) in enumerate(turns)]
    assert not each.process(records).alerts


@pytest.mark.parametrize("kind", ["samples", "windows"])
def test_a_ready_window_counts_until_its_end(kind: str) -> None:
    window = {"length": 4, "rate": 1, "channels": ["x", "y"], "input": kind}
    each = silent_pipeline(window=window)
    each.process([record(0, 0.0, ONES, "fan")])
    (found,) = each.tick(HERE, 1e3).alerts
    assert found.opened == (14.0 if kind == "windows" else 13.0)
