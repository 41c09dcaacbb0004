"""The sections of a stream that say what is anomalous, and when people are told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, PositiveFloat, model_validator

from monitor.notation import Below, BelowLevel, BudgetOf, Seconds, Votes, VotesOf
from monitor.section import Count, Probability, Settings
from monitor.types import Severity

SECONDS_OF_DAY = 86400.0
RAREST = 1e-12


class ThresholdConfig(Settings):
    """The rolling percentile of each sensor and detector.

    `cap` times the threshold is the most that a flagged score may add; `adopt` flagged windows in
    a row make the new level the normal one; `warm_up` is the number of scores before a detector
    without calibration may call anything anomalous.

    `tail` says where a percentile of the upper twentieth comes from: the scores themselves, or a
    generalised Pareto distribution fitted to them. `outliers` over the cap enter capped or not at
    all. `rate_step` is how far, in logarithms, the working rate moves at a flagged score; 0: it
    does not.
    """

    quantile: Probability = 0.995
    tail: Literal["empirical", "pareto"] = "empirical"
    window: Annotated[int, Field(ge=16, le=1_000_000)] = 2048
    floor: Annotated[float, Field(ge=1e-30, le=1e30)] = 1e-6
    cap: Annotated[float, Field(ge=1.5, le=1e6)] = 2.0
    outliers: Literal["capped", "left_out"] = "capped"
    adopt: Count = 500
    warm_up: Count = 200
    margin: Annotated[float, Field(ge=1.0, le=1e6)] = 1.0
    rate_step: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    rate_bound: Annotated[float, Field(ge=1.0, le=1e6)] = 8.0


def _two_severities() -> dict[Severity, float]:
    return {"warning": 1.0, "critical": 3.0}


class AlertConfig(Settings):
    """When windows become an alert. `severity` gives the score from which on each one holds.

    Detectors are fused by `votes`, or by their p-values with these `weights` (1 where none is
    given). With a `budget` of alerts for each sensor the thresholds follow from it.
    """

    model_config = ConfigDict(populate_by_name=True)

    budget: BudgetOf | None = None
    fusion: Literal["votes", "cauchy", "log_p"] = "votes"
    weights: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field(default_factory=dict)
    votes: Count = 1
    raise_: Annotated[VotesOf, Field(alias="raise", validate_default=True)] = Votes(3, 5)
    clear: Annotated[BelowLevel, Field(validate_default=True)] = Below(5, 0.9)
    cool_down: Seconds = 0.0
    silence: Annotated[Seconds, Field(gt=0)] | None = None
    severity: dict[Severity, PositiveFloat] = Field(default_factory=_two_severities)

    @model_validator(mode="after")
    def _of_one_fusion(self) -> AlertConfig:
        """What the other kind of fusion would pass over is a mistake."""
        if self.fusion == "votes" and self.weights:
            raise ValueError("weights are for p-values: fusion cauchy or log_p")
        if self.fusion != "votes" and self.votes != 1:
            raise ValueError(f"votes is {self.votes}, but fusion is {self.fusion}; leave one out")
        return self


def within_budget(
    threshold: ThresholdConfig, alert: AlertConfig, hop: float, detectors: int
) -> ThresholdConfig:
    """The thresholds of a lane with windows every `hop` seconds: with a budget their quantile
    follows from it.

    An alert that is raised by k of n windows uses up k flagged ones, which no other alert has: its
    history is forgotten as it resolves. So whatever the windows' dependence there are at most as
    many alerts as flagged windows over k, and with a rate r of flagged windows no more than r over
    k and hop are expected. A window that `votes` of D detectors have to flag is flagged at most D
    over `votes` times as often as by each of them.
    """
    if alert.budget is None:
        return threshold
    rate = alert.budget.per_day / SECONDS_OF_DAY * hop * alert.raise_.k
    if alert.fusion == "votes":
        rate *= alert.votes / detectors
    quantile = 1 - min(max(rate, RAREST), 0.5)
    tail = threshold.tail if "tail" in threshold.model_fields_set else "pareto"
    return threshold.model_copy(update={"quantile": quantile, "tail": tail})
