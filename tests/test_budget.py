"""A budget of alerts in place of a quantile."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from monitor.alerting import AlertConfig, ThresholdConfig, within_budget
from monitor.notation import Budget, budget, spell
from tests.core.builders import pipeline, stream, stream_config, windows_of

WEEK = 7 * 86400


def threshold(detectors: int = 1, hop: float = 10.0, **alert: Any) -> ThresholdConfig:
    asked = AlertConfig.model_validate({"budget": "2 per week", "raise": "3 of 5"} | alert)
    return within_budget(ThresholdConfig(), asked, hop, detectors)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 per week", Budget(2, "week")),
        ("0.5 per day", Budget(0.5, "day")),
        (" 1  per  month ", Budget(1, "month")),
    ],
)
def test_a_budget_is_read_and_spelled(text: str, expected: Budget) -> None:
    assert budget(text) == expected
    assert budget(spell(expected)) == expected
    assert budget(expected) is expected


@pytest.mark.parametrize("text", ["2", "0 per day", "-1 per day", "2 per year", "two per week", ""])
def test_what_is_no_budget_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="such as '2 per week'"):
        budget(text)


def test_so_many_alerts_need_k_times_as_many_flagged_windows() -> None:
    flagged_a_week = (1 - threshold().quantile) * WEEK / 10
    assert flagged_a_week == pytest.approx(2 * 3)
    assert Budget(2, "week").per_day == pytest.approx(2 / 7)


def test_detectors_that_each_can_flag_share_the_budget() -> None:
    each = 1 - threshold(4).quantile
    assert each == pytest.approx((1 - threshold().quantile) / 4)
    assert 1 - threshold(4, votes=2).quantile == pytest.approx(2 * each)
    assert 1 - threshold(4, fusion="cauchy").quantile == pytest.approx(4 * each)


def test_the_tail_is_fitted_if_not_said_otherwise() -> None:
    assert threshold().tail == "pareto"
    said = ThresholdConfig(tail="empirical")
    asked = AlertConfig.model_validate({"budget": "2 per week"})
    assert within_budget(said, asked, 10, 1).tail == "empirical"


def test_without_a_budget_nothing_changes() -> None:
    plain = ThresholdConfig(quantile=0.98)
    assert within_budget(plain, AlertConfig(), 10, 3) is plain


def test_any_budget_is_a_rate() -> None:
    for text in ("1000000 per hour", "0.000001 per month"):
        assert 0 < 1 - threshold(hop=1e-3, budget=text).quantile <= 0.5


def test_a_budget_and_a_quantile_are_one_too_many() -> None:
    with pytest.raises(ValidationError, match=r"one of alert\.budget, threshold\.quantile"):
        stream_config(alert={"budget": "1 per day"}, threshold={"quantile": 0.99})


@pytest.mark.parametrize(
    ("alert", "told"),
    [
        ({"weights": {"mahalanobis": 2}}, "weights are for p-values"),
        ({"fusion": "cauchy", "votes": 2}, "votes is 2, but fusion is cauchy"),
        ({"fusion": "cauchy", "weights": {"nobody": 2}}, "'nobody'; .* mahalanobis"),
    ],
)
def test_what_another_fusion_would_pass_over_is_told(alert: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        stream_config(alert=alert)


def test_target_and_budget_are_shown_and_flags_are_counted() -> None:
    budgeted = {"alert": {"budget": "9 per hour", "raise": "2 of 3"}, "threshold": {"warm_up": 4}}
    each = pipeline(stream(stream_config(**budgeted)))
    each.process(windows_of([1, 2, 1, 2, 1, 2, 1, 2, 90, 90, 90, 1]))
    (view,) = each.views()
    assert view.budget == pytest.approx(9 * 24)
    assert view.target == pytest.approx(9 / 3600 * 4 * 2)
    counts = each.counts
    assert counts["windows_flagged", "vibration"] >= 3
    assert counts["scores_flagged", "vibration", "level"] >= 1
    assert counts["alerts_raised", "vibration"] == 1


def test_windows_that_detectors_disagree_on_are_counted() -> None:
    each = pipeline()
    each.process(windows_of([1] * 8))
    assert each.counts["windows_disputed", "vibration"] == 0
    each.process(windows_of([1.0001], first=8))
    flagged = [each.counts["scores_flagged", "vibration", d] for d in ("energy", "level")]
    assert each.counts["windows_disputed", "vibration"] == (sorted(flagged) == [0, 1])
