"""The rate that is worked with so that the rate that is realised stays near the nominal one.

Adaptive conformal inference (Gibbs and Candes, "Adaptive conformal inference under distribution
shift", NeurIPS 2021) moves the working rate by `step * (nominal - flagged)` after each window. Here
its logarithm moves, so that one step suits every rate and none leaves 0 to 1. The mean of `nominal
- flagged` over n windows is the level's way over `step n`, at most `2 log(bound) / (step n)`, for
any series of scores, as long as no bound is touched (their proposition 4.1).

There is one fixed step, not a choice among several that learns (Gibbs and Candes, "Conformal
inference for online prediction with arbitrary distribution shifts", JMLR 2024, first 2022): at a
rate of 1 in 1,000 the losses of two steps differ too little for too long to choose by them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from monitor.alerting import ThresholdConfig
from monitor.compiled import inlined

_HIGHEST = 0.5


class Control(NamedTuple):
    """The nominal rate, how far the level moves at one flagged window, and how far in all."""

    rate: float
    step: float
    low: float
    high: float


def control_of(settings: ThresholdConfig) -> Control:
    """What the settings ask for. Whatever its bound, no working rate is over one half."""
    rate = 1 - settings.quantile
    bound = math.log(settings.rate_bound)
    high = max(min(bound, math.log(_HIGHEST / rate)), 0.0)
    return Control(rate, settings.rate_step, -bound, high)


@inlined
def moved(level: float, flagged: float, control: Control) -> float:
    """The level, log of the working over the nominal rate, after one more window; `flagged` is 1
    or 0.
    """
    changed = level + control.step * (control.rate - flagged)
    return min(max(changed, control.low), control.high)


@inlined
def corrected(log_p: float, level: float, log_rate: float) -> float:
    """A log p-value on the scale on which the working rate is the nominal one."""
    return log_p * (log_rate / (log_rate + level))
