"""The sections for logs to read and places to write to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeFloat, SecretStr, field_validator, model_validator

from monitor.notation import Seconds
from monitor.section import Count, Name, Settings

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


class OAuth(Settings):
    """Where bearer tokens come from: a file that others keep fresh, or a token endpoint that is
    asked with the client's own credentials. `ca` is whom to trust there (PEM).
    """

    token_file: Path | None = None
    token_url: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    scope: str | None = None
    ca: Path | None = None

    @property
    def source(self) -> str:
        """What messages call it."""
        return str(self.token_file or (self.token_url or "").partition("?")[0])

    @field_validator("token_url")
    @classmethod
    def _encrypted(cls, value: str | None) -> str | None:
        if value is not None and not _is_private(value):
            raise ValueError(
                "not a URL to send a secret to; write https://HOST/PATH without a user in it "
                "(http for this machine only)"
            )
        return value

    @model_validator(mode="after")
    def _one(self) -> OAuth:
        if (self.token_file is None) == (self.token_url is None):
            raise ValueError("needs exactly one of token_file, token_url")
        if self.token_url and not (self.client_id and self.client_secret):
            raise ValueError("token_url needs client_id and client_secret")
        return _without(self, _OF_ENDPOINT if self.token_file else (), "needs token_url")


_OF_ENDPOINT = ("client_id", "client_secret", "scope", "ca")


def _is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent to a URL."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    here = parts.scheme == "http" and host in ("localhost", "127.0.0.1", "::1")
    return bool(host) and "@" not in parts.netloc and (parts.scheme == "https" or here)


_Section = TypeVar("_Section", bound=Settings)


def _without(section: _Section, keys: Sequence[str], why: str) -> _Section:
    """What has no effect is a mistake: above all a password or a certificate."""
    given = [key for key in keys if getattr(section, key) is not None]
    if given:
        raise ValueError(f"{given[0]} {why}")
    return section


class Security(Settings):
    """How to talk to a broker; files are PEM."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Mechanism | None = None
    username: str | None = None
    password: SecretStr | None = None
    oauth: OAuth | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: SecretStr | None = None

    @property
    def logs_in(self) -> bool:
        """Whether the broker asks who we are by SASL."""
        return self.protocol.startswith("SASL")

    @property
    def encrypts(self) -> bool:
        """Whether the connection is over TLS."""
        return self.protocol.endswith("SSL")

    @model_validator(mode="after")
    def _complete(self) -> Security:
        if not self.logs_in:
            return _without(self, _OF_LOGIN, "needs protocol SASL_SSL or SASL_PLAINTEXT")
        if self.mechanism is None:
            raise ValueError(f"{self.protocol} needs mechanism: {', '.join(get_args(Mechanism))}")
        by_token = self.mechanism == "OAUTHBEARER"
        needed = ("oauth",) if by_token else ("username", "password")
        if not all(getattr(self, key) for key in needed):
            raise ValueError(f"{self.mechanism} needs {' and '.join(needed)}")
        useless = ("username", "password") if by_token else ("oauth",)
        return _without(self, useless, f"has no use with mechanism {self.mechanism}")

    @model_validator(mode="after")
    def _identified(self) -> Security:
        if not self.encrypts:
            return _without(self, ("ca", *_OF_CLIENT), "needs protocol SASL_SSL or SSL")
        return self if self.certificate else _without(self, _OF_CLIENT, "needs certificate")


_OF_LOGIN = ("mechanism", "username", "password", "oauth")
_OF_CLIENT = ("certificate", "key", "key_password")


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


class EvidenceFolder(Settings):
    """A picture and a JSON file for each step of an alert of a camera or a microphone; of all
    together the latest `keep` stay.
    """

    path: Path
    keep: Count = 1000


class SinkConfig(Settings):
    """One place for results: `log`, `jsonl`, `kafka` or `evidence`."""

    log: bool | None = None
    jsonl: JsonLines | None = None
    kafka: KafkaTopics | None = None
    evidence: EvidenceFolder | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {value: True} if value == "log" else {"kafka": {}} if value == "kafka" else value

    @field_validator("evidence", mode="before")
    @classmethod
    def _just_a_folder(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str | Path) else value

    @model_validator(mode="after")
    def _one(self) -> SinkConfig:
        if sum(x is not None for x in (self.log, self.jsonl, self.kafka, self.evidence)) != 1:
            raise ValueError("needs exactly one of log, jsonl, kafka, evidence")
        return self
