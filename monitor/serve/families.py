"""The table of metrics: every name, type, help text and label set that `/metrics` can show.

docs/metrics.md has the same table for people; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from monitor.types import Labels

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One family. With `assets` its series also carry the asset labels of their sensor."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    assets: bool = False


_SCORE = ("stream", "sensor", "detector")
_MODEL = ("stream", "detector", "model", "version")

METRICS: Mapping[str, Metric] = {
    "monitor_anomaly_score": Metric(
        "gauge", "Raw score over threshold; above 1 is anomalous.", _SCORE, assets=True
    ),
    "monitor_score_raw": Metric("gauge", "Score in the detector's own units.", _SCORE, assets=True),
    "monitor_threshold_raw": Metric(
        "gauge", "Threshold in the detector's own units; +Inf in warm-up.", _SCORE, assets=True
    ),
    "monitor_warmup_progress_ratio": Metric(
        "gauge", "Share of the warm-up that is done; 1 is ready.", _SCORE, assets=True
    ),
    "monitor_last_window_timestamp_seconds": Metric(
        "gauge", "End of the last scored window, event time.", ("stream", "sensor"), assets=True
    ),
    "monitor_last_seen_timestamp_seconds": Metric(
        "gauge", "Time of the last sample, event time.", ("stream", "sensor"), assets=True
    ),
    "monitor_detector_disagreement_ratio": Metric(
        "gauge",
        "Share of detectors outvoted by the others on the last window.",
        ("stream", "sensor"),
        assets=True,
    ),
    "monitor_anomaly_active": Metric(
        "gauge", "1 for each open alert.", ("stream", "sensor", "severity", "rule"), assets=True
    ),
    "monitor_alerts_total": Metric("counter", "Alerts opened.", ("stream", "severity", "rule")),
    "monitor_alerts_raised_total": Metric(
        "counter", "Alerts that scores opened; what a budget limits.", ("stream",)
    ),
    "monitor_alert_budget_per_day": Metric(
        "gauge", "Alerts that each sensor may have where nothing is wrong.", ("stream",)
    ),
    "monitor_flagged_target_ratio": Metric(
        "gauge", "Share of normal windows that may be flagged.", ("stream",)
    ),
    "monitor_windows_flagged_total": Metric(
        "counter", "Windows that all detectors together call anomalous.", ("stream",)
    ),
    "monitor_windows_beyond_total": Metric(
        "counter",
        "Windows with a sample outside of the range that its channel had in the training data.",
        ("stream", "detector"),
    ),
    "monitor_windows_disputed_total": Metric(
        "counter", "Windows that some detectors call anomalous and some do not.", ("stream",)
    ),
    "monitor_scores_flagged_total": Metric(
        "counter", "Scores over their threshold.", ("stream", "detector")
    ),
    "monitor_windows_processed_total": Metric(
        "counter", "Windows by what became of them.", ("stream", "outcome")
    ),
    "monitor_samples_total": Metric(
        "counter", "Samples by what became of them.", ("stream", "outcome")
    ),
    "monitor_messages_total": Metric("counter", "Messages read.", ("stream",)),
    "monitor_messages_invalid_total": Metric(
        "counter", "Messages that could not be used.", ("stream", "reason")
    ),
    "monitor_messages_skewed_total": Metric(
        "counter", "Messages whose sensor's clock is ahead of the others.", ("stream",)
    ),
    "monitor_samples_reordered_total": Metric(
        "counter", "Accepted samples that came after newer ones.", ("stream",)
    ),
    "monitor_samples_missing_total": Metric(
        "counter", "Samples that never came between others that did.", ("stream",)
    ),
    "monitor_gaps_total": Metric("counter", "Runs of missing samples.", ("stream",)),
    "monitor_scores_nan_total": Metric(
        "counter",
        "Scores that are NaN: the window is not finite, or the detector knows nothing yet.",
        ("stream", "detector"),
    ),
    "monitor_thresholds_adopted_total": Metric(
        "counter", "Times a new level was adopted as the normal one.", ("stream", "detector")
    ),
    "monitor_sensors": Metric("gauge", "Sensors this process watches.", ("stream",)),
    "monitor_series_dropped": Metric(
        "gauge", "Sensors left out of /metrics by serve.max_sensors.", ("stream",)
    ),
    "monitor_consumer_position": Metric("gauge", "Next offset to process.", ("topic", "partition")),
    "monitor_consumer_lag_records": Metric(
        "gauge", "Records not yet read.", ("topic", "partition")
    ),
    "monitor_polls_total": Metric("counter", "Reads of the log that went wrong.", ("outcome",)),
    "monitor_lags_total": Metric("counter", "Questions for the lag that went wrong.", ("outcome",)),
    "monitor_failing": Metric(
        "gauge", "1 for each of source, delivery, snapshots that does not work now.", ("what",)
    ),
    "monitor_log_accidents_total": Metric(
        "counter", "Times the log was not as expected: records expired, shorter.", ("kind",)
    ),
    "monitor_sensors_forgotten_total": Metric(
        "counter", "Sensors whose state was let go, by the reason.", ("stream", "why")
    ),
    "monitor_sensors_in_two_partitions_total": Metric(
        "counter", "Sensors found in a second partition of their topic.", ("stream",)
    ),
    "monitor_commits_total": Metric("counter", "Commits of offsets.", ("outcome",)),
    "monitor_snapshots_total": Metric("counter", "Snapshots of state.", ("outcome",)),
    "monitor_score_latency_seconds": Metric("histogram", "From the end of a window to its score."),
    "monitor_inference_duration_seconds": Metric(
        "histogram", "Duration of one model call.", ("detector",)
    ),
    "monitor_model_info": Metric(
        "gauge",
        "1 for each loaded model.",
        (*_MODEL, "fingerprint"),
    ),
    "monitor_model_trained_timestamp_seconds": Metric(
        "gauge", "When the model was trained.", _MODEL
    ),
    "monitor_http_refused_total": Metric(
        "counter", "Requests and connections that the HTTP server turned away.", ("reason",)
    ),
    "monitor_build_info": Metric("gauge", "1, with the versions.", ("version", "python")),
    "monitor_view_timestamp_seconds": Metric("gauge", "When the loop last published its view."),
}

RESERVED = frozenset({"stream", "sensor", "detector", "severity", "rule", "le"})


def label_name(asset_label: str) -> str:
    """A valid label name for an asset label: other characters become `_`, a name that is taken
    gets `asset_` before it.
    """
    name = re.sub(r"[^a-zA-Z0-9_]", "_", asset_label)
    taken = name in RESERVED or not re.match(r"[a-zA-Z]", name)
    return f"asset_{name}" if taken else name


def asset_labels(labels: Labels) -> dict[str, str]:
    """Asset labels as they are exported; of two that become the same name the first stays."""
    found: dict[str, str] = {}
    for name, value in labels.items():
        found.setdefault(label_name(name), value)
    return found
