"""A Kafka topic as the target of a player."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from monitor.config import load
from monitor.connect.kafka import kafka
from monitor.connect.kafka.client import connection, said
from monitor.connect.kafka.reach import reach
from monitor.connections import Kafka
from monitor.errors import ConfigError, SinkError
from simulators.play import Message

PATIENCE = 30.0
_PRODUCER = {
    "acks": "all",
    "linger_ms": 10,
    "batch_size": 256 * 1024,
    "max_request_size": 16 * 1024 * 1024,
    "max_block_ms": 10_000,
    "delivery_timeout_ms": 30_000,
    "request_timeout_ms": 10_000,
    "metrics_enabled": False,
}


class KafkaTarget:
    """Sends with a producer that waits for all replicas and repeats what fails.

    The log's own time stamps are those of sending; the data's times are in the messages. Raises
    SinkError, with the true reason, where the cluster cannot be reached or refuses a message.
    """

    def __init__(self, settings: Kafka) -> None:
        reach(settings, error=SinkError)
        self._where = ", ".join(settings.bootstrap)
        self._failed: list[BaseException] = []
        try:
            self._producer = kafka.KafkaProducer(**connection(settings), **_PRODUCER)
        except kafka.errors.KafkaError as error:
            raise self._refusal(error) from error

    def send(self, message: Message) -> None:
        """As `Target.send`; does not wait for the broker."""
        try:
            sent = self._producer.send(
                message.topic,
                key=message.key,
                value=message.value,
                headers=list(message.headers),
            )
        except (kafka.errors.KafkaError, ValueError) as error:
            raise self._refusal(error) from error
        sent.add_errback(self._failed.append)
        if self._failed:
            raise self._refusal(self._failed[0])

    def close(self) -> None:
        """Wait until the broker has everything."""
        try:
            self._producer.flush(timeout=PATIENCE)
        except kafka.errors.KafkaError as error:
            raise self._refusal(error) from error
        finally:
            self._producer.close(timeout=PATIENCE)
        if self._failed:
            raise self._refusal(self._failed[0])

    def _refusal(self, error: BaseException) -> SinkError:
        return SinkError(f"Kafka at {self._where}: a message was not taken: {said(error)}")


def kafka_target(bootstrap: str | None = None, config: Path | None = None) -> KafkaTarget:
    """The cluster at `host:port[,host:port...]`, by default this machine's.

    With `config`, a configuration of the monitor, it is the cluster of its `source.kafka`, reached
    and logged in to as there; `bootstrap` then replaces the addresses. Raises ConfigError for
    anything else.
    """
    return KafkaTarget(_settings(bootstrap, config))


def _settings(bootstrap: str | None, config: Path | None) -> Kafka:
    found = Kafka(bootstrap=["localhost:9092"]) if config is None else _source_of(config)
    addresses = found.bootstrap if bootstrap is None else bootstrap.split(",")
    try:
        return Kafka(bootstrap=addresses, client_id="simulators", security=found.security)
    except ValidationError as error:
        raise ConfigError(
            f"bootstrap {bootstrap!r}: not host:port[,host:port...], such as localhost:9092"
        ) from error


def _source_of(config: Path) -> Kafka:
    kafka = load(config).source.kafka
    if kafka is None:
        raise ConfigError(f"{config}: has no source.kafka, so there is no cluster to play into")
    return kafka
