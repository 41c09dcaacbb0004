"""The sections of a stream that say what is anomalous, and when people are told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, PositiveFloat

from monitor.notation import Below, BelowLevel, Seconds, Votes, VotesOf
from monitor.section import Count, Probability, Settings
from monitor.types import Severity


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
    """When windows become an alert. `severity` gives the score from which on each one holds."""

    model_config = ConfigDict(populate_by_name=True)

    votes: Count = 1
    raise_: Annotated[VotesOf, Field(alias="raise", validate_default=True)] = Votes(3, 5)
    clear: Annotated[BelowLevel, Field(validate_default=True)] = Below(5, 0.9)
    cool_down: Seconds = 0.0
    silence: Annotated[Seconds, Field(gt=0)] | None = None
    severity: dict[Severity, PositiveFloat] = Field(default_factory=_two_severities)
