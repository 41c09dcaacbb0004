"""Writing to a real broker: what flush promises, and that it keeps it through a crash."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from structlog.testing import capture_logs

from monitor.connect.kafka.delivery import KafkaSink
from monitor.connect.kafka.outgoing import TooLarge, messages
from monitor.connect.kafka.source import KafkaSource
from monitor.connect.messages import AlertMessage, ScoreMessage
from monitor.connect.sinks import AtLeastOnce
from monitor.connections import KafkaTopics
from monitor.errors import SinkError
from monitor.testing import Member, check_sink, example_result
from monitor.types import Partition, Record, Rejected, Result
from tests.kafka.broker import Node
from tests.kafka.conftest import MakeTopic, Topic, read_all

pytestmark = pytest.mark.kafka


def to(topic: Topic, **other: str) -> KafkaSink:
    return KafkaSink(topic.settings(), KafkaTopics(alerts=topic.name, **other))


def rejected(value: bytes, key: bytes | None = b"\xff\x00") -> Rejected:
    record = Record(Partition("plant", 2), 41, key, 1.0, value, (("unit", b"mm/s"),))
    return Rejected(record, "vibration", "truncated", "3 of 8 bytes")


def joined(topic: Topic) -> Member:
    """A member of the topic's group that has begun to read."""
    reader = Member(KafkaSource(topic.settings(), [topic.name])).start()
    while not reader.seen:
        reader.step()
    return reader


def test_the_sink_keeps_the_contract(topic: Topic) -> None:
    check_sink(lambda: to(topic), lambda: [json.loads(f.value)["id"] for f in read_all(topic)])


def test_alerts_and_scores_go_to_their_topics_under_the_sensors_name(make_topic: MakeTopic) -> None:
    alerts, scores = make_topic(2), make_topic(2)
    sink = to(alerts, scores=scores.name)
    sink.emit(example_result("one"))
    sink.close()
    (alert,), (score,) = read_all(alerts), read_all(scores)
    assert alert.key == score.key == "pump-ä".encode()
    assert AlertMessage.model_validate_json(alert.value).id == "one"
    assert ScoreMessage.model_validate_json(score.value).raw is None


def test_without_a_topic_for_them_scores_and_dead_letters_are_not_written(topic: Topic) -> None:
    sink = to(topic)
    sink.emit(replace(example_result("one"), rejected=[rejected(b"x")]))
    sink.close()
    assert len(read_all(topic)) == 1


@pytest.mark.parametrize("value", [b"\x00\xfftorn", b""])
def test_a_dead_letter_is_the_record_as_it_came_with_the_reason(
    make_topic: MakeTopic, value: bytes
) -> None:
    alerts, dead = make_topic(1), make_topic(1)
    sink = to(alerts, dead_letters=dead.name)
    sink.emit(Result(rejected=[rejected(value)]))
    sink.close()
    (letter,) = read_all(dead)
    assert (letter.key, letter.value) == (b"\xff\x00", value)
    assert letter.headers == {
        "unit": b"mm/s",
        "reason": b"truncated",
        "detail": b"3 of 8 bytes",
        "stream": b"vibration",
        "topic": b"plant",
        "partition": b"2",
        "offset": b"41",
    }


def test_a_dead_letter_too_large_for_its_topic_is_told_and_stops_nothing(
    make_topic: MakeTopic,
) -> None:
    alerts, dead = make_topic(1), make_topic(1, **{"max.message.bytes": "1000"})
    sink = to(alerts, dead_letters=dead.name)
    with capture_logs() as lines:
        sink.emit(Result(rejected=[rejected(b"x" * 5000), rejected(b"small")]))
        sink.close()
    assert [letter.value for letter in read_all(dead)] == [b"small"]
    (told,) = [line for line in lines if line["event"] == "dead_letter_too_large"]
    assert (told["topic"], told["number"], told["offset"]) == ("plant", 2, 41)


def test_many_dead_letters_too_large_are_told_as_a_sum_now_and_then() -> None:
    now = 0.0
    told = TooLarge(quiet=60.0, clock=lambda: now)
    (letter,) = messages(Result(rejected=[rejected(b"x" * 5000)]), KafkaTopics(dead_letters="dead"))
    with capture_logs() as lines:
        for moment in (0.0, 1.0, 59.0, 60.0, 61.0):
            now = moment
            told.add(letter)
        told.close()
        told.close()
    assert [line["count"] for line in lines] == [1, 3, 1]
    assert {line["dead_letters"] for line in lines} == {"dead"}


def test_a_topic_that_refuses_holds_up_the_commit_but_not_the_other_topics(
    make_topic: MakeTopic,
) -> None:
    # A compacted topic takes no record without a key.
    inputs, alerts = make_topic(1), make_topic(1)
    dead = make_topic(1, **{"cleanup.policy": "compact"})
    inputs.append(5)
    reader = joined(inputs)
    delivery = AtLeastOnce([to(alerts, dead_letters=dead.name)], reader.source)
    (partition,) = inputs.partitions
    for identity in ("one", "two"):
        delivery.emit(replace(example_result(identity), rejected=[rejected(b"poison", key=None)]))
        with pytest.raises(SinkError, match=f"cannot write to {dead.name}"):
            delivery.commit({partition: 3})
    assert [json.loads(found.value)["id"] for found in read_all(alerts)] == ["one", "two"]
    assert (read_all(dead), _committed(inputs)) == ([], [None])
    with pytest.raises(SinkError):
        delivery.close()
    reader.close()


def test_poison_alone_moves_the_partition_on(make_topic: MakeTopic) -> None:
    inputs, alerts, dead = make_topic(1), make_topic(1), make_topic(1)
    inputs.append(300)
    reader = joined(inputs)
    delivery = AtLeastOnce([to(alerts, dead_letters=dead.name)], reader.source)
    (partition,) = inputs.partitions
    values = [b"%d" % number for number in range(300)]
    delivery.emit(Result(rejected=[rejected(value) for value in values]))
    delivery.commit({partition: 300})
    assert [found.value for found in read_all(dead)] == values
    assert _committed(inputs) == [300]
    delivery.close()
    reader.close()


def test_an_alert_that_is_refused_fails_every_flush_and_nothing_passes_it(
    make_topic: MakeTopic,
) -> None:
    topic = make_topic(1, **{"max.message.bytes": "200"})
    sink = to(topic)
    sink.emit(example_result("too-large"))
    for _ in range(2):
        with pytest.raises(
            SinkError, match=f"cannot write to {topic.name} at Kafka {topic.address}"
        ):
            sink.flush()
    with pytest.raises(SinkError):
        sink.close()
    assert read_all(topic) == []


def test_offsets_are_committed_after_the_results_are_out(make_topic: MakeTopic) -> None:
    inputs, alerts = make_topic(1), make_topic(1)
    (partition,) = inputs.partitions
    inputs.append(5)
    reader = joined(inputs)
    delivery = AtLeastOnce([to(alerts)], reader.source)
    delivery.emit(example_result("one"))
    delivery.commit({partition: 3})
    assert len(read_all(alerts)) == 1
    assert _committed(inputs) == [3]
    delivery.close()
    reader.close()


def _committed(topic: Topic) -> Sequence[int | None]:
    consumer = KafkaConsumer(bootstrap_servers=topic.address, group_id=topic.name)
    offsets = [consumer.committed(TopicPartition(*p)) for p in topic.partitions]
    consumer.close()
    return offsets


@pytest.mark.parametrize("scenario", ["recovery", "closing"])
def test_a_broker_that_dies_is_told_and_nothing_is_lost(broker: Node, scenario: str) -> None:
    # In a process of its own: kafka-python 3.0.12 leaves sockets that could not connect to the
    # garbage collector, which is an error in this one.
    done = subprocess.run(
        [sys.executable, "-m", "tests.kafka.outage", scenario],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
