"""The server's side of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

from monitor.errors import ServeError
from monitor.serving import Tls


def encryption(settings: Tls) -> ssl.SSLContext:
    """TLS 1.2 or later. ServeError names the file that cannot be used, and why."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    identify(context, settings)
    if settings.client_ca:
        _trust(context, "client_ca", settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def identify(context: ssl.SSLContext, settings: Tls) -> None:
    """Show the certificate that is in the files now to whoever connects from now on."""
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "certificate", settings.certificate)
    name, key = ("key", settings.key) if settings.key else ("certificate", settings.certificate)
    held = _read(name, key)
    # Without a password openssl would ask for one at the terminal and wait.
    secret = settings.key_password
    password = secret.get_secret_value() if secret else ""
    try:
        context.load_cert_chain(settings.certificate, settings.key, password)
    except ssl.SSLError as error:
        raise ServeError(f"serve.tls.{name}: {key}: {_why(error, held)}") from None


def _why(error: ssl.SSLError, held: bytes) -> str:
    """Python says `PEM lib` for nearly everything."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of serve.tls.certificate"
    if b"PRIVATE KEY-----" not in held:
        return "holds no private key in PEM; name the file that does in serve.tls.key"
    if b"ENCRYPTED" in held:
        return "the key is encrypted, and serve.tls.key_password does not open it"
    return f"the key cannot be used: {error.reason or 'it is damaged'}"


def _trust(context: ssl.SSLContext, name: str, file: Path) -> None:
    text = _read(name, file)
    try:
        context.load_verify_locations(cadata=text.decode("ascii", errors="replace"))
    except (ssl.SSLError, ValueError) as error:  # of an empty file it says ValueError
        raise ServeError(
            f"serve.tls.{name}: {file}: holds no certificate in PEM that can be used"
        ) from error


def _read(name: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ServeError(
            f"serve.tls.{name}: {file} cannot be read: {error.strerror or error}"
        ) from error
