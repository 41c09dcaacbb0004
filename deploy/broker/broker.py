"""A real Apache Kafka on loopback, without Docker: one KRaft node made of the jars Maven fetches.

    python deploy/broker/broker.py --port 9092        # Ctrl-C ends it

Needs Java 17 and Maven; the jars (44 MB) are kept in `$XDG_CACHE_HOME/monitor-kafka`. A node takes
about 2 s to start and 600 MB of memory. Settings: https://kafka.apache.org/43/configuration/.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

VERSION = "4.3.0"
HOST = "127.0.0.1"
_POM = Path(__file__).with_name("pom.xml")
_START_SECONDS = 60.0


class BrokerError(Exception):
    """The node cannot be fetched or does not start; the message says why."""


@dataclass(frozen=True)
class Listener:
    """One more door of the node: `protocol` is also its name, `properties` are without the
    `listener.name.<name>.` in front.
    """

    protocol: str
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a node stands in a cluster: its number, and the controllers' ports by number.

    `cluster` is the same for all its nodes. Topics are kept on `copies` of them.
    """

    number: int
    controllers: Mapping[int, int]
    cluster: str

    @classmethod
    def alone(cls) -> Place:
        """A cluster of this one node."""
        (port,) = free_ports(1)
        return cls(1, {1: port}, new_cluster())

    @property
    def copies(self) -> int:
        """Nobody is left out of three; more are not needed."""
        return min(3, len(self.controllers))


def new_cluster() -> str:
    """A name for a cluster that no other has; it never begins with a dash."""
    return base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")


def missing_tools() -> list[str]:
    """Which of the programs that a node needs are not on this machine."""
    return [tool for tool in ("java", "mvn") if shutil.which(tool) is None]


def jars() -> Path:
    """The directory with Kafka's jars, fetched once; safe to call from several processes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "monitor-kafka"
    libs = cache / VERSION
    if not libs.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _fetch(Path(scratch) / "libs")
            if not libs.is_dir():
                (Path(scratch) / "libs").rename(libs)
    return libs


def _fetch(target: Path) -> None:
    if missing := missing_tools():
        raise BrokerError(f"{' and '.join(missing)} not found; Kafka needs Java 17 and Maven")
    copy = ["dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(_POM), f"-Dkafka.version={VERSION}", *copy],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BrokerError(f"Maven cannot fetch Kafka {VERSION}: {_tail(done.stdout)}")


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind((HOST, 0))
        return [int(sock.getsockname()[1]) for sock in sockets]


class Broker:
    """One node, broker and controller at once, with its data in `directory`.

    It keeps its ports and its data over `kill` and another `start`. `users` may log in with SCRAM
    where a listener offers it. Raises BrokerError where it cannot start.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        listeners: Sequence[Listener] = (),
        users: Mapping[str, str] | None = None,
        java_options: Sequence[str] = (),
        place: Place | None = None,
    ) -> None:
        self.directory = directory
        self.listeners = (Listener("PLAINTEXT"), *listeners)
        self.users = dict(users or {})
        self.java_options = tuple(java_options)
        self.log = directory / "broker.log"
        self.place = place or Place.alone()
        first, *others = free_ports(len(self.listeners))
        self._ports = [port or first, *others]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port` of the listener without encryption or password."""
        return self.addresses["PLAINTEXT"]

    @property
    def addresses(self) -> dict[str, str]:
        """`host:port` of every listener, by protocol."""
        return {
            listener.protocol: f"{HOST}:{port}"
            for listener, port in zip(self.listeners, self._ports, strict=True)
        }

    @property
    def pid(self) -> int | None:
        """The process id while the node runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the node and wait until it answers."""
        if self.pid is not None:
            return
        if _accepts(self._ports[0]):
            raise BrokerError(f"port {self._ports[0]} is taken; choose another with --port")
        self.directory.mkdir(parents=True, exist_ok=True)
        properties = self.directory / "server.properties"
        properties.write_text("".join(f"{k}={v}\n" for k, v in self._properties().items()))
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(properties)
        self._process = self._spawn(properties)
        self._wait()

    def stop(self, timeout: float = 20.0) -> None:
        """End the node in an orderly way, or by force where that takes over `timeout` seconds."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """End the node as a power cut would."""
        self._end(signal.SIGKILL, timeout=20.0)

    def wait(self) -> int:
        """Block until the node ends by itself; returns its exit status."""
        return self._process.wait() if self._process else 0

    def _end(self, number: signal.Signals, timeout: float) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _spawn(self, properties: Path) -> subprocess.Popen[bytes]:
        # A node of its own session outlives a Ctrl-C that is meant for whoever started it.
        options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *self.java_options]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["java", *options, "-cp", f"{jars()}/*", "kafka.Kafka", str(properties)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _wait(self) -> None:
        until = time.monotonic() + _START_SECONDS
        while not all(_accepts(port) for port in self._ports):
            ended = self.pid is None
            if ended or time.monotonic() > until:
                self.kill()
                how = "ended" if ended else f"is not up after {_START_SECONDS:g} s"
                raise BrokerError(f"Kafka {how}: {_tail(self.log.read_text())} (see {self.log})")
            time.sleep(0.1)

    def _format(self, properties: Path) -> None:
        users = [
            word
            for name, password in self.users.items()
            for scram in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for word in ("--add-scram", f"{scram}=[name={name},password={password}]")
        ]
        tool = ["java", "-cp", f"{jars()}/*", "kafka.tools.StorageTool", "format"]
        done = subprocess.run(
            [*tool, "-c", str(properties), "-t", self.place.cluster, *users],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BrokerError(f"Kafka cannot format its storage: {_tail(done.stderr)}")

    def _properties(self) -> dict[str, str]:
        doors = [f"{name}://{address}" for name, address in self.addresses.items()]
        place = self.place
        inside = f"CONTROLLER://{HOST}:{place.controllers[place.number]}"
        voters = [f"{number}@{HOST}:{port}" for number, port in place.controllers.items()]
        names = ["CONTROLLER:PLAINTEXT"] + [f"{x}:{x}" for x in self.addresses]
        return {
            "process.roles": "broker,controller",
            "node.id": str(place.number),
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join([*doors, inside]),
            "advertised.listeners": ",".join([*doors, inside]),
            "listener.security.protocol.map": ",".join(names),
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.directory / "data"),
            "num.partitions": "4",
            **_SMALL,
            **_copies(place.copies),
            **{
                f"listener.name.{listener.protocol.lower()}.{key}": value
                for listener in self.listeners
                for key, value in listener.properties.items()
            },
        }


# Groups form at once; a node that was killed waits for the end of its old session before it opens
# its ports again, by default 9 s. Transactions that time out are looked for each 10 s by default;
# more often than once in such a session, a node that has just come back would skip their ends.
_SMALL = {
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.num.partitions": "5",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "4000",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}


def _copies(count: int) -> dict[str, str]:
    """How many nodes keep what is written, and how many of them it has to be on."""
    enough = str(max(1, count - 1))
    return {
        "default.replication.factor": str(count),
        "min.insync.replicas": enough,
        "offsets.topic.replication.factor": str(count),
        "transaction.state.log.replication.factor": str(count),
        "transaction.state.log.min.isr": enough,
        "share.coordinator.state.topic.replication.factor": str(count),
        "share.coordinator.state.topic.min.isr": enough,
    }


def _accepts(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1.0)
        return sock.connect_ex((HOST, port)) == 0


def _tail(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run a node in the foreground."""
    parser = argparse.ArgumentParser(description=f"Apache Kafka {VERSION} on loopback.")
    parser.add_argument("--port", type=int, default=9092, help="0 takes a free one")
    parser.add_argument("--directory", type=Path, help="keep the data there; else it is temporary")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="kafka-") as scratch:
        broker = Broker(chosen.directory or Path(scratch), port=chosen.port)
        try:
            broker.start()
            print(f"Kafka {VERSION} on {broker.address}, process {broker.pid}; Ctrl-C ends it")
            sys.stdout.flush()
            return broker.wait()
        except BrokerError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0
        finally:
            broker.stop()


if __name__ == "__main__":
    sys.exit(main())
