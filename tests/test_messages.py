"""Messages match their schema whatever the numbers and names are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.connect.messages import (
    MODELS,
    SCHEMAS,
    AlertMessage,
    NoticeMessage,
    RejectedMessage,
    ScoreMessage,
    alert_message,
    iso,
    notice_message,
    rejected_message,
    score_message,
)
from monitor.types import Alert, Notice, Partition, Record, Rejected, Score

names = st.text(max_size=20)
labels = st.dictionaries(names, names, max_size=3)
partitions = st.builds(Partition, names, st.integers(0, 1000))
offsets = st.integers(0, 2**62)
times = st.floats()
values = st.floats(min_value=0) | st.just(math.nan)
thresholds = st.floats(min_value=1e-6)
scores = st.builds(
    Score, partitions, offsets, names, names, names, times, values, thresholds, labels
)
alerts = st.builds(
    Alert,
    partitions,
    offsets,
    names,
    names,
    names,
    st.sampled_from(["score", "silence"]),
    st.sampled_from(["firing", "resolved"]),
    st.sampled_from(["info", "warning", "critical"]),
    names,
    times,
    times,
    st.dictionaries(names, values, max_size=3),
    st.dictionaries(names, st.floats(0, 1), max_size=3),
    labels,
)
records = st.builds(
    Record, partitions, offsets, st.none() | st.binary(), times, st.binary(max_size=50)
)
rejections = st.builds(Rejected, records, names, names, names)
notices = st.builds(Notice, partitions, offsets, names, names, names, names)


def same(sent: float | None, meant: float) -> bool:
    return sent == meant if math.isfinite(meant) else sent is None


@given(scores)
def test_every_score_matches_its_schema_and_means_the_same(score: Score) -> None:
    text = score_message(score)
    message = ScoreMessage.model_validate_json(text)
    assert b"\n" not in text
    assert (message.stream, message.sensor, message.detector) == score[2:5]
    assert (message.topic, message.partition) == score.partition
    assert (message.offset, message.id, message.labels) == (score.offset, score.id, score.labels)
    assert same(message.raw, score.raw)
    assert same(message.threshold, score.threshold)
    assert same(message.value, score.value)
    assert same(message.time, score.time)


@given(alerts)
def test_every_alert_matches_its_schema_and_means_the_same(alert: Alert) -> None:
    text = alert_message(alert)
    message = AlertMessage.model_validate_json(text)
    assert b"\n" not in text
    assert (message.id, message.stream, message.sensor) == alert[2:5]
    assert (message.rule, message.phase, message.severity, message.reason) == alert[5:9]
    assert same(message.opened, alert.opened)
    assert same(message.time, alert.time)
    assert message.scores.keys() == alert.scores.keys()
    assert all(same(message.scores[name], value) for name, value in alert.scores.items())
    assert message.channels == alert.channels


@given(rejections)
def test_every_rejected_record_matches_its_schema(rejected: Rejected) -> None:
    message = RejectedMessage.model_validate_json(rejected_message(rejected))
    assert (message.reason, message.detail) == (rejected.reason, rejected.detail)
    assert message.size == len(rejected.record.value)
    assert (message.key is None) == (rejected.record.key is None)


@given(notices)
def test_every_notice_matches_its_schema(notice: Notice) -> None:
    message = NoticeMessage.model_validate_json(notice_message(notice))
    assert (message.kind, message.detail, message.sensor) == (
        notice.kind,
        notice.detail,
        notice.sensor,
    )


def test_numbers_of_numpy_and_mappings_that_are_no_dict_are_written_as_well() -> None:
    some = MappingProxyType({"site": "north"})
    numbers: Any = np.array([0.5, 0.25], np.float32)
    score = Score(Partition("t", 0), 1, "s", "x", "d", 1.0, numbers[0], numbers[1], some)
    message = ScoreMessage.model_validate_json(score_message(score))
    assert (message.raw, message.value, message.labels) == (0.5, 2.0, {"site": "north"})


def test_a_key_that_is_no_text_can_still_be_read() -> None:
    record = Record(Partition("t", 0), 1, b"pump\xff", 1.0, b"")
    message = json.loads(rejected_message(Rejected(record, "s", "r", "d")))
    assert message["key"] == "pump\\xff"


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250000Z"),
        (-1.5, "1969-12-31T23:59:58.500000Z"),
        (1e18, None),
        (math.nan, None),
        (math.inf, None),
    ],
)
def test_times_are_iso_8601_in_utc_or_null_where_no_calendar_has_them(
    time: float, text: str | None
) -> None:
    assert iso(time) == text


@pytest.mark.parametrize("kind", MODELS)
def test_the_schema_names_its_dialect_and_requires_every_field(kind: str) -> None:
    schema = SCHEMAS[kind]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"])
    assert schema["properties"]["type"]["const"] == kind


@pytest.mark.parametrize("kind", MODELS)
def test_the_documentation_shows_each_message_and_names_each_field(kind: str) -> None:
    page = (Path(__file__).parents[1] / "docs" / "messages-out.md").read_text()
    section = page.split(f"\n## {kind}\n")[1].split("\n## ")[0]
    example = section.split("```json\n")[1].split("\n```")[0]
    MODELS[kind].model_validate_json(example)
    tables = page.split("\n## ")[0] + section
    for field in SCHEMAS[kind]["properties"]:
        assert f"`{field}`" in tables or field.endswith("_iso"), field
