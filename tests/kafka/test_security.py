"""Every way to log in carries all that we send and read, and tokens are renewed on the way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from monitor.config import parse
from monitor.connect.kafka.compacted import CompactedTopic
from monitor.connect.kafka.delivery import KafkaSink
from monitor.connect.kafka.snapshots import TopicSnapshots
from monitor.connect.kafka.source import KafkaSource
from monitor.connect.kafka.transaction import ExactlyOnce
from monitor.connections import Kafka, KafkaTopics
from monitor.errors import SourceError
from monitor.testing import Member, example_result
from simulators.__main__ import app
from tests.kafka.broker import Node
from tests.kafka.conftest import MakeTopic, Topic, read_all
from tests.kafka.tokens import token
from tests.kafka.ways import WAYS, Section, section, way_in
from tests.token_endpoint import Endpoint, endpoint, grant

pytestmark = pytest.mark.kafka


def written(kafka: Section, group: str = "g") -> str:
    """A configuration with that source."""
    window = {"length": "1s", "rate": 16, "channels": ["x"]}
    stream = {"topics": ["plant"], "window": window, "models": [{"use": ["online_iforest"]}]}
    source = {"kafka": {**kafka, "group": group, "session_timeout": 6}}
    return yaml.safe_dump({"source": source, "streams": {"plant": stream}})


def settings(kafka: Section, group: str = "g") -> Kafka:
    found = parse(written(kafka, group), "x.yaml", {}).source.kafka
    assert found is not None
    return found


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, broker: Node, tmp_path: Path) -> Section:
    """Each of the ways in."""
    return way_in(request.param, broker, tmp_path)


@contextmanager
def what_passes() -> Iterator[None]:
    """On busy cores a token may be late, its connection ended: then the loop commits again."""
    try:
        yield
    except SourceError as error:
        if not error.retriable:
            raise


def values(reader: Member, count: int) -> list[bytes]:
    """So many records, and the end of the membership."""
    until = time.monotonic() + 30
    found: list[bytes] = []
    while len(found) < count:
        assert time.monotonic() < until, f"{len(found)} of {count} records"
        found += [record.value for record in reader.step()]
    reader.close()
    return found


def test_what_a_sink_writes_a_source_reads(way: Section, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    broker = settings(way, topic.name)
    sink = KafkaSink(broker, KafkaTopics(alerts=topic.name))
    sink.emit(example_result("one"))
    sink.flush()
    found = values(Member(KafkaSource(broker, [topic.name])).start(), 1)
    sink.close()
    assert [json.loads(value)["id"] for value in found] == ["one"]


def test_transactions_and_snapshots_log_in_too(way: Section, make_topic: MakeTopic) -> None:
    topic, results = make_topic(1), make_topic(1)
    kept = make_topic(1, **{"cleanup.policy": "compact"})
    ((partition, offset),) = topic.append(1)
    broker = settings(way, topic.name)
    source = KafkaSource(broker, [topic.name])
    reader = Member(source).start()
    while not reader.seen:
        reader.step()
    topics = KafkaTopics(alerts=results.name)
    delivery = ExactlyOnce(broker, topics, source.membership, transaction_timeout=10.0)
    delivery.emit(example_result("one"))
    delivery.commit({partition: offset + 1})
    delivery.close()
    reader.close()
    assert len(read_all(results)) == 1
    snapshots = TopicSnapshots(CompactedTopic(broker, kept.name), topic.name)
    snapshots.save(partition, offset, {"mean": np.ones(3)})
    assert list(snapshots.offsets(partition)) == [offset]
    snapshots.close()


def test_the_player_plays_into_a_secured_cluster(
    way: Section, topic: Topic, tmp_path: Path
) -> None:
    config = tmp_path / "plant.yaml"
    config.write_text(written(way))
    options = ["--seconds", "3", "--machines", "1", "--faults", "0", "--speed", "0"]
    arguments = ["machines", "--topic", topic.name, "--config", str(config), *options, "--json"]
    done = CliRunner().invoke(app, [*arguments, "--labels-topic", ""], catch_exceptions=False)
    assert json.loads(done.output)["messages"] == len(read_all(topic)) >= 3


@pytest.fixture
def issuing(broker: Node) -> Iterator[Endpoint]:
    """An endpoint over TLS whose tokens the node takes, for four seconds each."""
    issuer = broker.certificates.issuer
    reply = lambda: grant(token(issuer, 4.0), expires_in=4)  # noqa: E731
    with endpoint(reply, broker.certificates.server) as found:
        yield found


def by_endpoint(broker: Node, url: str, secret: str = "s3cret") -> dict[str, Any]:
    authority = str(broker.certificates.authority)
    oauth = {"token_url": url, "client_id": "m", "client_secret": secret, "ca": authority}
    return {"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER", "ca": authority, "oauth": oauth}


def test_a_connection_outlives_its_tokens(
    broker: Node, issuing: Endpoint, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    way = settings(section(broker, by_endpoint(broker, issuing.url)), topic.name)
    sink = KafkaSink(way, KafkaTopics(alerts=topic.name))
    reader = Member(KafkaSource(way, [topic.name])).start()
    until, sent = time.monotonic() + 10, 0
    with closing(sink), closing(reader):
        while time.monotonic() < until:  # the node ends connections whose token has expired
            sink.emit(example_result(f"{sent}"))
            sink.flush()
            sent += 1
            reader.step(0.1)
            with what_passes():
                reader.commit()
        while len(reader.seen) < sent:
            reader.step()
    assert reader.seen == [(topic.partitions[0], offset) for offset in range(sent)]
    assert 3 <= len(issuing.asked) <= 12, "one token for all clients, and a new one in time"


def test_a_token_that_others_renew_in_its_file_is_read_again(
    broker: Node, make_topic: MakeTopic, tmp_path: Path
) -> None:
    topic = make_topic(1)
    way = settings(way_in("OAUTHBEARER", broker, tmp_path), topic.name)
    file, issuer = tmp_path / "token", broker.certificates.issuer
    file.write_text(token(issuer, 4.0))
    reader = Member(KafkaSource(way, [topic.name])).start()
    until = time.monotonic() + 8
    while time.monotonic() < until:
        fresh = tmp_path / "fresh"
        fresh.write_text(token(issuer, 4.0))
        fresh.replace(file)
        reader.step(0.5)
    topic.append(3)
    assert len(values(reader, 3)) == 3
