"""One node for all test processes of a run, ended when the last of them is gone, however it went.

Every user holds a shared lock on a file. The keeper, a process of its own and the node's parent,
waits for the exclusive lock: it gets it once nobody uses the node any more, also after a kill -9.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.broker.broker import Broker, BrokerError, Listener
from tests.kafka.certificates import Certificates, make_certificates
from tests.kafka.tokens import AUDIENCE, keys_of

PASSWORDS = {"monitor": "right-password"}
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_OAUTH = "org.apache.kafka.common.security.oauthbearer"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class Node:
    """Where the running node listens, by protocol, and what it takes to get in."""

    addresses: dict[str, str]
    certificates: Certificates
    pid: int

    @property
    def address(self) -> str:
        """The door without encryption or password."""
        return self.addresses["PLAINTEXT"]


def secured(directory: Path, certificates: Certificates) -> Broker:
    """A node with a listener of each kind of security."""
    users = "".join(f' user_{name}="{word}"' for name, word in PASSWORDS.items())
    sasl = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "plain.sasl.jaas.config": f"{_PLAIN}{users};",
        "scram-sha-512.sasl.jaas.config": _SCRAM,
    }
    keys = keys_of(certificates.issuer).as_uri()
    more = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "scram-sha-256.sasl.jaas.config": _SCRAM,
        "oauthbearer.sasl.jaas.config": f"{_OAUTH}.OAuthBearerLoginModule required;",
        "oauthbearer.sasl.server.callback.handler.class": (
            f"{_OAUTH}.OAuthBearerValidatorCallbackHandler"
        ),
        "oauthbearer.sasl.oauthbearer.jwks.endpoint.url": keys,
        "oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
        "oauthbearer.sasl.oauthbearer.clock.skew.seconds": "0",
        # Only then it ends the connection of a token that has expired.
        "oauthbearer.connections.max.reauth.ms": "3600000",
    }
    tls = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
    }
    listeners = [
        Listener("SASL_PLAINTEXT", sasl),
        Listener("SASL_SSL", {**sasl, **more, **tls}),
        Listener("SSL", {**tls, "ssl.client.auth": "required"}),
    ]
    options = [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}"]
    return Broker(directory, listeners=listeners, users=PASSWORDS, java_options=options)


@contextmanager
def shared_node(directory: Path) -> Iterator[Node]:
    """The node of this run, started by whoever comes first."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "users").open("w") as users, (directory / "starting").open("w") as starting:
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not (directory / "node.json").exists():
            _start_keeper(directory)
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield _read(directory / "node.json")


def _read(file: Path) -> Node:
    said = json.loads(file.read_text())
    where = {name: Path(path) for name, path in said["certificates"].items()}
    return Node(said["addresses"], Certificates(**where), said["pid"])


def _start_keeper(directory: Path) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.kafka.broker", str(directory)],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    assert keeper.stdout
    with keeper.stdout:
        said = keeper.stdout.readline().decode().strip()
    keeper.returncode = 0  # it outlives this process on purpose; init waits for it
    if said != "up":
        raise BrokerError(said or "the keeper of the node ended without a word")


def _keep(directory: Path) -> None:
    certificates = make_certificates(directory / "certificates")
    broker = secured(directory / "node", certificates)
    try:
        broker.start()
        node = Node(broker.addresses, certificates, broker.pid or 0)
        (directory / "node.json").write_text(json.dumps(asdict(node), default=str))
        print("up", flush=True)
        with (directory / "users").open("r+") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            (directory / "node.json").unlink()
            broker.stop()
    except BrokerError as error:
        print(error, flush=True)
    finally:
        broker.stop()


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
