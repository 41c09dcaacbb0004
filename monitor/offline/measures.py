"""How good scores and alerts are, against labels.

Causal, and without point adjustment: a window counts as found only by its own score, an event only
by an alert that opens because of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from monitor.offline.labels import Event
from monitor.settings import StreamConfig

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well scores tell anomalous windows from normal ones; None where `note` says why not.

    `f1_best` is an oracle: at the cut `f1_cut`, which was chosen on these very labels. `vus_pr`
    (`volume.py`) and the interval `auroc_low` to `auroc_high` (`intervals.py`) need to know where
    recordings end, so `ranking` leaves them out.
    """

    windows: int
    anomalous: int
    not_scored: int
    auroc: float | None = None
    auprc: float | None = None
    f1_best: float | None = None
    f1_cut: float | None = None
    note: str = ""
    vus_pr: float | None = None
    auroc_low: float | None = None
    auroc_high: float | None = None


@dataclass(frozen=True, slots=True)
class Raised:
    """One alert, from when it opened to when it was resolved, or infinity."""

    opened: float
    closed: float


@dataclass(frozen=True, slots=True)
class Watch:
    """One recording as the alarm saw it: events, alerts, stretches that nobody judged, and the
    ends of the windows `(N,)` that are known to be normal.
    """

    events: Sequence[Event]
    alerts: Sequence[Raised]
    unknown: Sequence[tuple[float, float]]
    normal: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rules:
    """When an alert belongs to an event, in seconds.

    One belongs to an event if it opens after the event's start, and at most `length`, a window,
    after its end: any later window holds no sample of it. Events `apart` or less, which is what
    an alert may need to resolve, are one event. A window stands for `hop` of normal time.
    """

    length: float
    apart: float
    hop: float


@dataclass(frozen=True, slots=True)
class Found:
    """An event, and how long it took to be alerted; None where it was missed."""

    event: Event
    delay: float | None


@dataclass(frozen=True, slots=True)
class Alerting:
    """Alerts against events. Rates are None where there is nothing to divide by.

    `delay_*` are seconds from an event's start to the opening of its first alert. `in_alarm` is
    the share of normal windows during which an alert was open.
    """

    events: int
    detected: int
    alerts: int
    false_alarms: int
    recall: float | None
    precision: float | None
    delay_mean: float | None
    delay_median: float | None
    delay_max: float | None
    sensor_days: float
    false_alarms_per_day: float | None
    in_alarm: float | None


class _Judged(NamedTuple):
    """The events of a recording, and how many alerts belong to one or to nothing."""

    found: list[Found]
    true: int
    false: int


def ranking(truth: NDArray[np.int8], scores: NDArray[np.floating]) -> Ranking:
    """Rank windows by score: `truth` `(N,)` is 1, 0 or -1 for unknown, which is left out.

    AUROC is the area under the ROC curve, with ties counted half; AUPRC is average precision.
    NaN scores are left out and counted. Never raises for one-sided labels: it notes them.
    """
    known = truth >= 0
    scored = known & ~np.isnan(scores)
    y = truth[scored] == 1
    counts = int(scored.sum()), int(y.sum()), int((known & ~scored).sum())
    if not len(y):
        return Ranking(*counts, note="no window is both scored and labelled")
    if y.all() or not y.any():
        return Ranking(*counts, note=f"all windows are {'anomalous' if y.all() else 'normal'}")
    limit = np.finfo(np.float64).max
    values = np.nan_to_num(scores[scored].astype(np.float64), posinf=limit, neginf=-limit)
    # Twelve digits: sums over many windows are not exact in the last ones.
    auroc = round(float(roc_auc_score(y, values)), 12)
    auprc = round(float(average_precision_score(y, values)), 12)
    return Ranking(*counts, auroc, auprc, *_best_f1(y, values))


def rules_of(stream: StreamConfig) -> Rules:
    """The rules that follow from a stream's windows and alerts."""
    window, alert = stream.window, stream.alert
    length, hop = window.samples / window.rate, window.hop_samples / window.rate
    return Rules(length, length + alert.clear.n * hop + alert.cool_down, hop)


def alerting(watches: Sequence[Watch], rules: Rules) -> tuple[Alerting, list[Found]]:
    """Compare alerts with events, over any number of recordings."""
    judged = [_judge(watch, rules) for watch in watches]
    found = [one for each in judged for one in each.found]
    true, false = sum(each.true for each in judged), sum(each.false for each in judged)
    hits = [one.delay for one in found if one.delay is not None]
    normal = sum(len(watch.normal) for watch in watches)
    days = normal * rules.hop / DAY
    figures = Alerting(
        events=len(found),
        detected=len(hits),
        alerts=true + false,
        false_alarms=false,
        recall=_share(len(hits), len(found)),
        precision=_share(true, true + false),
        delay_mean=float(np.mean(hits)) if hits else None,
        delay_median=float(np.median(hits)) if hits else None,
        delay_max=max(hits, default=None),
        sensor_days=days,
        false_alarms_per_day=_share(false, days),
        in_alarm=_share(sum(_in_alarm(watch) for watch in watches), normal),
    )
    return figures, found


def merged(events: Sequence[Event], apart: float) -> list[Event]:
    """Events in the order of time, those at most `apart` from each other as one."""
    found: list[Event] = []
    for event in sorted(events, key=lambda e: e.start):
        if found and event.start - found[-1].end <= apart:
            kinds = dict.fromkeys(k for k in (*found[-1].kind.split("+"), event.kind) if k)
            end = max(found[-1].end, event.end)
            found[-1] = found[-1]._replace(end=end, kind="+".join(kinds))
        else:
            found.append(event)
    return found


def _best_f1(truth: NDArray[np.bool_], values: NDArray[np.float64]) -> tuple[float, float]:
    precision, recall, cuts = precision_recall_curve(truth, values)
    both = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], both, out=np.zeros_like(both), where=both > 0)
    best = int(np.argmax(f1))
    return float(f1[best]), float(cuts[best])


def _judge(watch: Watch, rules: Rules) -> _Judged:
    events = merged(watch.events, rules.apart)
    openings = [alert.opened for alert in watch.alerts]
    found, of_events = [], set[float]()
    for event in events:
        own = [at for at in openings if _belongs(at, event.start, event.end, rules)]
        found.append(Found(event, min(own) - event.start if own else None))
        of_events.update(own)
    others = [at for at in openings if at not in of_events]
    false = [at for at in others if not any(_belongs(at, *s, rules) for s in watch.unknown)]
    return _Judged(found, len(openings) - len(others), len(false))


def _belongs(opened: float, start: float, end: float, rules: Rules) -> bool:
    return start < opened <= end + rules.length


def _in_alarm(watch: Watch) -> int:
    """How many normal windows ended while an alert was open."""
    open_ = np.zeros(len(watch.normal), np.bool_)
    for alert in watch.alerts:
        open_ |= (watch.normal >= alert.opened) & (watch.normal < alert.closed)
    return int(open_.sum())


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
