"""`/metrics`: what the last View says, in the Prometheus text format.

Nothing is counted here and no series lives longer than the View that shows it: a sensor that has
moved to another process is gone at the next scrape. Only this file imports prometheus_client.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import isnan

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from monitor import __version__
from monitor.serve.families import METRICS, asset_labels
from monitor.serve.refusals import Refusals
from monitor.serve.series import SensorSeries, distinct, highest
from monitor.types import Alert
from monitor.view import Histogram, LaneView, Publisher, View

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Rows = dict[tuple[str, ...], float]
Counters = Mapping[tuple[str, ...], float]


class Exposition:
    """Renders `/metrics`; at most `max_sensors` sensors of each stream are shown one by one.

    `own` are counters of the server itself, keyed as those of a View.
    """

    def __init__(
        self, view: Publisher, max_sensors: int, own: Callable[[], Counters] | None = None
    ) -> None:
        self._view = view
        self._max_sensors = max_sensors
        self._own = own or Refusals().totals
        self._series = SensorSeries()
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)

    def render(self) -> bytes:
        """The whole page, UTF-8."""
        view = self._view()
        view = replace(view, counters={**view.counters, **self._own()})
        every = distinct(view.lanes)
        shown, dropped = highest(every, self._max_sensors)
        families = CollectorRegistry(auto_describe=False)
        families.register(ViewCollector(view, dropped))
        return b"".join(
            [generate_latest(families), self._series.render(shown), generate_latest(self._process)]
        )


class ViewCollector(Collector):
    """Every family but those of single sensors; `dropped` counts sensors not shown, by stream."""

    def __init__(self, view: View, dropped: Mapping[str, int]) -> None:
        self._view = view
        self._dropped = dropped

    def collect(self) -> Iterator[Metric]:
        """All families, each label set once."""
        yield from self._process_families()
        yield from self._stream_families()
        yield from self._model_families()
        yield _active(self._view.alerts)
        yield from _counters(self._view.counters)
        yield from _histograms(self._view.histograms)

    def _process_families(self) -> Iterator[Metric]:
        view = self._view
        yield _gauge("monitor_build_info", {(__version__, platform.python_version()): 1.0})
        yield _gauge("monitor_view_timestamp_seconds", {(): view.published})
        yield _gauge("monitor_failing", {(name,): 1.0 for name in view.failing})
        for name, offsets in (("position", view.position), ("lag_records", view.lag)):
            rows: Rows = {(p.topic, str(p.number)): float(n) for p, n in offsets.items()}
            yield _gauge(f"monitor_consumer_{name}", rows)

    def _stream_families(self) -> Iterator[Metric]:
        sensors: dict[str, set[str]] = {}
        for lane in self._view.lanes:
            sensors.setdefault(lane.stream, set()).update(lane.sensors)
        yield _gauge("monitor_sensors", {(s,): float(len(names)) for s, names in sensors.items()})
        yield _gauge("monitor_series_dropped", {(s,): float(n) for s, n in self._dropped.items()})
        budgets: Rows = {(lane.stream,): lane.budget for lane in self._view.lanes}
        known = {key: budget for key, budget in budgets.items() if not isnan(budget)}
        yield _gauge("monitor_alert_budget_per_day", known)
        yield _gauge("monitor_flagged_target_ratio", _targets(self._view.lanes))

    def _model_families(self) -> Iterator[Metric]:
        keys = {(m.stream, m.detector, m.name, str(m.version)): m for m in self._view.models}
        info: Rows = {(*key, model.fingerprint): 1.0 for key, model in keys.items()}
        yield _gauge("monitor_model_info", info)
        trained: Rows = {key: model.trained_at for key, model in keys.items()}
        yield _gauge("monitor_model_trained_timestamp_seconds", trained)


def _targets(lanes: Sequence[LaneView]) -> Rows:
    """Of each stream the share of windows that may be flagged: the mean over its sensors, since
    its rules may allow different ones.
    """
    found: dict[str, list[tuple[float, int]]] = {}
    for lane in lanes:
        found.setdefault(lane.stream, []).append((lane.target, max(len(lane.sensors), 1)))
    return {
        (stream,): sum(target * n for target, n in parts) / sum(n for _, n in parts)
        for stream, parts in found.items()
    }


def _family(name: str) -> Metric:
    return Metric(name.removesuffix("_total"), METRICS[name].help, METRICS[name].kind)


def _gauge(name: str, rows: Rows) -> Metric:
    family = _family(name)
    for values, number in rows.items():
        labels = dict(zip(METRICS[name].labels, values, strict=True))
        family.add_sample(name, _utf8(labels), number)
    return family


def _active(alerts: tuple[Alert, ...]) -> Metric:
    name = "monitor_anomaly_active"
    family = _family(name)
    for alert in {(a.stream, a.sensor, a.severity, a.rule): a for a in alerts}.values():
        labels = {label: str(getattr(alert, label)) for label in METRICS[name].labels}
        family.add_sample(name, _utf8(asset_labels(alert.labels) | labels), 1.0)
    return family


def _counters(counters: Mapping[tuple[str, ...], float]) -> Iterator[Metric]:
    """Keys that are not in the table are left out: a scrape must not fail for one of them."""
    rows: dict[str, Rows] = {}
    for (short, *values), total in counters.items():
        name = f"monitor_{short}_total"
        if name in METRICS and len(METRICS[name].labels) == len(values):
            rows.setdefault(name, {})[tuple(values)] = total
    names = [name for name, metric in METRICS.items() if metric.kind == "counter"]
    return (_gauge(name, rows.get(name, {})) for name in names)


def _histograms(histograms: Mapping[tuple[str, ...], Histogram]) -> Iterator[Metric]:
    families = {name: _family(name) for name, m in METRICS.items() if m.kind == "histogram"}
    for (short, *values), histogram in histograms.items():
        name = f"monitor_{short}_seconds"
        if name in families and len(METRICS[name].labels) == len(values):
            labels = dict(zip(METRICS[name].labels, values, strict=True))
            _add_histogram(families[name], _utf8(labels), histogram)
    return iter(families.values())


def _add_histogram(family: Metric, labels: dict[str, str], histogram: Histogram) -> None:
    limits = [*(repr(float(bound)) for bound in histogram.bounds), "+Inf"]
    for limit, count in zip(limits, accumulate(histogram.counts), strict=True):
        family.add_sample(f"{family.name}_bucket", labels | {"le": limit}, count)
    family.add_sample(f"{family.name}_count", labels, sum(histogram.counts))
    family.add_sample(f"{family.name}_sum", labels, histogram.total)


def _utf8(labels: dict[str, str]) -> dict[str, str]:
    """Label values that can be encoded: a lone surrogate becomes a question mark."""
    return {name: value.encode(errors="replace").decode() for name, value in labels.items()}
