"""The section `serve`: where the page, the API and `/metrics` are, and who may see them."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    SecretStr,
    field_validator,
    model_validator,
)

from monitor import passwords
from monitor.notation import Seconds
from monitor.section import Count, Name, Settings

SHORTEST_TOKEN = 16
_HOST = r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?"


def _host(value: str) -> str:
    if not re.fullmatch(_HOST, value):
        raise ValueError("not a host name without port, such as monitor.plant.example or *.example")
    return value.lower()


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        raise ValueError("not an address or network, such as 10.0.0.7 or 10.0.0.0/24") from None


class Tls(Settings):
    """The server's certificate; with `client_ca` clients must show one too. Files are PEM."""

    certificate: Path
    key: Path | None = None
    key_password: SecretStr | None = None
    client_ca: Path | None = None


class Credentials(Settings):
    """Names with hashed passwords, for people; names with tokens, for programs."""

    users: dict[Name, SecretStr] = Field(default_factory=dict)
    tokens: dict[Name, SecretStr] = Field(default_factory=dict)

    @field_validator("users")
    @classmethod
    def _hashed(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            try:
                passwords.parse(secret.get_secret_value())
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return value

    @field_validator("tokens")
    @classmethod
    def _hard_to_guess(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            token = secret.get_secret_value()
            if len(token) < SHORTEST_TOKEN:
                raise ValueError(
                    f"{name}: a token of {len(token)} characters can be guessed; at least "
                    f"{SHORTEST_TOKEN} random ones are valid, as from 'openssl rand -hex 32'"
                )
            if not re.fullmatch(r"[!-~]+", token):
                raise ValueError(f"{name}: a token has no spaces and ASCII characters only")
        return value


class Login(Credentials):
    """Whose own credentials open everything; those of `metrics` open `/metrics` and nothing else.

    `probes` tells whether `/healthz` and `/readyz` ask for credentials too.
    """

    metrics: Credentials = Credentials()
    probes: bool = False

    @model_validator(mode="after")
    def _somebody_once(self) -> Login:
        metrics = self.metrics
        if not (self.users or self.tokens or metrics.users or metrics.tokens):
            raise ValueError("lets nobody in; needs one of users, tokens, metrics")
        doubled = sorted(self.users.keys() & metrics.users.keys())
        if doubled:
            raise ValueError(f"users and metrics.users both name {doubled[0]!r}; choose one")
        shared = {token.get_secret_value() for token in self.tokens.values()}
        for name, token in metrics.tokens.items():
            if token.get_secret_value() in shared:
                raise ValueError(f"metrics.tokens.{name} is a token that opens everything")
        return self


class Limits(Settings):
    """What one client, and all of them together, may ask of the server."""

    connections: Count = 256
    connections_per_client: Count = 64
    requests_per_second: Annotated[PositiveFloat, Field(le=1e6)] = 100.0
    burst: Count = 300
    timeout: Annotated[Seconds, Field(ge=0.1)] = 20.0


class ServeConfig(Settings):
    """The page, the API and `/metrics`; `port` 0 takes a free one."""

    address: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    max_sensors: Count = 1000
    tls: Tls | None = None
    login: Login | None = None
    anonymous: bool = False
    hosts: list[Annotated[str, AfterValidator(_host)]] = Field(default_factory=list)
    proxies: list[Annotated[str, AfterValidator(_network)]] = Field(default_factory=list)
    limits: Limits = Limits()

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can reach it."""
        try:
            return ip_address(self.address).is_loopback
        except ValueError:
            return self.address == "localhost"

    @property
    def asks(self) -> bool:
        """Whether a client has to show who it is."""
        return self.login is not None or (self.tls is not None and self.tls.client_ca is not None)

    @model_validator(mode="before")
    @classmethod
    def _a_login_has_parts(cls, value: Any) -> Any:
        """Told here, without its value: it is likely to be a password."""
        login = value.get("login") if isinstance(value, dict) else None
        if not isinstance(login, dict | Login | None):
            raise ValueError("login is not a section with users, tokens and metrics")
        return value

    @model_validator(mode="after")
    def _closed_or_said_so(self) -> ServeConfig:
        if self.anonymous and self.login:
            raise ValueError("login and anonymous: true contradict each other; leave one out")
        if not (self.loopback or self.asks or self.anonymous):
            raise ValueError(
                "other machines can reach this address, and nobody has to log in; set login, or "
                "tls.client_ca, or address: 127.0.0.1, or, where everybody who reaches it may read "
                "everything, anonymous: true"
            )
        return self
