"""From settings to the arguments of kafka-python's clients."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monitor.connections import Kafka, Security
from monitor.errors import ConfigError


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
    """The name and the password, where the protocol asks for them."""
    if not security.protocol.startswith("SASL"):
        return {}
    password = security.password.get_secret_value() if security.password else None
    return {
        "sasl_mechanism": security.mechanism,
        "sasl_plain_username": security.username,
        "sasl_plain_password": password,
    }


def encryption(security: Security) -> ssl.SSLContext | None:
    """Whom to trust and who we are, where the protocol is over TLS."""
    if not security.protocol.endswith("SSL"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if security.ca:
        with _readable("ca", security.ca):
            context.load_verify_locations(security.ca)
    else:
        context.load_default_certs()
    if security.certificate:
        _identify(context, security, security.certificate)
    return context


def _identify(context: ssl.SSLContext, security: Security, certificate: Path) -> None:
    secret = security.key_password
    # Without a password openssl would ask for one at the terminal and wait.
    password = secret.get_secret_value() if secret else ""
    with _readable("certificate", certificate):
        certificate.read_bytes()
    with _readable("key", security.key or certificate):
        context.load_cert_chain(certificate, security.key, password)


@contextmanager
def _readable(name: str, file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigError(f"security.{name}: {file} is not a usable PEM file: {reason}") from None


def said(failure: BaseException) -> str:
    """The words of an error in one line, without kafka-python's number and name in front."""
    text = str(failure.args[0]) if failure.args else ""
    name = type(failure).__name__
    return " ".join(text.removeprefix(f"{name}: ").split()) or name
