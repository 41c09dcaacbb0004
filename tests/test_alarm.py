"""The life of an alert, against a plain state machine and rule by rule."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerting import AlertConfig
from monitor.stream.alarm import ESCALATED, NOTHING, RAISED, RESOLVED, Alarm, alert_id

Step = tuple[int, float, int]


def rules(**changes: Any) -> AlertConfig:
    plain = {"raise": "2 of 3", "clear": "2 below 0.5"}
    return AlertConfig.model_validate(plain | changes)


def steps(alarm: Alarm, values: list[float], begin: float = 0.0, slot: int = 0) -> list[int]:
    """What each value, a second apart, did to a sensor."""
    slots = np.array([slot], np.int64)
    return [
        int(alarm.step(slots, np.array([value], np.float32), np.array([begin + i])).code[0])
        for i, value in enumerate(values)
    ]


def test_k_of_n_windows_raise() -> None:
    assert steps(Alarm(rules()), [2, 0.9, 2, 2]) == [NOTHING, NOTHING, RAISED, NOTHING]
    assert steps(Alarm(rules()), [2, 0.9, 0.9, 2]) == [NOTHING] * 4


def test_a_score_of_just_one_is_no_vote() -> None:
    assert RAISED not in steps(Alarm(rules()), [1.0] * 9)


def test_so_many_quiet_windows_in_a_row_clear() -> None:
    codes = steps(Alarm(rules()), [2, 2, 0.4, 0.6, 0.4, 0.4])
    assert codes == [NOTHING, RAISED, NOTHING, NOTHING, NOTHING, RESOLVED]


def test_between_the_levels_an_alert_stays_open() -> None:
    assert steps(Alarm(rules()), [2, 2, *[0.9] * 50])[2:] == [NOTHING] * 50


def test_old_votes_do_not_raise_again_after_an_alert() -> None:
    alarm = Alarm(rules(**{"raise": "2 of 20"}))
    steps(alarm, [2, 2, 0, 0])
    assert steps(alarm, [2, 0, 2], begin=9) == [NOTHING, NOTHING, RAISED]


def test_during_the_cool_down_nothing_is_raised() -> None:
    alarm = Alarm(rules(cool_down="10s"))
    assert steps(alarm, [2, 2, 0, 0]).index(RESOLVED) == 3
    assert steps(alarm, [2] * 12, begin=4).index(RAISED) == 9, "10 s after second 3"


def test_a_raise_needs_its_own_window_over_the_threshold() -> None:
    alarm = Alarm(rules(cool_down="5s", **{"raise": "2 of 9"}))
    steps(alarm, [2, 2, 0, 0])
    codes = steps(alarm, [2, 2, 0.9, 0.9, 0.9, 0.9, 2], begin=4)
    assert codes == [NOTHING] * 6 + [RAISED]


def test_what_is_not_known_changes_nothing() -> None:
    with_gaps = [2, math.nan, 2, math.nan, 0.4, math.nan, 0.4]
    codes = steps(Alarm(rules()), with_gaps)
    assert codes == [NOTHING, NOTHING, RAISED, NOTHING, NOTHING, NOTHING, RESOLVED]


def test_the_severity_only_rises_while_the_alert_is_open() -> None:
    alarm = Alarm(rules(severity={"info": 1, "warning": 2, "critical": 5}))
    assert steps(alarm, [1.5, 1.5, 3, 9, 3, 9]) == [
        NOTHING,
        RAISED,
        ESCALATED,
        ESCALATED,
        NOTHING,
        NOTHING,
    ]
    assert alarm.open() == [(0, 1.0, 2)]


def test_the_mildest_severity_holds_below_all_levels() -> None:
    alarm = Alarm(rules(severity={"warning": 3, "critical": 5}))
    steps(alarm, [1.5, 1.5])
    assert alarm.open() == [(0, 1.0, 1)]


def test_n_may_be_64() -> None:
    alarm = Alarm(rules(**{"raise": "64 of 64"}))
    assert steps(alarm, [2] * 65) == [*[NOTHING] * 63, RAISED, NOTHING]


def test_ids_depend_on_everything_that_makes_an_alert_and_on_nothing_else() -> None:
    same = alert_id("s", "pump", "score", 1.5)
    others = {
        alert_id("t", "pump", "score", 1.5),
        alert_id("s", "fan", "score", 1.5),
        alert_id("s", "pump", "silence", 1.5),
        alert_id("s", "pump", "score", 1.25),
        alert_id("sp", "ump", "score", 1.5),
    }
    assert same == alert_id("s", "pump", "score", 1.5) == "ff8be5b266ceeaad"
    assert len(others | {same}) == 6


@dataclass
class PlainAlarm:
    """One sensor's machine in plain Python."""

    rules: AlertConfig
    votes: list[bool] = field(default_factory=list)
    quiet: int = 0
    opened: float | None = None
    severity: int = 0
    rest_until: float = -math.inf

    def step(self, value: float, time: float) -> Step | None:
        """(code, opened, severity) where something happened."""
        if math.isnan(value):
            return None
        self.votes = [*self.votes, value > 1][-self.rules.raise_.n :]
        self.quiet = self.quiet + 1 if value < np.float32(self.rules.clear.level) else 0
        level = self._level(value)
        if self.opened is None:
            due = value > 1 and sum(self.votes) >= self.rules.raise_.k and time >= self.rest_until
            if due:
                self.opened, self.severity = time, level
                return RAISED, time, level
        elif self.quiet >= self.rules.clear.n:
            told = RESOLVED, self.opened, self.severity
            self.opened, self.votes, self.rest_until = None, [], time + self.rules.cool_down
            return told
        elif level > self.severity:
            self.severity = level
            return ESCALATED, self.opened, level
        return None

    def _level(self, value: float) -> int:
        names = ("info", "warning", "critical")
        known = {names.index(n): level for n, level in self.rules.severity.items()}
        reached = [place for place, level in known.items() if value >= level]
        return max(reached, default=min(known, default=0))


VALUES = st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 6.0, math.nan])
LEVELS = st.dictionaries(
    st.sampled_from(["info", "warning", "critical"]), st.sampled_from([1.0, 2.0, 5.0])
)


@st.composite
def configs(draw: st.DrawFn) -> AlertConfig:
    n = draw(st.integers(1, 5))
    return rules(
        **{"raise": f"{draw(st.integers(1, n))} of {n}"},
        clear=f"{draw(st.integers(1, 3))} below {draw(st.sampled_from([0.5, 0.75, 1]))}",
        cool_down=draw(st.integers(0, 6)),
        severity=draw(LEVELS),
    )


@given(configs(), st.lists(st.lists(VALUES, min_size=3, max_size=3), max_size=40), st.data())
def test_it_is_the_plain_machine_for_every_sensor_also_after_a_restart(
    config: AlertConfig, rows: list[list[float]], data: st.DataObject
) -> None:
    alarm, plain = Alarm(config), [PlainAlarm(config) for _ in range(3)]
    restart = data.draw(st.integers(0, 40))
    for turn, values in enumerate(rows):
        if turn == restart:
            alarm, before = Alarm(config), alarm
            alarm.restore(before.state())
        told = alarm.step(
            np.arange(3), np.array(values, np.float32), np.full(3, float(turn), np.float64)
        )
        for slot, value in enumerate(values):
            wanted = plain[slot].step(value, float(turn))
            found = (told.code[slot], told.opened[slot], told.severity[slot])
            assert found == wanted if wanted else told.code[slot] == NOTHING
        is_open = [machine.opened is not None for machine in plain]
        assert alarm.firing(np.arange(3)).tolist() == is_open
        assert [slot for slot, _, _ in alarm.open()] == [i for i, o in enumerate(is_open) if o]


@given(configs(), st.lists(VALUES, max_size=80))
def test_there_are_never_more_alerts_than_flagged_windows_over_k(
    config: AlertConfig, values: list[float]
) -> None:
    flagged = sum(value > 1 for value in values)
    assert steps(Alarm(config), values).count(RAISED) <= flagged // config.raise_.k
