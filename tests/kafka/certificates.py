"""Throw-away certificates, made with the openssl program: an authority, a server, a client, and a
stranger's authority that signed none of them; and the key of one who signs tokens.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.kafka.tokens import make_issuer


@dataclass(frozen=True)
class Certificates:
    """Files in PEM; `server` and `client` hold the key and the certificate.

    `server` is for 127.0.0.1 and not for localhost. `issuer` is the key that signs tokens.
    """

    authority: Path
    stranger: Path
    server: Path
    client: Path
    issuer: Path


def make_certificates(directory: Path) -> Certificates:
    """Make a fresh set, valid for two days."""
    directory.mkdir(parents=True, exist_ok=True)
    authority = _make(directory, "authority")
    return Certificates(
        authority=authority,
        stranger=_make(directory, "stranger"),
        server=_both(_make(directory, "server", signed_by=authority)),
        client=_both(_make(directory, "client", signed_by=authority)),
        issuer=make_issuer(directory),
    )


def _make(directory: Path, name: str, signed_by: Path | None = None) -> Path:
    certificate = directory / f"{name}.pem"
    signer = []
    if signed_by:
        signer = ["-CA", str(signed_by), "-CAkey", str(signed_by.with_suffix(".key"))]
        signer += ["-addext", "subjectAltName=IP:127.0.0.1"]
        signer += ["-addext", "basicConstraints=critical,CA:FALSE"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
    files = ["-keyout", str(certificate.with_suffix(".key")), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-subj", f"/CN={name}", *curve, *files, *signer],
        check=True,
        capture_output=True,
    )
    return certificate


def _both(certificate: Path) -> Path:
    both = certificate.with_suffix(".both.pem")
    both.write_text(certificate.with_suffix(".key").read_text() + certificate.read_text())
    return both
