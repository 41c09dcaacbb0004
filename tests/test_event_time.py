"""Late, doubled, disordered, missing and future samples, and clocks that differ: a policy each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import DecodeError, StateError
from monitor.settings import EventTime
from monitor.stream.codec import Codec, make_codec
from monitor.stream.event_time import FEWEST, FIRST, Skew, Usual
from monitor.stream.pipeline import Pipeline
from monitor.stream.window import Windower
from monitor.testing import same_state
from monitor.types import Notice, Record, Result, Samples
from monitor.windowing import MOST_SAMPLES
from tests.core.builders import (
    HERE,
    Told,
    message,
    pipeline,
    record,
    stream,
    stream_config,
    told,
    window,
)

NOW = 1_000_000.0
HOUR = 3600.0
ALERT = {"raise": "2 of 3", "clear": "2 below 0.9", "silence": 30}
OUTCOMES = ("accepted", "late", "duplicate", "out_of_order", "rejected")
ONE = np.ones((2, 1), np.float32)


def monitored(window: dict[str, Any] | None = None, **policy: Any) -> Pipeline:
    plain = {"length": 4, "rate": 1, "channels": ["x", "y"]}
    config = stream_config(window=plain | (window or {}), event_time=policy, alert=ALERT)
    return pipeline(stream(config))


def sent(offset: int, sensor: str, logged: float, ahead: float = 0.0, size: int = 1) -> Record:
    """Samples whose last one is `ahead` seconds ahead of the time at which the log got them."""
    data = np.random.default_rng(offset).standard_normal((2, size)).astype(np.float32)
    found = record(offset, logged + ahead - size + 1, data, sensor)
    return found._replace(time=logged)


def fleet(turns: int, ahead: dict[str, float], speed: float = 1.0) -> list[Record]:
    """A second of every sensor in each turn, played at some speed; each ahead by so much."""
    return [
        sent(turn * len(ahead) + place, sensor, NOW + turn / speed, by + turn - turn / speed)
        for turn in range(turns)
        for place, (sensor, by) in enumerate(ahead.items())
    ]


def skews(each: Pipeline) -> dict[str, float]:
    (lane,) = each.partitions[HERE].lanes
    return {name: float(lane.skew.seconds[slot]) for name, slot in lane.sensors.slots.items()}


def silent(result: Result) -> set[str]:
    return {alert.sensor for alert in result.alerts if alert.rule == "silence"}


# One property for each promise.

values = st.floats(-9, 9, width=32)


@st.composite
def disordered(draw: st.DrawFn, most: int = 40) -> list[Record]:
    """Messages of three sensors at any times near each other, some logged long before or after."""
    found = []
    for offset in range(draw(st.integers(1, most))):
        size = draw(st.integers(1, 6))
        data = np.full((2, size), draw(values), np.float32)
        start = NOW + draw(st.integers(0, 60))
        sensor = draw(st.sampled_from(["a", "b", "c"]))
        logged = start + draw(st.sampled_from([0.0, 0.5, 3.0, -3.0, -70.0, -9e4, 1e5]))
        found.append(record(2 * offset, start, data, sensor)._replace(time=logged))
    return found


policies = st.fixed_dictionaries(
    {
        "late": st.sampled_from(["drop", "dead_letter"]),
        "duplicate": st.sampled_from(["first", "last", "dead_letter"]),
        "out_of_order": st.sampled_from(["sort", "drop", "dead_letter"]),
        "future": st.sampled_from(["reject", "accept"]),
        "skew": st.sampled_from(["accept", "isolate", "reject"]),
    }
)
loose = {"lateness": 3, "hop": 2, "fill": "hold", "max_gap": 2}


def all_told(results: Sequence[Result]) -> dict[str, Told]:
    found: dict[str, Told] = {}
    for result in results:
        for kind, told_ in told(result).items():
            found.setdefault(kind, set()).update(told_)
    return found


@given(disordered(), policies, st.lists(st.integers(0, 40), max_size=6))
def test_neither_grouping_nor_snapshots_change_anything(
    records: list[Record], policy: dict[str, str], cuts: list[int]
) -> None:
    whole = monitored(loose, **policy)
    truth = all_told([whole.process(records)])
    edges = sorted({0, len(records), *(cut % len(records) for cut in cuts)})
    part, counts, found = monitored(loose, **policy), Counter[tuple[str, ...]](), []
    for low, high in pairwise(edges):
        found.append(part.process(records[low:high]))
        counts += part.counts
        state = part.partitions[HERE].state()
        part = monitored(loose, **policy)
        part.open(HERE, state, high)
    assert all_told(found) == truth
    assert same_state(part.partitions[HERE].state(), whole.partitions[HERE].state())
    assert counts == +whole.counts


@given(disordered(), policies)
def test_every_sample_is_counted_once(records: list[Record], policy: dict[str, str]) -> None:
    each = monitored(loose, **policy)
    result = each.process(records)
    counts = each.counts
    samples = sum((len(r.value) - 24) // 4 for r in records)
    assert sum(counts["samples", "vibration", outcome] for outcome in OUTCOMES) == samples
    assert counts["samples_reordered", "vibration"] <= counts["samples", "vibration", "accepted"]
    reasons = Counter(rejected.reason for rejected in result.rejected)
    for reason in ("future", "clock_skew", "late", "duplicate", "out_of_order"):
        assert counts["messages_invalid", "vibration", reason] == reasons[reason]


@given(disordered(), st.lists(st.tuples(st.integers(0, 40), st.floats(86401, 2e11)), max_size=8))
def test_a_message_from_far_ahead_changes_nothing_but_its_own_rejection(
    records: list[Record], odd: list[tuple[int, float]]
) -> None:
    near = [r._replace(time=max(r.time, NOW)) for r in records]
    strange = {2 * place + 1: ahead for place, ahead in odd if place < len(near)}
    mixed = sorted(
        [*near, *(sent(o, "ab"[o % 4 // 2], NOW, ahead) for o, ahead in strange.items())],
        key=lambda each: each.offset,
    )
    with_, without = monitored(loose), monitored(loose)
    found, truth = told(with_.process(mixed)), told(without.process(near))
    assert {entry[1] for entry in found["rejected"] - truth["rejected"]} == strange.keys()
    assert found | {"rejected": truth["rejected"]} == truth
    assert same_state(with_.partitions[HERE].state(), without.partitions[HERE].state())


@given(disordered(), st.lists(st.integers(0, 40), max_size=12), st.randoms(use_true_random=False))
def test_doubled_messages_change_no_score(
    records: list[Record], again: list[int], random: Any
) -> None:
    near = [r._replace(time=NOW + 100) for r in records]
    repeats = [
        near[place]._replace(offset=2 * random.randrange(place, len(near)) + 1)
        for place in again
        if place < len(near)
    ]
    each, plain = monitored(loose), monitored(loose)
    mixed = sorted([*near, *repeats], key=lambda each: each.offset)
    assert told(each.process(mixed))["scores"] == told(plain.process(near))["scores"]


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    """A lateness, places in order, some missing, and the same disordered by no more than that."""
    lateness = draw(st.integers(0, 8))
    missing = draw(st.sets(st.integers(1, 59), max_size=8))
    places = [place for place in range(60) if place not in missing]
    delays = draw(st.lists(st.floats(0, lateness), min_size=len(places), max_size=len(places)))
    order = sorted(range(len(places)), key=lambda i: (places[i] + delays[i], i))
    return lateness, places, [places[i] for i in order]


@given(shuffled(), st.sampled_from(["none", "hold", "linear"]))
def test_any_shuffling_within_the_lateness_gives_the_windows_of_the_ordered_stream(
    found: tuple[int, list[int], list[int]], fill: str
) -> None:
    lateness, ordered, disorder = found

    def cut(places: list[int]) -> list[tuple[float, bytes]]:
        windower = Windower(window(hop=2, lateness=lateness, fill=fill, max_gap=3))
        samples = [Samples("", p, ONE * np.float32(p)) for p in [*places, *range(60, 90)]]
        made = windower.push([0] * len(samples), samples)
        assert windower.counts["late"] == 0
        return [(s, d.tobytes()) for s, d in zip(made.starts.tolist(), made.data, strict=True)]

    first = disorder[0]
    assert cut(disorder) == [(s, data) for s, data in cut(ordered) if s >= first]


def decoded(codec: Codec, found: Record) -> Samples | None:
    """None where its time is refused; nothing else may be wrong with it."""
    try:
        (samples,) = codec.decode(found)
    except DecodeError as error:
        if error.reason == "bad_time":
            return None
        raise
    return samples


@given(
    st.one_of(st.floats(), st.sampled_from([-1e-9, 253_402_300_800.0, 253_402_300_799.0])),
    st.sampled_from([1e-3, 1, MOST_SAMPLES]),
)
def test_no_time_that_a_codec_lets_through_leaves_the_grid(start: float, rate: float) -> None:
    config = stream_config(window={"length": 4 / rate, "rate": rate, "channels": ["x", "y"]})
    sure = Record(HERE, 0, b"m", 50.0, message(start, np.ones((2, 9), np.float32)))
    samples = decoded(make_codec(config), sure)
    if samples is None:
        assert not 0 <= start < 253_402_300_800
        return
    windower = Windower(config.window)
    made = windower.push([0, 0], [samples._replace(start=0.0), samples])
    assert (made.starts >= 0).all()
    assert len(made.starts) >= 2 or windower.counts["duplicate"]
    assert abs(made.starts[-1] - samples.start) <= 9 / rate


@settings(max_examples=30)
@given(st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False)))
def test_no_time_in_a_document_is_more_than_a_rejection(time: float) -> None:
    for unit in ("s", "ns"):
        config = stream_config(format={"kind": "msgpack", "paths": {"time_unit": unit}})
        value = msgpack.packb({"time": time, "values": [[1.0], [2.0]]})
        samples = decoded(make_codec(config), Record(HERE, 0, b"m", 5.0, value))
        assert samples is None or 0 <= samples.start < 253_402_300_800


# Future.


def test_samples_from_far_ahead_are_a_dead_letter_that_says_by_how_much() -> None:
    each = monitored()
    (rejected,) = each.process([sent(0, "pump", NOW, 2 * 86400, size=4)]).rejected
    assert rejected.reason == "future"
    assert rejected.detail == (
        "the last sample's time is 172800 s ahead of the log's time stamp 1000000.000; "
        "event_time.max_ahead is 86400 s"
    )
    assert each.counts["samples", "vibration", "rejected"] == 8
    assert not each.partitions[HERE].knows("vibration", "pump")


def test_samples_from_ahead_are_used_where_the_policy_says_so() -> None:
    each = monitored(future="accept")
    result = each.process([sent(0, "pump", NOW, 9 * 86400, size=9)])
    assert not result.rejected
    assert each.counts["samples", "vibration", "accepted"] == 18


def test_old_recordings_are_used_whatever_the_policy() -> None:
    records = [r._replace(time=NOW + 9e8 + r.offset) for r in fleet(30, {"a": 0, "b": HOUR})]
    each = monitored(skew="reject", max_skew=1, max_ahead=0)
    result = each.process(records)
    assert not result.rejected
    assert not result.notices
    assert len(result.scores) == 28


def test_a_log_without_time_stamps_says_nothing_of_the_future() -> None:
    records = [r._replace(time=-0.001) for r in fleet(8, {"a": 0, "b": 1e8})]
    assert not monitored(skew="reject").process(records).rejected


# Skew.


def test_a_clock_that_is_ahead_is_told_once_and_silences_nobody() -> None:
    each = monitored()
    result = each.process(fleet(100, {"fast": HOUR, "b": -1, "c": -1}))
    assert not silent(result)
    assert each.partitions[HERE].clock == NOW + 99
    (notice,) = result.notices
    assert (notice.kind, notice.sensor, notice.offset) == ("clock_skew", "fast", 0)
    assert notice.detail == (
        "its samples are 3600 s ahead of the log's time stamps and of other sensors"
    )
    assert each.counts["messages_skewed", "vibration"] == 100
    assert {score.sensor for score in result.scores} == {"fast", "b", "c"}
    assert skews(each) == pytest.approx({"fast": HOUR + 1, "b": 0, "c": 0}, abs=0.1)


def test_where_it_is_accepted_it_moves_the_clock_and_others_fall_silent() -> None:
    records = fleet(20, {"b": 0, "c": 0})
    late = [sent(40 + i, "fast", NOW + 20 + i, HOUR) for i in range(2)]
    each = monitored(skew="accept")
    result = each.process([*records, *late])
    assert silent(result) == {"b", "c"}
    assert each.partitions[HERE].clock == NOW + 21 + HOUR
    assert [notice.kind for notice in result.notices] == ["clock_skew"]


def test_where_it_is_refused_every_message_is_a_dead_letter() -> None:
    each = monitored(skew="reject")
    result = each.process(fleet(40, {"fast": HOUR, "b": 0, "c": 0}))
    assert {(r.reason, r.record.key) for r in result.rejected} == {("clock_skew", b"fast")}
    assert len(result.rejected) == 40
    assert {score.sensor for score in result.scores} == {"b", "c"}
    assert result.rejected[0].detail.endswith(
        "ahead of the log's time stamps and of other sensors; they are refused"
    )


def test_a_clock_that_is_put_right_and_wrong_again_is_told_again() -> None:
    each = monitored()
    found: list[Notice] = []
    for turn, by in enumerate([HOUR, 0.0, HOUR]):
        for each_ in fleet(60, {"a": by, "b": 0, "c": 0}):
            moved = each_._replace(offset=turn * 180 + each_.offset, time=each_.time + turn * 60)
            found += each.process([moved]).notices
    assert [notice.offset for notice in found] == [0, 360]


@pytest.mark.parametrize("sensors", ["a", "ab", "abcdef"])
def test_in_a_replay_faster_than_real_time_nobody_is_ahead(sensors: str) -> None:
    each = monitored()
    result = each.process(fleet(600, dict.fromkeys(sensors, 0.0), speed=10.0))
    assert not result.notices
    assert each.counts["messages_skewed", "vibration"] == 0
    assert each.partitions[HERE].clock == NOW + 599


def test_one_that_is_ahead_of_the_others_is_found_also_in_a_fast_replay() -> None:
    result = monitored().process(fleet(600, {"a": 300, **dict.fromkeys("bcdef", 0.0)}, speed=10.0))
    assert {notice.sensor for notice in result.notices} == {"a"}


def test_who_died_in_a_fast_replay_is_found_silent_though_only_one_is_left() -> None:
    both = fleet(60, {"a": 0, "b": 0}, speed=10.0)
    alone = fleet(600, {"a": 0}, speed=10.0)[60:]
    records = [*both, *(r._replace(offset=60 + r.offset) for r in alone)]
    assert silent(monitored().process(records)) == {"b"}


def test_sensors_that_send_what_they_kept_do_not_make_the_others_look_early() -> None:
    each = monitored(skew="reject")
    backlog = {"a": 0.0, **dict.fromkeys("bcdef", -5 * HOUR)}
    assert not each.process(fleet(100, backlog)).rejected


def test_a_sensor_that_is_behind_is_just_behind() -> None:
    each = monitored()
    result = each.process(fleet(100, {"b": 0, "slow": -HOUR, "c": 0}))
    assert not result.notices
    assert not silent(result)
    assert skews(each)["slow"] == pytest.approx(-HOUR, abs=0.1)


def test_what_is_usual_is_said_by_sensors_heard_lately_and_not_by_the_first_alone() -> None:
    skew = Skew(EventTime())
    usual = Usual([skew])
    for offset in range(FIRST):
        usual.hear(0, 0, offset, 100.0)
    assert usual.seconds == 0
    usual.hear(0, 1, FIRST, 7.0)
    usual.hear(0, 0, FIRST + 1, 100.0)
    assert usual.seconds == 7, "the lower of two"
    for offset in range(FIRST + 2, FIRST + 10 * FEWEST):
        usual.hear(0, 0, offset, 100.0)
    assert usual.seconds == 100, "the other is gone"


def test_a_sensor_that_leaves_takes_its_skew_along() -> None:
    skew = Skew(EventTime())
    for slot in range(3):
        skew.hear(slot, slot, 9.0)
    assert skew.tell(1)
    assert not skew.tell(1)
    skew.forget(np.array([1, 2]))
    assert skew.known() == 1
    skew.hear(1, 7, 1.0)
    assert skew.tell(1), "of a new sensor nobody was told"
    assert skew.votes(5).tolist() == [1.0]


def test_states_that_do_not_fit_are_refused() -> None:
    skew = Skew(EventTime())
    skew.hear(0, 0, 1.0)
    short = skew.state() | {"ahead": np.zeros(2), "heard": np.zeros(2, np.int64)}
    with pytest.raises(StateError, match="skews of 1 sensors, messages of 2"):
        Skew(EventTime()).restore(short)
    with pytest.raises(StateError, match="what is usual in the partition cannot be read"):
        Usual([skew]).restore({})


# Dead letters of the windower, and settings.


def test_a_message_that_is_too_late_is_a_dead_letter_where_the_policy_says_so() -> None:
    each = monitored(late="dead_letter")
    result = each.process([record(0, NOW, np.ones((2, 8), np.float32)), record(1, NOW, ONE)])
    (rejected,) = result.rejected
    assert (rejected.record.offset, rejected.reason) == (1, "late")
    assert rejected.detail == "all its samples are of windows that are closed already"
    assert each.counts["messages_invalid", "vibration", "late"] == 1
    assert each.counts["samples", "vibration", "late"] == 2


def test_gaps_are_counted_with_their_length() -> None:
    each = monitored()
    each.process(
        [
            record(0, NOW, np.ones((2, 8), np.float32)),
            record(1, NOW + 11, np.ones((2, 9), np.float32)),
        ]
    )
    assert each.counts["gaps", "vibration"] == 2
    assert each.counts["samples_missing", "vibration"] == 6


def test_a_ready_window_cannot_be_replaced() -> None:
    with pytest.raises(ValueError, match=r"event_time\.duplicate is last, but a ready window"):
        monitored({"input": "windows"}, duplicate="last")


def test_a_record_without_a_time_stamp_is_judged_by_the_newest_one_before_it() -> None:
    running = pipeline()
    first = [record(i, 1_000.0 + i, [[1.0], [1.0]], "pump") for i in range(3)]
    running.process(first)
    for stamp in (0.0, -1.0):
        far = record(9, 9e9, [[1.0], [1.0]], "other")._replace(time=stamp)
        assert [r.reason for r in running.process([far]).rejected] == ["future"]
    assert running.partitions[HERE].clock == 1_002.0
    again = pipeline()
    again.open(HERE, running.partitions[HERE].state(), 10)
    far = record(11, 9e9, [[1.0], [1.0]], "other")._replace(time=0.0)
    assert [r.reason for r in again.process([far]).rejected] == ["future"]
