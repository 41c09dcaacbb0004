"""Guards: sensors that are at fault themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.errors import StateError
from monitor.guarding import GUARDS, GuardConfig
from monitor.stream.guards import Guarded, Guards
from monitor.types import Alert, Array, Score
from monitor.windowing import WindowConfig
from tests.core.builders import HERE, pipeline, record, stream, stream_config, window

HOUR = 3600.0
NOISE = np.random.default_rng(0).normal(size=(200, 2, 4)).astype(np.float32)


def guards(clear: int = 1, **config: Any) -> Guards:
    return Guards(GuardConfig.model_validate(config), window(), clear)


def look(found: Guards, *windows: Array, first: int = 0) -> list[Guarded]:
    """Windows of sensor 0, one after the other."""
    ends = 4.0 * np.arange(first + 1, first + 1 + len(windows), dtype=np.float64)
    return found.look(np.zeros(len(windows), np.int64), np.stack(windows), ends)[0]


def flat(x: float, y: float) -> Array:
    return np.repeat(np.array([[x], [y]], np.float32), 4, axis=1)


def test_a_value_that_cannot_be_is_told_with_its_channel_until_it_is_gone() -> None:
    hot = NOISE[1].copy()
    hot[1, 2] = 81.0
    changes = look(guards(range={"y": [-20, 80]}), NOISE[0], hot, hot, NOISE[2])
    assert changes == [
        Guarded("range", 0, 1, True, 8.0, 8.0, 1),
        Guarded("range", 0, 3, False, 8.0, 16.0, -1),
    ]


def test_a_channel_is_stuck_once_it_has_kept_its_value_for_long_enough() -> None:
    found = guards(stuck={"x": 10})
    still = [np.stack([np.full(4, 2.5, np.float32), row[1]]) for row in NOISE[:5]]
    changes = look(found, NOISE[9], *still, NOISE[8])
    assert [(c.rule, c.at, c.firing, c.time) for c in changes] == [
        ("stuck", 3, True, 16.0),
        ("stuck", 6, False, 28.0),
    ], "it moved last in the window that ended at 4"


def test_a_stretch_within_a_window_counts_from_where_it_began() -> None:
    x = NOISE[0].copy()
    x[0, 1:] = 7.0
    y = NOISE[1].copy()
    y[0] = 7.0
    assert [c.time for c in look(guards(stuck={"x": 7}), x, y)] == [8.0]
    assert look(guards(stuck={"x": 7.5}), x, y) == []


def test_another_value_is_a_move() -> None:
    assert look(guards(stuck={"*": 5}), flat(1, 1), flat(2, 2), flat(3, 3)) == []


def test_a_channel_at_the_end_of_its_scale_is_saturated() -> None:
    clipped = np.clip(NOISE[3] * 5, -1, 1)
    found = guards(saturated={"*": 0.5})
    (change,) = look(found, NOISE[0], clipped)
    assert (change.rule, change.at, change.firing) == ("saturated", 1, True)
    assert look(guards(saturated={"*": 0.5}), flat(0, 0)) == [], "that is stuck, not saturated"


def test_missing_values_are_no_fault_of_these_kinds() -> None:
    x = NOISE[0].copy()
    x[:, 1] = np.nan
    assert look(guards(range={"*": [-9, 9]}, saturated={"*": 0.9}, stuck={"*": 4}), x, x) == []
    gone = np.full((2, 4), np.nan, np.float32)
    found = guards(stuck={"*": 12})
    assert look(found, flat(1, 1), gone, gone) == []
    assert look(found, flat(1, 1), first=3)[0].rule == "stuck", "a missing sample ends nothing"


def test_a_fault_resolves_after_as_many_windows_as_an_alert() -> None:
    changes = look(guards(clear=3, range={"*": [-9, 9]}), flat(50, 0), *NOISE[:4])
    assert [(c.at, c.firing) for c in changes] == [(0, True), (3, False)]


def test_a_sensor_that_sends_but_makes_no_whole_window_is_told() -> None:
    found = guards(missing=10)
    times = np.array([0.0, 4.0, 8.0, 12.0, 16.0, 20.0])
    whole = np.array([np.nan, 4.0, np.nan, np.nan, np.nan, 20.0])
    changes = found.hear(np.zeros(6, np.int64), times, whole, np.zeros(6, np.bool_))
    assert [(c.rule, c.firing, c.opened, c.time) for c in changes] == [
        ("missing", True, 16.0, 16.0),
        ("missing", False, 16.0, 20.0),
    ]


def test_what_is_off_is_off() -> None:
    changes, teaches = guards().look(np.zeros(1, np.int64), flat(1e30, 0)[None], np.array([4.0]))
    assert (changes, teaches.tolist()) == ([], [True])
    assert guards().hear(*(np.zeros(1),) * 3, np.ones(1, np.bool_)) == []  # type: ignore[arg-type]


CONFIG = {"range": {"*": [-2, 2]}, "stuck": {"x": 6}, "saturated": {"y": 0.4}}
VALUES = st.sampled_from([-3.0, -1.0, 0.0, 1.0, 3.0, np.nan])
WINDOWS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(VALUES, min_size=8, max_size=8)), min_size=1, max_size=24
)


@settings(deadline=None, max_examples=60)
@given(WINDOWS, st.data())
def test_however_windows_come_together_the_same_is_told(
    given_: list[tuple[int, list[float]]], data: st.DataObject
) -> None:
    slots = np.array([slot for slot, _ in given_])
    windows = np.array([x for _, x in given_], np.float32).reshape(-1, 2, 4)
    ends = 4.0 * np.arange(1, len(slots) + 1, dtype=np.float64)
    whole = guards(clear=2, **CONFIG)
    expected, taught = whole.look(slots, windows, ends)
    cut = data.draw(st.integers(0, len(slots)))
    parts = guards(clear=2, **CONFIG)
    first, one = parts.look(slots[:cut], windows[:cut], ends[:cut])
    again = guards(clear=2, **CONFIG)
    again.restore(parts.state())
    second, other = again.look(slots[cut:], windows[cut:], ends[cut:])
    assert first + [change._replace(at=change.at + cut) for change in second] == expected
    assert [*one, *other] == taught.tolist()
    assert {c.slot for c in again.open()} == {c.slot for c in whole.open()}


def test_who_has_a_forgotten_slot_starts_anew() -> None:
    found = guards(range={"*": [-9, 9]})
    assert look(found, flat(50, 0))
    found.forget(np.array([0]))
    assert found.open() == []
    assert look(found, flat(50, 0))[0].firing


def test_a_damaged_state_is_refused() -> None:
    found = guards(range={"*": [-9, 9]})
    look(found, flat(50, 0))
    state = found.state()
    state["opened"][:] = np.nan
    with pytest.raises(StateError, match="a guard's alert is open that was never opened"):
        guards(range={"*": [-9, 9]}).restore(state)


def alerts_of(config: dict[str, Any], *levels: float) -> list[Alert]:
    made = pipeline(stream(stream_config(guards=config)))
    found: list[Alert] = []
    for n, value in enumerate(levels):
        data = NOISE[n] + np.float32(value)
        found += made.process([record(n, 4.0 * n, data)]).alerts
    return [alert for alert in found if alert.rule in GUARDS]


def test_an_alert_says_what_is_wrong_with_which_channel() -> None:
    opened, closed = alerts_of({"range": {"x": [-9, 9]}}, 0, 50, 0, 0, 0)
    assert (opened.phase, closed.phase, opened.id) == ("firing", "resolved", closed.id)
    assert opened.reason == "x is out of range; -9 to 9 are valid"
    assert (opened.rule, dict(opened.channels), opened.time) == ("range", {"x": 1.0}, 8.0)


def test_a_guarded_window_is_judged_but_teaches_nothing() -> None:
    def thresholds(config: dict[str, Any]) -> list[float]:
        made = pipeline(stream(stream_config(guards=config)))
        wild = [0.0] * 8 + [6.0, 7.0] + [0.0] * 2
        scores: list[Score] = []
        for n, value in enumerate(wild):
            data = NOISE[n] + np.float32(value)
            scores += made.process([record(n, 4.0 * n, data)]).scores
        return [s.threshold for s in scores if s.detector == "energy"]

    assert thresholds({})[-1] > thresholds({})[8], "such scores raise the threshold"
    guarded = thresholds({"range": {"*": [-5, 5]}})
    assert guarded[-1] <= guarded[8] * 1.001


def test_open_alerts_of_guards_go_on_in_a_new_process() -> None:
    config = {"range": {"x": [-9, 9]}}
    made = pipeline(stream(stream_config(guards=config)))
    made.process([record(0, 0.0, NOISE[0] + 50)])
    state = made.partitions[HERE].state()
    other = pipeline(stream(stream_config(guards=config)), opened=[])
    assert other.open(HERE, state, 1) == []
    (alert,) = (a for a in other.open_alerts.values() if a.rule == "range")
    found = other.process([record(n, 4.0 * n, NOISE[n]) for n in (1, 2, 3)]).alerts
    assert [a.id for a in found if a.rule == "range"] == [alert.id]


def test_a_clock_that_is_ahead_is_an_alert_if_asked_for() -> None:
    config = stream_config(guards={"skew": True}, event_time={"max_skew": 60})
    made = pipeline(stream(config))
    records = [
        record(n, 4.0 * n + HOUR * (sensor == "late" and n > 30), NOISE[n], sensor)._replace(
            offset=2 * n + place, time=4.0 * n + 4
        )
        for n in range(60)
        for place, sensor in enumerate(("late", "right"))
    ]
    found = [a for a in made.process(records).alerts if a.rule == "skew"]
    assert [(a.sensor, a.phase) for a in found] == [("late", "firing")]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"range": {"z": [0, 1]}}, "guards names channel 'z'; valid are x, y and *"),
        ({"range": {"x": [1, 0]}}, "is no range: lowest valid value, then highest"),
        ({"saturated": {"x": 0}}, "greater than 0"),
        ({"stuck": {"x": "long"}}, "not a duration"),
    ],
)
def test_mistakes_are_told(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        stream_config(guards=config)
    assert said in str(error.value)


def test_skew_cannot_be_alerted_where_such_messages_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"skew is true, but event_time.skew is reject"):
        stream_config(guards={"skew": True}, event_time={"skew": "reject"})


def test_a_window_of_one_channel_is_guarded_too() -> None:
    one = WindowConfig.model_validate({"length": 4, "rate": 1, "channels": ["x"]})
    found = Guards(GuardConfig.model_validate({"range": {"*": [0, 1]}}), one, 1)
    changes, teaches = found.look(np.array([3]), np.full((1, 1, 4), 5.0, np.float32), np.ones(1))
    assert [c.slot for c in changes] == [3]
    assert not teaches[0]
