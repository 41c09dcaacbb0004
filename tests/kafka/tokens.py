"""Signed bearer tokens (JSON Web Tokens, RS256), and the keys that a broker checks them with."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path

AUDIENCE = "kafka"


def make_issuer(directory: Path) -> Path:
    """A private key; its public half is the key set `keys_of` it."""
    key = directory / "issuer.key"
    _openssl("genrsa", "-out", str(key), "2048")
    said = _openssl("rsa", "-in", str(key), "-noout", "-modulus").decode()
    modulus = _word(bytes.fromhex(said.strip().partition("=")[2]))
    public = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "e": "AQAB", "n": modulus}
    keys_of(key).write_text(json.dumps({"keys": [public]}))
    return key


def keys_of(issuer: Path) -> Path:
    """The file with the public keys of an issuer."""
    return issuer.with_suffix(".jwks")


def token(issuer: Path, lifetime: float = 600.0, subject: str = "monitor") -> str:
    """A token that is valid for so many seconds from now; less than 0 has expired."""
    now = time.time()
    claims = {"sub": subject, "aud": AUDIENCE, "iat": now - 3600, "exp": now + lifetime}
    head = {"alg": "RS256", "typ": "JWT", "kid": "1"}
    signed = ".".join(_word(json.dumps(part).encode()) for part in (head, claims))
    signature = _openssl("dgst", "-sha256", "-sign", str(issuer), given=signed.encode())
    return f"{signed}.{_word(signature)}"


def _word(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=True)
    return done.stdout
