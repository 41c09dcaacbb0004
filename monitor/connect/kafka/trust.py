"""Certificates: whom to trust, and who we are."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.errors import ConfigError


def trusting(key: str, ca: Path | None) -> ssl.SSLContext:
    """For connections to servers whose certificate an authority in `ca`, or of the system, signed.

    Raises ConfigError, which names the `key` of the configuration, where the file is of no use.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is None:
        context.load_default_certs()
        return context
    with _readable(key, ca):
        context.load_verify_locations(ca)
    return context


def identify(
    context: ssl.SSLContext, certificate: Path, key: Path | None, password: str | None
) -> None:
    """Add our own certificate to a context. Raises ConfigError where a file is of no use."""
    with _readable("security.certificate", certificate):
        certificate.read_bytes()
    with _readable("security.key", key or certificate):
        # Without a password openssl would ask for one at the terminal and wait.
        context.load_cert_chain(certificate, key, password or "")


@contextmanager
def _readable(key: str, file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigError(f"{key}: {file} is not a usable PEM file: {reason}") from None
