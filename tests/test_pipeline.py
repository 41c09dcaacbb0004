"""Records in, results out: what happens to good, bad and strange ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from monitor.stream.pipeline import Pipeline
from monitor.stream.rehearse import rehearse
from monitor.types import Array, Partition, Record, Samples
from tests.core.builders import (
    HERE,
    level,
    pipeline,
    record,
    stream,
    stream_config,
    windows_of,
)
from tests.core.detectors import Energy

ONES = np.ones((2, 4), np.float32)
THERE = Partition("plant", 1)
QUIET, LOUD = [1.0] * 8, [9.0] * 4


def test_every_window_has_a_score_of_every_detector() -> None:
    result = pipeline().process(windows_of([1, 2], "pump"))
    assert [(s.detector, s.time, s.offset) for s in result.scores] == [
        ("energy", 4.0, 0),
        ("level", 4.0, 0),
        ("energy", 8.0, 1),
        ("level", 8.0, 1),
    ]
    assert {(s.stream, s.sensor, s.partition) for s in result.scores} == {
        ("vibration", "pump", HERE)
    }
    assert result.offsets == {HERE: 2}


def test_an_anomaly_is_told_with_who_says_so_and_which_channel() -> None:
    each = pipeline()
    loud = np.stack([np.ones(4), np.full(4, 9)]).astype(np.float32)
    records = [record(8 + i, 32.0 + 4 * i, loud) for i in range(2)]
    (alert,) = each.process([*windows_of(QUIET), *records]).alerts
    assert (alert.rule, alert.phase, alert.severity) == ("score", "firing", "critical")
    assert (alert.offset, alert.opened, alert.time) == (9, 40.0, 40.0)
    assert alert.reason.startswith("energy ")
    assert alert.reason.endswith(" times the threshold, over 2 of 3 windows")
    assert set(alert.scores) == {"energy", "level"}
    assert alert.channels["y"] == pytest.approx(81 / 82, abs=1e-6)
    assert sum(alert.channels.values()) == pytest.approx(1)


def test_an_alert_has_one_id_from_opening_to_resolution() -> None:
    each = pipeline()
    alerts = each.process(windows_of([*QUIET, *LOUD, *QUIET])).alerts
    assert [alert.phase for alert in alerts] == ["firing", "resolved"]
    assert len({alert.id for alert in alerts}) == 1
    assert alerts[1].reason == "2 windows below 0.9"
    assert not each.open_alerts


def test_restored_state_knows_its_open_alerts() -> None:
    config = stream_config(alert={"raise": "2 of 3", "silence": 20})
    first, second = pipeline(stream(config)), pipeline(stream(config), opened=())
    first.process(windows_of([*QUIET, *LOUD], "pump"))
    first.process([record(12, 0.0, ONES, "fan")])
    first.tick(HERE, 100.0)
    assert second.open(HERE, first.partitions[HERE].state(), 13) == []
    assert second.open_alerts.keys() == first.open_alerts.keys()
    assert {alert.rule for alert in second.open_alerts.values()} == {"score", "silence"}
    for key, alert in second.open_alerts.items():
        assert alert.opened == first.open_alerts[key].opened
        assert alert.severity == first.open_alerts[key].severity
        assert alert.offset == 13


def test_a_closed_partition_takes_its_alerts_along() -> None:
    each = pipeline()
    each.process(windows_of([*QUIET, *LOUD]))
    assert each.open_alerts
    each.close(HERE)
    each.close(THERE)
    assert not each.open_alerts
    assert not each.partitions


def test_a_bad_record_is_rejected_and_counted_and_the_next_one_is_used() -> None:
    each = pipeline()
    bad = Record(HERE, 0, b"pump", 0.0, b"garbage")
    result = each.process([bad, record(1, 0.0, ONES)])
    (rejected,) = result.rejected
    assert (rejected.record, rejected.stream, rejected.reason) == (bad, "vibration", "bad_magic")
    assert each.counts["messages", "vibration"] == 2
    assert each.counts["messages_invalid", "vibration", "bad_magic"] == 1
    assert len(result.scores) == 2
    assert result.offsets == {HERE: 2}


def test_windows_beyond_what_a_model_was_trained_on_are_counted() -> None:
    each = pipeline(stream(stream_config(), scorers=[Energy((2, 4))]))
    each.process([record(0, 0.0, ONES), record(1, 4.0, 200 * ONES), record(2, 8.0, ONES)])
    assert each.counts["windows_beyond", "vibration", "energy"] == 1


def test_a_sensor_without_a_rule_is_rejected_with_the_patterns() -> None:
    rules = [{"match": "pump*", "use": ["mahalanobis:any"]}]
    result = pipeline(stream(stream_config(models=rules))).process([record(0, 0.0, ONES, "fan")])
    assert [r.reason for r in result.rejected] == ["no_rule"]
    assert result.rejected[0].detail == "sensor 'fan' matches none of 'pump*'"


def test_a_sensor_that_no_model_knows_is_rejected_where_it_says_so() -> None:
    config = stream_config(unknown_sensors="reject")
    each = pipeline(stream(config, scorers=[Energy((2, 4), trained=("pump",))]))
    result = each.process([record(0, 0.0, ONES, "fan"), record(1, 0.0, ONES, "pump")])
    assert [r.reason for r in result.rejected] == ["unknown_sensor"]
    assert {score.sensor for score in result.scores} == {"pump"}


class Several:
    """A codec of messages that bring several sensors."""

    def decode(self, record: Record) -> Sequence[Samples]:
        return [Samples(name, record.time, ONES) for name in record.value.decode().split()]


def test_one_unknown_sensor_of_a_message_does_not_cost_the_others() -> None:
    rules = [{"match": "pump*", "use": ["mahalanobis:any"]}]
    made = stream(stream_config(models=rules))
    each = Pipeline([made], {"vibration": Several()})
    each.open(HERE, None)
    result = each.process([Record(HERE, 0, None, 0.0, b"pump-1 fan pump-2")])
    assert {score.sensor for score in result.scores} == {"pump-1", "pump-2"}
    assert len(result.rejected) == 1


def test_the_same_name_in_two_streams_is_two_sensors() -> None:
    each = pipeline(stream(name="a"), stream(name="b"))
    result = each.process(windows_of([*QUIET, *LOUD]))
    assert {score.stream for score in result.scores} == {"a", "b"}
    assert len({score.id for score in result.scores}) == len(result.scores)
    assert len({alert.id for alert in result.alerts}) == 2


def test_a_sensor_in_two_partitions_is_told_once_and_counted() -> None:
    each = pipeline(opened=(HERE, THERE))
    each.process([record(0, 0.0, ONES, "pump")])
    result = each.process([record(i, 4.0 * i, ONES, "pump", THERE) for i in range(3)])
    (notice,) = result.notices
    assert notice.kind == "sensor_in_two_partitions"
    assert notice.detail == "also comes on partition 0 of plant: key by sensor"
    assert each.counts["sensors_in_two_partitions", "vibration"] == 1


def test_a_level_that_lasts_is_told_when_it_is_adopted() -> None:
    config = stream_config(threshold={"window": 32, "quantile": 0.9, "warm_up": 4, "adopt": 6})
    each = pipeline(stream(config))
    result = each.process(windows_of([*QUIET, *[9.0] * 9]))
    assert ("pump", "level_adopted") in {(n.sensor, n.kind) for n in result.notices}
    assert "energy was over its threshold for 6 windows in a row" in result.notices[0].detail
    assert each.counts["thresholds_adopted", "vibration", "energy"] == 1


def test_what_the_windower_does_is_counted() -> None:
    each = pipeline()
    late = record(3, 0.0, ONES[:, :1])
    double = record(4, 12.0, ONES[:, :1])
    each.process([record(0, 0.0, ONES), record(1, 5.0, ONES), record(2, 9.0, ONES), late, double])
    each.process([record(5, 13.0, np.full((2, 3), np.nan, np.float32))])
    counts = each.counts
    assert counts["samples", "vibration", "late"] == 2
    assert counts["samples", "vibration", "duplicate"] == 2
    assert counts["windows_processed", "vibration", "incomplete"] == 1
    assert counts["windows_processed", "vibration", "scored"] == 3
    assert counts["scores_nan", "vibration", "energy"] == 1


def test_sensors_that_warm_up_have_no_score_of_trained_models_yet() -> None:
    config = stream_config(unknown_sensors="warm_up", warm_up=2)
    scorer = Energy((2, 4))
    each = pipeline(stream(config, scorers=[scorer]))
    result = each.process(windows_of([1, 2, 1]))
    energy = [score.raw for score in result.scores if score.detector == "energy"]
    assert np.isnan(energy[:2]).all()
    assert np.isfinite(energy[2])
    assert scorer.calls == [1], "no call for nothing"


def test_a_stream_may_have_online_detectors_alone() -> None:
    each = pipeline(stream(scorers=[]))
    result = each.process(windows_of([*QUIET, *LOUD]))
    assert {score.detector for score in result.scores} == {"level"}
    assert result.alerts[0].channels == {}


def test_online_detectors_see_statistics_where_they_want_them() -> None:
    shape = (2, 4)
    plain = level(shape)
    wanted = type(plain)("level", plain.make, "statistics", "x")
    seen = pipeline(stream(scorers=[], online=[wanted])).process(windows_of([1, 5]))
    raw = pipeline(stream(scorers=[], online=[plain])).process(windows_of([1, 5]))
    assert [score.raw for score in seen.scores] != [score.raw for score in raw.scores]


def test_nothing_in_is_nothing_out() -> None:
    result = pipeline().process([])
    assert not result.scores
    assert result.offsets == {}


@pytest.mark.parametrize(
    "window",
    [
        {"input": "frames", "size": [8, 6], "rate": 2},
        {"input": "sound", "length": 0.5, "rate": 8000},
        {"input": "windows", "length": 1, "rate": 4, "channels": ["x", "y"]},
    ],
)
def test_whatever_a_stream_carries_is_rehearsed(window: dict[str, Any]) -> None:
    settings = stream_config(window=window)
    scorer = Seeing(settings.window.model_shape)
    rehearse(pipeline(stream(settings, scorers=[scorer], online=[])))
    assert scorer.seen == {settings.window.model_shape}


class Seeing(Energy):
    """Remembers the shapes of what it is given."""

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__(shape)
        self.seen: set[tuple[int, ...]] = set()

    def score(self, x: Array, constants: Array) -> Array:
        self.seen.add(x.shape[1:])
        return super().score(x, constants)


def test_a_rehearsal_leaves_no_trace() -> None:
    each = pipeline(stream(stream_config(unknown_sensors="warm_up")), stream(name="b"))
    rehearse(each)
    assert not each.partitions[HERE].lanes[0].sensors.names
    assert not each.counts
    assert not each.open_alerts
