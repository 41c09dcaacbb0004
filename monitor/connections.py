"""The sections for logs to read and places to write to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, SecretStr, field_validator, model_validator

from monitor.notation import Seconds
from monitor.section import Count, Name, Settings


class Security(Settings):
    """How to talk to a broker; files are PEM."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: SecretStr | None = None

    @model_validator(mode="after")
    def _complete(self) -> Security:
        if self.protocol.startswith("SASL") and not (
            self.mechanism and self.username and self.password
        ):
            raise ValueError(f"{self.protocol} needs mechanism, username and password")
        return self


class Kafka(Settings):
    """A consumer group on an Apache Kafka cluster; the topics are those of the streams."""

    bootstrap: Annotated[list[str], Field(min_length=1)]
    group: str = "monitor"
    client_id: str = "monitor"
    instance: Name | None = None
    assignor: Literal["cooperative", "eager"] = "cooperative"
    start: Literal["earliest", "latest"] = "earliest"
    session_timeout: Seconds = 10.0
    max_poll_interval: Seconds = 300.0
    max_poll_records: Count = 2000
    security: Security = Security()

    @field_validator("bootstrap")
    @classmethod
    def _host_and_port(cls, value: list[str]) -> list[str]:
        for address in value:
            if not re.fullmatch(r"[^\s:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", address):
                raise ValueError(f"{address!r} is not host:port, such as localhost:9092")
        return value


class Recordings(Settings):
    """Files played through the embedded log; `speed` 1 is real time, 0 as fast as it goes."""

    paths: Annotated[list[Path], Field(min_length=1)]
    speed: NonNegativeFloat = 0.0
    partitions: Count = 4
    time_column: str | None = None


class SourceConfig(Settings):
    """Where records come from: exactly one of the two."""

    kafka: Kafka | None = None
    recordings: Recordings | None = None

    @model_validator(mode="after")
    def _one(self) -> SourceConfig:
        if (self.kafka is None) == (self.recordings is None):
            raise ValueError("needs exactly one of kafka, recordings")
        return self


class JsonLines(Settings):
    """Everything as one JSON object a line: alerts, and if asked scores."""

    path: Path
    scores: bool = False


class KafkaTopics(Settings):
    """Topics to write to; the broker is the source's unless another is named."""

    alerts: Name = "monitor.alerts"
    scores: Name | None = None
    dead_letters: Name | None = None
    broker: Kafka | None = None


class SinkConfig(Settings):
    """One place for results: `log`, `jsonl` or `kafka`."""

    log: bool | None = None
    jsonl: JsonLines | None = None
    kafka: KafkaTopics | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {value: True} if value == "log" else {"kafka": {}} if value == "kafka" else value

    @model_validator(mode="after")
    def _one(self) -> SinkConfig:
        if sum(x is not None for x in (self.log, self.jsonl, self.kafka)) != 1:
            raise ValueError("needs exactly one of log, jsonl, kafka")
        return self
