"""The player against a real broker: all samples arrive, the labels beside them."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from monitor.errors import SinkError
from monitor.settings import StreamConfig
from monitor.stream.codec import make_codec
from monitor.types import Partition, Record
from simulators.fleet import Fleet, Plan
from simulators.kafka_target import kafka_target
from simulators.play import Pace, encoder, messages, play, with_labels
from tests.kafka.conftest import MakeTopic, Topic, read_all

pytestmark = pytest.mark.kafka


def test_a_fleet_arrives_in_kafka_as_it_was_measured(make_topic: MakeTopic) -> None:
    topic, labels = make_topic(), make_topic(1)
    plan = Plan(shortest=1.0, longest=2.0, recovery=1.0)
    fleet = Fleet(3, 2).with_faults(0.0, 6.0, plan)
    sent = messages(fleet.samples(0.0, 6.0), topic.name, fleet.rate, encoder("float32"))
    played = with_labels(sent, fleet.faults, labels.name)
    summary = play(played, kafka_target(topic.address), Pace(0))
    found = read_all(topic)
    assert summary.messages == len(found) + 2
    codec = make_codec(_stream(fleet))
    decoded = [
        samples
        for record in found
        for samples in codec.decode(
            Record(Partition(topic.name, 0), 0, record.key, 0.0, record.value)
        )
    ]
    for sensor in fleet.sensors:
        mine = np.hstack([s.data for s in decoded if s.sensor == sensor])
        clean = fleet.chunk(sensor, 0.0, 6.0).data
        np.testing.assert_array_equal(mine, clean[:, ~np.isnan(clean).all(axis=0)])
    told = sorted((json.loads(record.value) for record in read_all(labels)), key=str)
    expected = [{**asdict(f), "channels": list(f.channels)} for f in fleet.faults]
    assert told == sorted(expected, key=str)


def test_a_message_that_is_refused_is_told(topic: Topic) -> None:
    fleet = Fleet(0, 1)
    sent = messages(fleet.samples(0.0, 1.0), "no topic!", fleet.rate, encoder("json"))
    with pytest.raises(SinkError, match='was not taken: Topic name "no topic!" is illegal'):
        play(sent, kafka_target(topic.address), Pace(0))


def _stream(fleet: Fleet) -> StreamConfig:
    return StreamConfig.model_validate(
        {
            "topics": ["plant"],
            "window": {"length": "1s", "rate": fleet.rate, "channels": list(fleet.channels)},
            "models": [{"use": ["online_iforest"]}],
        }
    )
