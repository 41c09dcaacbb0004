"""Measures against examples worked out by hand, and against what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.offline.labels import Event
from monitor.offline.measures import (
    Alerting,
    Raised,
    Ranking,
    Rules,
    Watch,
    alerting,
    merged,
    ranking,
    rules_of,
)
from tests.recorded import config

FEW = settings(max_examples=30, deadline=None)  # each example takes milliseconds
RULES = Rules(length=2.0, apart=5.0, hop=1.0)
INF = float("inf")


def truth_of(*values: int) -> NDArray[np.int8]:
    return np.array(values, np.int8)


def scores_of(*values: float) -> NDArray[np.float64]:
    return np.array(values)


def event(start: float, end: float, kind: str = "") -> Event:
    return Event("m", start, end, kind)


def alerts_of(
    events: list[Event],
    opened: list[float],
    unknown: tuple[tuple[float, float], ...] = (),
    normal: int = 100,
) -> Alerting:
    alerts = [Raised(at, at + 1) for at in opened]
    return alerting([Watch(events, alerts, unknown, np.arange(1000.0, 1000.0 + normal))], RULES)[0]


def test_a_ranking_worked_out_by_hand() -> None:
    # Sorted: 0.9 (1), 0.8 (0), 0.7 (1), 0.1 (0); of the four pairs three are in order.
    found = ranking(truth_of(0, 1, 0, 1), scores_of(0.1, 0.7, 0.8, 0.9))
    assert found.auroc == pytest.approx(3 / 4)
    assert found.auprc == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert found.f1_best == pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1))
    assert found.f1_cut == pytest.approx(0.7)
    assert (found.windows, found.anomalous, found.not_scored) == (4, 2, 0)


def test_ties_count_half() -> None:
    found = ranking(truth_of(0, 1), scores_of(1.0, 1.0))
    assert found.auroc == pytest.approx(0.5)


def test_unknown_windows_and_missing_scores_are_left_out_and_counted() -> None:
    found = ranking(truth_of(0, 1, -1, 1, 0), scores_of(0.0, 1.0, 9.0, np.nan, np.nan))
    assert (found.windows, found.anomalous, found.not_scored) == (2, 1, 2)
    assert found.auroc == 1.0


@pytest.mark.parametrize(
    ("truth", "note"),
    [
        (truth_of(0, 0), "all windows are normal"),
        (truth_of(1, 1), "all windows are anomalous"),
        (truth_of(-1, -1), "no window is both scored and labelled"),
        (truth_of(), "no window is both scored and labelled"),
    ],
)
def test_one_sided_labels_are_noted_and_no_error(truth: NDArray[np.int8], note: str) -> None:
    found = ranking(truth, np.zeros(len(truth)))
    assert (found.auroc, found.auprc, found.f1_best, found.note) == (None, None, None, note)


def test_an_infinite_score_is_the_highest() -> None:
    assert ranking(truth_of(0, 1, 0), scores_of(1.0, INF, 2.0)).auroc == 1.0


TRUTH_AND_SCORES = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.integers(0, 1000)), min_size=2, max_size=60
).filter(lambda rows: len({label for label, _ in rows}) == 2)


def ranked(rows: list[tuple[int, int]], *, backwards: bool = False) -> Ranking:
    labels, values = np.array(rows).T
    return ranking(labels.astype(np.int8), (-values if backwards else values).astype(np.float32))


@FEW
@given(TRUTH_AND_SCORES)
def test_only_the_order_of_scores_matters(rows: list[tuple[int, int]]) -> None:
    labels, values = np.array(rows).T
    one = ranking(labels.astype(np.int8), values.astype(np.float64))
    other = ranking(labels.astype(np.int8), np.exp(values / 100.0) - 7)
    assert (one.auroc, one.auprc, one.f1_best) == (other.auroc, other.auprc, other.f1_best)


@FEW
@given(TRUTH_AND_SCORES)
def test_turning_scores_round_turns_the_auroc_round(rows: list[tuple[int, int]]) -> None:
    forwards, backwards = ranked(rows).auroc, ranked(rows, backwards=True).auroc
    assert forwards is not None
    assert backwards == pytest.approx(1 - forwards)


@FEW
@given(TRUTH_AND_SCORES)
def test_the_auroc_is_the_share_of_pairs_in_order(rows: list[tuple[int, int]]) -> None:
    high = [value for label, value in rows if label]
    low = [value for label, value in rows if not label]
    pairs = [(a > b) + (a == b) / 2 for a in high for b in low]
    assert ranked(rows).auroc == pytest.approx(sum(pairs) / len(pairs))


@FEW
@given(TRUTH_AND_SCORES)
def test_the_cut_of_the_best_f1_gives_that_f1_and_no_score_a_better_one(
    rows: list[tuple[int, int]],
) -> None:
    def f1_at(cut: float) -> float:
        hits = sum(label for label, value in rows if value >= cut)
        flagged = sum(value >= cut for _, value in rows)
        return 2 * hits / (flagged + sum(label for label, _ in rows))

    found = ranked(rows)
    assert found.f1_cut is not None
    assert found.f1_best == pytest.approx(f1_at(found.f1_cut))
    assert found.f1_best == pytest.approx(max(f1_at(value) for _, value in rows))


@FEW
@given(st.lists(st.sampled_from([0, 1]), min_size=2, max_size=40))
def test_a_perfect_ranking_has_only_ones(labels: list[int]) -> None:
    found = ranking(truth_of(*labels), scores_of(*(label + 0.5 for label in labels)))
    expected = (1.0, 1.0, 1.0) if len(set(labels)) == 2 else (None, None, None)
    assert (found.auroc, found.auprc, found.f1_best) == expected


def test_alerts_worked_out_by_hand() -> None:
    # Two events found after 1 s and 4 s, one missed; the alert at 50 belongs to none.
    events = [event(10, 12), event(30, 40), event(70, 71)]
    found = alerts_of(events, [11.0, 34.0, 50.0], normal=86400)
    assert (found.events, found.detected, found.alerts, found.false_alarms) == (3, 2, 3, 1)
    assert found.recall == pytest.approx(2 / 3)
    assert found.precision == pytest.approx(2 / 3)
    assert (found.delay_mean, found.delay_median, found.delay_max) == (2.5, 2.5, 4.0)
    assert found.sensor_days == pytest.approx(1.0)
    assert found.false_alarms_per_day == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("opened", "detected"),
    [(10.0, 0), (10.1, 1), (12.0, 1), (14.0, 1), (14.1, 0), (9.0, 0)],
)
def test_an_alert_belongs_to_an_event_if_a_window_with_it_may_have_opened_it(
    opened: float, detected: int
) -> None:
    found = alerts_of([event(10, 12)], [opened])
    assert (found.detected, found.false_alarms) == (detected, 1 - detected)


def test_an_alert_that_was_open_before_the_event_is_no_detection() -> None:
    watch = Watch([event(10, 12)], [Raised(3, INF)], (), np.arange(20.0))
    found, _ = alerting([watch], RULES)
    assert (found.detected, found.false_alarms, found.precision) == (0, 1, 0.0)
    assert found.in_alarm == pytest.approx(17 / 20)


def test_several_alerts_in_an_event_are_all_true_and_the_first_gives_the_delay() -> None:
    found = alerts_of([event(10, 30)], [13.0, 20.0, 12.0])
    assert (found.detected, found.alerts, found.precision, found.delay_mean) == (1, 3, 1.0, 2.0)


def test_an_alert_in_a_stretch_without_labels_is_neither_true_nor_false() -> None:
    found = alerts_of([event(10, 12)], [25.0], unknown=((20.0, 30.0),))
    assert (found.alerts, found.false_alarms, found.precision) == (0, 0, None)


def test_nothing_at_all_divides_by_nothing() -> None:
    found, events = alerting([], RULES)
    assert events == []
    assert (found.recall, found.precision, found.delay_mean) == (None, None, None)
    assert (found.false_alarms_per_day, found.in_alarm) == (None, None)


def test_an_event_within_reach_of_another_is_one_with_it() -> None:
    found = merged([event(10, 12, "spike"), event(17, 18, "drift"), event(24, 25)], 5.0)
    assert found == [event(10, 18, "spike+drift"), event(24, 25)]


def test_an_event_inside_a_longer_one_does_not_shorten_it() -> None:
    assert merged([event(10, 90), event(20, 30)], 5.0) == [event(10, 90)]


def test_the_rules_follow_from_windows_and_alerts() -> None:
    (stream,) = config(alert={"clear": "3 below 0.9", "cool_down": "10s"}).streams.values()
    assert rules_of(stream) == Rules(length=1.0, apart=1.0 + 3 * 0.5 + 10.0, hop=0.5)


EVENTS = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 20)), max_size=8)
OPENINGS = st.lists(st.integers(0, 250), max_size=12, unique=True)


@FEW
@given(EVENTS, OPENINGS)
def test_every_alert_is_true_or_false_and_every_event_found_or_missed(
    events: list[tuple[int, int]], opened: list[int]
) -> None:
    spans = [event(float(start), float(start + size)) for start, size in events]
    found = alerts_of(spans, [float(at) for at in opened])
    assert found.alerts == len(opened)
    assert 0 <= found.false_alarms <= found.alerts
    assert 0 <= found.detected <= found.events <= len(events)
    assert (found.delay_mean is None) == (found.detected == 0)
    if found.delay_mean is not None and found.delay_max is not None:
        assert 0 < found.delay_mean <= found.delay_max


@FEW
@given(EVENTS, OPENINGS)
def test_recordings_add_up(events: list[tuple[int, int]], opened: list[int]) -> None:
    spans = [event(float(start), float(start + size)) for start, size in events]
    watch = Watch(spans, [Raised(float(at), INF) for at in opened], (), np.arange(50.0))
    one, _ = alerting([watch], RULES)
    two, _ = alerting([watch, watch], RULES)
    assert (two.events, two.detected) == (2 * one.events, 2 * one.detected)
    assert two.false_alarms == 2 * one.false_alarms
    assert (two.recall, two.precision) == (one.recall, one.precision)
    assert two.false_alarms_per_day == one.false_alarms_per_day
