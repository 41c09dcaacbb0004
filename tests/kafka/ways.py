"""The ways into the secured node that lead in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kafka.broker import PASSWORDS, Node
from tests.kafka.tokens import token

(USER,) = PASSWORDS
WAYS = ("mTLS", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")

Section = dict[str, Any]


def way_in(name: str, broker: Node, folder: Path) -> Section:
    """A `source.kafka` section that gets in; passwords and tokens lie in files of `folder`."""
    authority = str(broker.certificates.authority)
    if name == "mTLS":
        own = str(broker.certificates.client)
        return section(broker, {"protocol": "SSL", "ca": authority, "certificate": own})
    login = {"protocol": "SASL_SSL", "mechanism": name, "ca": authority}
    if name == "OAUTHBEARER":
        (folder / "token").write_text(token(broker.certificates.issuer))
        return section(broker, {**login, "oauth": {"token_file": str(folder / "token")}})
    (folder / "password").write_text(f"{PASSWORDS[USER]}\n")
    secret = f"${{file:{folder}/password}}"
    return section(broker, {**login, "username": USER, "password": secret})


def section(broker: Node, security: Mapping[str, Any]) -> Section:
    """The door of the node that a protocol has."""
    return {"bootstrap": [broker.addresses[security["protocol"]]], "security": dict(security)}
