"""What a broker with access control lists answers, and a topic that another process makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from monitor.connect.kafka import admin, kafka
from monitor.connect.kafka.admin import TopicFacts, compacted_topic
from monitor.connections import Kafka
from monitor.errors import ConfigError, SourceError

errors = kafka.errors
BROKER = Kafka(bootstrap=["kafka-1:9092"])
COMPACTED = {"cleanup.policy": "compact", "max.message.bytes": "1048588"}


class Admin:
    """Answers as it is told; a topic is there once it was asked to be made."""

    code = 0
    refusal: Exception | None = None
    settings: Mapping[str, str] = COMPACTED

    def __init__(self, **_: Any) -> None:
        pass

    def __enter__(self) -> Admin:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"name": names[0], "error_code": self.code, "partitions": [{}] * 4}]

    def create_topics(self, topics: Mapping[str, Any]) -> None:
        self.code = 0
        if self.refusal:
            raise self.refusal

    def wait_for_topics(self, names: list[str]) -> None:
        pass

    def describe_configs(self, asked: list[Any], config_filter: str) -> dict[str, Any]:
        found = {key: {"value": value} for key, value in self.settings.items()}
        return {"topic": {asked[0].name: found}}


def looked_at(
    monkeypatch: pytest.MonkeyPatch,
    code: int = 0,
    refusal: Exception | None = None,
    settings: Mapping[str, str] = COMPACTED,
) -> TopicFacts:
    answers = {"code": code, "refusal": refusal, "settings": settings}
    monkeypatch.setattr(admin, "KafkaAdminClient", type("Told", (Admin,), answers))
    return compacted_topic(BROKER, "snapshots", 10.0)


def test_a_topic_that_is_there_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_at(monkeypatch) == TopicFacts(4, 1048588)
    both = COMPACTED | {"cleanup.policy": "compact,delete"}
    assert looked_at(monkeypatch, settings=both) == TopicFacts(4, 1048588)


def test_a_topic_that_another_process_makes_at_the_same_time_will_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = errors.UnknownTopicOrPartitionError.errno
    found = looked_at(monkeypatch, missing, errors.TopicAlreadyExistsError())
    assert found == TopicFacts(4, 1048588)


@pytest.mark.parametrize(
    ("code", "refusal", "settings"),
    [
        (errors.TopicAuthorizationFailedError.errno, None, COMPACTED),
        (
            errors.UnknownTopicOrPartitionError.errno,
            errors.ClusterAuthorizationFailedError("not authorized"),
            COMPACTED,
        ),
        (0, None, {}),
    ],
)
def test_what_is_not_allowed_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    refusal: Exception | None,
    settings: Mapping[str, str],
) -> None:
    with pytest.raises(ConfigError) as caught:
        looked_at(monkeypatch, code, refusal, settings)
    said = str(caught.value)
    assert said.startswith("snapshots.topic: topic snapshots at Kafka kafka-1:9092: ")
    assert "kafka-topics --create --topic snapshots --partitions 9" in said
    assert "--config cleanup.policy=compact" in said


@pytest.mark.parametrize("policy", ["delete", ""])
def test_what_is_not_compacted_is_refused(monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    with pytest.raises(ConfigError, match=f"has cleanup.policy '{policy}'"):
        looked_at(monkeypatch, settings=COMPACTED | {"cleanup.policy": policy})


def test_a_broker_that_does_not_answer_is_told_as_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = errors.UnknownTopicOrPartitionError.errno
    with pytest.raises(SourceError, match="topic snapshots at Kafka") as caught:
        looked_at(monkeypatch, missing, errors.KafkaTimeoutError("10 s"))
    assert caught.value.retriable
