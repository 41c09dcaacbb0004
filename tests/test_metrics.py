"""/metrics: every family, only what is live, readable by Prometheus' own parsers."""

from __future__ import annotations

import gc
import math
import re
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from monitor.serve.families import METRICS, RESERVED, asset_labels
from monitor.serve.metrics import Exposition
from monitor.serve.series import SENSOR_FAMILIES, numbers
from monitor.types import Partition
from monitor.view import LaneView, View
from tests.served import BOUNDS, NOW, PARTITIONS, alert, fleet, lane
from tests.tools import promtool

DOCS = Path(__file__).parents[1] / "docs" / "metrics.md"
SCORE = "monitor_anomaly_score"


def shown(view: View, max_sensors: int = 1000) -> list[Sample]:
    """Every sample of a page, as prometheus_client's parser reads it."""
    return parsed(Exposition(lambda: view, max_sensors).render())


def parsed(page: bytes) -> list[Sample]:
    families = text_string_to_metric_families(page.decode())
    return [sample for family in families for sample in family.samples]


def of(samples: list[Sample], name: str) -> dict[tuple[str, ...], float]:
    """Values of one name by the label values in the order of the table, asset labels left out."""
    labels = METRICS[name].labels
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for sample in samples
        if sample.name == name
    }


def base(name: str) -> str:
    return re.sub(r"_(bucket|count|sum)$", "", name) if name not in METRICS else name


def only(*lanes: LaneView) -> View:
    return View(NOW, lanes=lanes)


def test_a_running_fleet_shows_every_metric_of_the_table() -> None:
    troubled = replace(fleet(), failing={"snapshots": "disk full"})
    names = {base(sample.name) for sample in shown(troubled)}
    assert {name for name in names if name.startswith("monitor_")} == set(METRICS)
    assert "process_resident_memory_bytes" in names


def test_labels_are_those_of_the_table_and_the_assets() -> None:
    for sample in shown(fleet()):
        if sample.name.startswith("monitor_"):
            metric = METRICS[base(sample.name)]
            extra = set(sample.labels) - set(metric.labels) - {"le"}
            assert set(metric.labels) <= set(sample.labels)
            assert extra <= ({"site", "line"} if metric.assets else set())


def test_the_score_is_raw_over_threshold() -> None:
    samples = shown(only(lane(["a"], [[2.0, 0.5]])))
    assert of(samples, SCORE)["vibration", "a", "conv_ae"] == 2.0
    assert of(samples, "monitor_score_raw")["vibration", "a", "conv_ae"] == 0.5
    assert of(samples, "monitor_threshold_raw")["vibration", "a", "deep_svdd"] == 0.25
    assert of(samples, "monitor_last_window_timestamp_seconds") == {("vibration", "a"): NOW}


def test_what_is_not_known_yet_is_nan_and_warm_up_is_a_score_of_zero() -> None:
    unknown = lane(["a", "b"], [[1.0], [1.0]])
    unknown.raw[0] = np.nan
    unknown.threshold[1] = np.inf
    samples = shown(only(unknown))
    scores = of(samples, SCORE)
    assert math.isnan(scores["vibration", "a", "conv_ae"])
    assert scores["vibration", "b", "conv_ae"] == 0.0
    assert of(samples, "monitor_threshold_raw")["vibration", "b", "conv_ae"] == math.inf


def test_rules_with_other_targets_are_averaged_over_their_sensors() -> None:
    many, one = lane(["a", "b", "c"], [[0.5]] * 3), lane(["d"], [[0.5]])
    found = shown(only(replace(many, target=0.01), replace(one, target=0.05)))
    target = of(found, "monitor_flagged_target_ratio")
    assert target == {("vibration",): pytest.approx(0.02)}


def test_a_sensor_that_left_is_gone_at_the_next_scrape() -> None:
    views = iter([only(lane(["a", "b"], [[1.0], [2.0]])), only(lane(["b"], [[3.0]]))])
    page = Exposition(lambda: next(views), 10)
    assert len(of(parsed(page.render()), SCORE)) == 2
    assert of(parsed(page.render()), SCORE) == {("vibration", "b", "conv_ae"): 3.0}


class Named(str):
    """A name that tells when nothing holds it any more."""


def test_nothing_is_kept_of_a_sensor_that_left() -> None:
    gone = Named("gone")
    left = weakref.ref(gone)
    views = [
        only(lane([gone, "b"], [[1.0], [2.0]]), lane(["c"], [[1.0]])),
        only(lane(["c"], [[1]])),
    ]
    page = Exposition(lambda: views[0], 10)
    assert b'sensor="gone"' in page.render()
    del views[0], gone
    assert b"gone" not in page.render()
    gc.collect()
    assert left() is None


def test_changed_labels_are_seen_though_they_are_kept() -> None:
    views = iter(only(lane(["a"], [[1.0]], labels={"site": site})) for site in ("n", "n", "s"))
    page = Exposition(lambda: next(views), 10)
    sites = [
        {sample.labels["site"] for sample in parsed(page.render()) if sample.name == SCORE}
        for _ in range(3)
    ]
    assert sites == [{"n"}, {"n"}, {"s"}]


def test_above_the_cap_the_highest_scores_are_shown_and_the_rest_counted() -> None:
    parts = [
        lane(["a", "b", "c"], [[0.1, 3.0], [0.2, 0.2], [np.nan, np.nan]]),
        lane(["d", "e"], [[0.3, 0.1], [0.1, 0.1]], partition=PARTITIONS[1]),
        lane(["a"], [[0.1]], stream="sound"),
    ]
    samples = shown(only(*parts), max_sensors=2)
    assert {key[:2] for key in of(samples, SCORE)} == {
        ("vibration", "a"),
        ("vibration", "d"),
        ("sound", "a"),
    }
    assert of(samples, "monitor_series_dropped") == {("vibration",): 3.0, ("sound",): 0.0}
    assert of(samples, "monitor_sensors") == {("vibration",): 5.0, ("sound",): 1.0}


def test_a_sensor_in_two_partitions_is_shown_once_where_it_was_seen_last() -> None:
    older, newer = (
        lane(["a", "b"], [[1.0], [1.0]]),
        lane(["a"], [[2.0]], partition=PARTITIONS[1], now=NOW + 5),
    )
    samples = shown(only(older, newer))
    assert of(samples, SCORE) == {
        ("vibration", "b", "conv_ae"): 1.0,
        ("vibration", "a", "conv_ae"): 2.0,
    }
    assert len([sample for sample in samples if sample.name == SCORE]) == 2
    assert of(samples, "monitor_sensors") == {("vibration",): 2.0}


def test_two_rules_of_a_partition_may_use_the_same_detectors() -> None:
    samples = shown(only(lane(["a"], [[1.0]]), lane(["b"], [[2.0]])))
    assert sorted(of(samples, SCORE).values()) == [1.0, 2.0]


def test_each_open_alert_is_active_once() -> None:
    view = replace(fleet(), alerts=(alert(), alert(opened=NOW - 5), alert("p", severity="warning")))
    assert of(shown(view), "monitor_anomaly_active") == {
        ("vibration", "pump-07", "critical", "score"): 1.0,
        ("vibration", "p", "warning", "score"): 1.0,
    }


def test_histograms_are_cumulative_and_end_with_inf() -> None:
    samples = shown(fleet(windows=100))
    name = "monitor_score_latency_seconds"
    buckets = {s.labels["le"]: s.value for s in samples if s.name == f"{name}_bucket"}
    assert buckets == {**dict(zip(map(str, BOUNDS), (10, 80, 90, 100), strict=True)), "+Inf": 100}
    assert next(s.value for s in samples if s.name == f"{name}_count") == 100
    assert next(s.value for s in samples if s.name == f"{name}_sum") == pytest.approx(9.0)


def test_counters_keep_their_totals_and_unknown_ones_do_not_fail_a_scrape() -> None:
    counters = {
        ("messages", "vibration"): 7.0,
        ("messages", "vibration", "extra"): 1.0,
        ("something_new", "x"): 2.0,
        ("messages",): 3.0,
        ("score_raw", "a", "b", "c"): 1.0,
    }
    samples = shown(View(NOW, counters=counters))
    assert of(samples, "monitor_messages_total") == {("vibration",): 7.0}
    assert not [s for s in samples if "something" in s.name or s.name == "monitor_score_raw"]


def test_an_empty_view_is_a_valid_page() -> None:
    names = {sample.name for sample in shown(View(NOW))}
    assert {"monitor_build_info", "monitor_view_timestamp_seconds"} <= names
    assert SCORE not in names


def test_asset_labels_get_valid_names_and_never_replace_ours() -> None:
    labels = {"cost-centre": "1", "cost.centre": "2", "sensor": "x", "1st": "y", "le": "z"}
    assert asset_labels(labels) == {
        "cost_centre": "1",
        "asset_sensor": "x",
        "asset_1st": "y",
        "asset_le": "z",
    }
    samples = [s for s in shown(only(lane(["a"], [[1.0]], labels=labels))) if s.name == SCORE]
    assert samples[0].labels["sensor"] == "a"
    assert samples[0].labels["asset_sensor"] == "x"


@given(st.text(max_size=20), st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8)))
def test_any_text_survives_as_a_label(name: str, labels: dict[str, str]) -> None:
    # The parser splits lines where Prometheus does not: at every line break of Unicode.
    assume(all(len(f"{text}.".splitlines()) == 1 for text in (name, *labels.values())))
    page = Exposition(lambda: only(lane([name], [[1.5]], labels=labels)), 5).render()
    sample = next(s for s in parsed(page) if s.name == SCORE)
    assert sample.labels["sensor"] == name
    assert sample.value == 1.5
    assert set(sample.labels) & RESERVED == {"stream", "sensor", "detector"}


def test_a_name_that_is_not_unicode_does_not_fail_a_scrape() -> None:
    view = replace(only(lane(["p\udcff"], [[1.0]])), alerts=(alert("p\udcff"),))
    samples = shown(view)
    assert of(samples, SCORE) == {("vibration", "p?", "conv_ae"): 1.0}
    assert ("vibration", "p?", "critical", "score") in of(samples, "monitor_anomaly_active")


@given(st.lists(st.floats(width=32) | st.floats(), max_size=20))
def test_numbers_read_back_as_what_they_were(values: list[float]) -> None:
    array = np.array(values)
    texts = numbers(array)
    assert [text.decode() for text in texts if text.endswith(b"Inf")] == [
        "+Inf" if value > 0 else "-Inf" for value in values if math.isinf(value)
    ]
    np.testing.assert_array_equal([float(text) for text in texts], array)


def test_promtool_finds_nothing_to_complain_about() -> None:
    tool = promtool()
    page = Exposition(fleet, 1000).render()
    assert tool("check", "metrics", given=page) == ""
    odd = lane(['quote " back \\ new\nline'], [[np.inf]], labels={"a-b": "\u2028"})
    assert tool("check", "metrics", given=Exposition(lambda: only(odd), 5).render()) == ""


def test_a_family_is_declared_once() -> None:
    page = Exposition(fleet, 1000).render().decode()
    declared = re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)
    assert len(declared) == len(set(declared))
    assert set(SENSOR_FAMILIES) < set(declared)
    assert page.endswith("\n")


def test_the_documentation_has_the_table() -> None:
    row = re.compile(r"^\| `(monitor_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
    rows = row.findall(DOCS.read_text("utf-8"))
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), "asset" in labels)
        for name, kind, labels in rows
    }
    assert documented == {name: (m.kind, m.labels, m.assets) for name, m in METRICS.items()}


def test_offsets_are_told_by_partition() -> None:
    view = View(NOW, position={Partition("t", 3): 42}, lag={Partition("t", 3): 5})
    samples = shown(view)
    assert of(samples, "monitor_consumer_position") == {("t", "3"): 42.0}
    assert of(samples, "monitor_consumer_lag_records") == {("t", "3"): 5.0}
