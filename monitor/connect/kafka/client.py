"""From settings to the arguments of kafka-python's clients."""

from __future__ import annotations

import ssl
from typing import Any

from pydantic import SecretStr

from monitor.connect.kafka.tokens import provider
from monitor.connect.kafka.trust import identify, trusting
from monitor.connections import Kafka, Security


def connection(settings: Kafka) -> dict[str, Any]:
    """The keyword arguments with which any kafka-python client reaches the cluster.

    They hold the password in clear: never log them. Raises ConfigError where a certificate or key
    file cannot be used.
    """
    return {
        "bootstrap_servers": list(settings.bootstrap),
        "client_id": settings.client_id,
        # The default of 30 s would keep a client away long after the broker is back.
        "reconnect_backoff_max_ms": 500,
        "security_protocol": settings.security.protocol,
        "ssl_context": encryption(settings.security),
        **login(settings.security),
    }


def login(security: Security) -> dict[str, Any]:
    """The name and the password, or where tokens come from, if the protocol asks for them."""
    if not security.logs_in:
        return {}
    mechanism = {"sasl_mechanism": security.mechanism}
    if security.oauth:
        return {**mechanism, "sasl_oauth_token_provider": provider(security.oauth)}
    return {
        **mechanism,
        "sasl_plain_username": security.username,
        "sasl_plain_password": _plain(security.password),
    }


def encryption(security: Security) -> ssl.SSLContext | None:
    """Whom to trust and who we are, where the protocol is over TLS."""
    if not security.encrypts:
        return None
    context = trusting("security.ca", security.ca)
    if security.certificate:
        identify(context, security.certificate, security.key, _plain(security.key_password))
    return context


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def said(failure: BaseException) -> str:
    """The words of an error in one line, without kafka-python's number and name in front."""
    text = str(failure.args[0]) if failure.args else ""
    name = type(failure).__name__
    return " ".join(text.removeprefix(f"{name}: ").split()) or name
