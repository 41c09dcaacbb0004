"""Making sure that a topic is there and compacted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from kafka import KafkaAdminClient, errors
from kafka.admin import ConfigResource, ConfigResourceType

from monitor.connect.kafka.client import connection, said
from monitor.connections import Kafka
from monitor.errors import ConfigError, SourceError

log = structlog.get_logger()

PARTITIONS = 9
# What is compacted are closed segments only, and a few minutes of them are soon larger than what
# is alive. A tombstone has to stay for as long as somebody may be in the middle of reading.
SETTINGS = {
    "cleanup.policy": "compact",
    "segment.ms": "600000",
    "segment.bytes": str(64 * 1024 * 1024),
    "max.compaction.lag.ms": "1800000",
    "delete.retention.ms": "600000",
}


class TopicFacts(NamedTuple):
    """What a topic is like: how many partitions, and the largest batch that it takes, bytes."""

    partitions: int
    max_message_bytes: int


def compacted_topic(broker: Kafka, name: str, timeout: float) -> TopicFacts:
    """Make the topic where it is missing, with `PARTITIONS`, `SETTINGS` and the broker's default
    replication.

    Raises ConfigError, with what to do, where that is not allowed or the topic is not compacted;
    SourceError where the broker does not answer.
    """
    where = f"topic {name} at Kafka {', '.join(broker.bootstrap)}"
    try:
        with KafkaAdminClient(
            **connection(broker), bootstrap_timeout_ms=10_000, request_timeout_ms=int(timeout * 1e3)
        ) as admin:
            partitions = _partitions(admin, name) or _made(admin, name)
            return TopicFacts(partitions, _checked(_settings(admin, name), name, where))
    except errors.AuthorizationError as error:
        raise ConfigError(f"snapshots.topic: {where}: {said(error)}; {_remedy(name)}") from error
    except errors.KafkaError as error:
        passing = isinstance(error, errors.RetriableError | errors.KafkaTimeoutError)
        raise SourceError(f"{where}: {said(error)}", retriable=passing) from error


def _partitions(admin: KafkaAdminClient, name: str) -> int:
    """How many there are; 0 where there is no such topic."""
    (found,) = admin.describe_topics([name])
    failed = errors.for_code(found["error_code"])
    if failed is errors.UnknownTopicOrPartitionError:
        return 0
    if failed is not errors.NoError:
        raise failed(f"describing {name}")
    return len(found["partitions"])


def _made(admin: KafkaAdminClient, name: str) -> int:
    wanted = {"num_partitions": PARTITIONS, "replication_factor": -1, "configs": SETTINGS}
    try:
        admin.create_topics({name: wanted})
        log.info("topic_made", topic=name, partitions=PARTITIONS, **SETTINGS)
    except errors.TopicAlreadyExistsError:
        pass  # by another process that starts with us
    admin.wait_for_topics([name])
    return _partitions(admin, name)


def _settings(admin: KafkaAdminClient, name: str) -> Mapping[str, Any]:
    asked = ConfigResource(ConfigResourceType.TOPIC, name)
    found = admin.describe_configs([asked], config_filter="all")["topic"][name]
    if "cleanup.policy" not in found:
        raise errors.TopicAuthorizationFailedError("may not read its settings (DescribeConfigs)")
    return {key: setting["value"] for key, setting in found.items()}


def _checked(settings: Mapping[str, Any], name: str, where: str) -> int:
    policy = settings["cleanup.policy"]
    if "compact" not in policy.split(","):
        raise ConfigError(
            f"snapshots.topic: {where} has cleanup.policy {policy!r}, so it grows without end or "
            f"drops what is needed; set it to compact (kafka-configs --alter --topic {name} "
            "--add-config cleanup.policy=compact), or name a topic of its own, which is made"
        )
    return int(settings["max.message.bytes"])


def _remedy(name: str) -> str:
    settings = " ".join(f"--config {key}={value}" for key, value in SETTINGS.items())
    return (
        f"allow Create, Describe, DescribeConfigs, Read and Write on it, or have it made: "
        f"kafka-topics --create --topic {name} --partitions {PARTITIONS} {settings}"
    )
