"""What keeps us out of a secured cluster, as the command line tells it: one line, the true reason,
within ten seconds, and no secret in it.
"""

from __future__ import annotations

import gc
import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import pytest

from simulators.__main__ import run as play
from tests.kafka.broker import Node
from tests.kafka.processes import told
from tests.kafka.tokens import token
from tests.kafka.ways import USER, Section, section, way_in
from tests.terminal import Outcome, command, plant, written

pytestmark = pytest.mark.kafka

WRONG = "wr0ng-s3cret"
CASES: dict[str, tuple[Callable[[Node, Path], Section], str]] = {}


def case(told_of: str) -> Callable[[Callable[[Node, Path], Section]], None]:
    """A way that does not lead in, and what is said of it."""

    def add(make: Callable[[Node, Path], Section]) -> None:
        CASES[make.__name__] = (make, told_of)

    return add


def changed(way: Section, **security: Any) -> Section:
    return {**way, "security": {**way["security"], **security}}


@case("is not trusted: CERTIFICATE_VERIFY_FAILED, ")
def an_authority_that_did_not_sign(broker: Node, folder: Path) -> Section:
    return changed(way_in("PLAIN", broker, folder), ca=str(broker.certificates.stranger))


@case("Hostname mismatch, certificate is not valid for 'localhost'")
def a_name_that_is_not_in_the_certificate(broker: Node, folder: Path) -> Section:
    way = way_in("PLAIN", broker, folder)
    return {**way, "bootstrap": [way["bootstrap"][0].replace("127.0.0.1", "localhost")]}


@case(f"refuses the login of '{USER}' with SCRAM-SHA-512: SaslAuthenticationFailedError, ")
def a_wrong_password(broker: Node, folder: Path) -> Section:
    way = way_in("SCRAM-SHA-512", broker, folder)
    (folder / "password").write_text(WRONG)
    return way


@case("refuses the client certificate: ")
def no_client_certificate(broker: Node, folder: Path) -> Section:
    authority = str(broker.certificates.authority)
    return section(broker, {"protocol": "SSL", "ca": authority})


@case("does not speak Kafka like this; security.protocol is PLAINTEXT, others are ")
def plain_text_to_a_port_with_tls(broker: Node, folder: Path) -> Section:
    return {"bootstrap": [broker.addresses["SASL_SSL"]]}


@case("does not speak TLS on this port; security.protocol is SSL, others are ")
def tls_to_a_plain_port(broker: Node, folder: Path) -> Section:
    return {**way_in("mTLS", broker, folder), "bootstrap": [broker.address]}


@case("security.mechanism SCRAM-SHA-256; it offers PLAIN, SCRAM-SHA-512")
def a_mechanism_that_is_not_offered(broker: Node, folder: Path) -> Section:
    login = {"mechanism": "SCRAM-SHA-256", "username": USER, "password": WRONG}
    return section(broker, {"protocol": "SASL_PLAINTEXT", **login})


@case(" has expired at ")
def a_token_that_has_expired(broker: Node, folder: Path) -> Section:
    way = way_in("OAUTHBEARER", broker, folder)
    (folder / "token").write_text(token(broker.certificates.issuer, -60.0))
    return way


@case(" with OAUTHBEARER: SaslAuthenticationFailedError, ")
def a_token_that_nobody_signed(broker: Node, folder: Path) -> Section:
    way = way_in("OAUTHBEARER", broker, folder)
    (folder / "token").write_text(WRONG)
    return way


@case("/token cannot be reached: connection refused")
def an_endpoint_out_of_reach(broker: Node, folder: Path) -> Section:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    authority = str(broker.certificates.authority)
    url = f"http://127.0.0.1:{port}/token"
    oauth = {"token_url": url, "client_id": "m", "client_secret": WRONG}
    login = {"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER", "ca": authority}
    return section(broker, {**login, "oauth": oauth})


def config(folder: Path, way: Section) -> Path:
    window = {"length": "1s", "rate": 16, "channels": ["x"]}
    stream = {"topics": ["plant"], "window": window, "models": [{"use": ["online_iforest"]}]}
    settings = plant(folder, source={"kafka": way}, streams={"pumps": stream}, serve=None)
    return written(folder / "plant.yaml", settings)


def refusal(found: Outcome) -> str:
    """The one line."""
    assert found.code == 1, found.err
    (line,) = found.err.splitlines()
    assert line.startswith(("error: Kafka at ", "error: no token for Kafka at "))
    for secret in (WRONG, "right-password", "eyJ"):
        assert secret not in found.err + found.out
    return line


@contextmanager
def in_time() -> Iterator[None]:
    """Ten seconds are promised; the rest is what loading may take on a machine that is busy."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 10 + 20


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A live process in this one keeps its hands off signals and memory."""
    monkeypatch.setattr("monitor.process.signal.signal", lambda *_: None)
    yield
    gc.unfreeze()


@pytest.mark.parametrize("name", CASES)
def test_check_tells_why_the_cluster_keeps_us_out(name: str, broker: Node, tmp_path: Path) -> None:
    make, told_of = CASES[name]
    file = config(tmp_path, make(broker, tmp_path))
    with in_time():
        line = refusal(command("check", "--connect", file))
    assert told_of in line


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", CASES)
def test_run_ends_with_the_same_words(name: str, broker: Node, tmp_path: Path) -> None:
    make, told_of = CASES[name]
    file = config(tmp_path, make(broker, tmp_path))
    with in_time():
        line = refusal(command("run", file))
    assert told_of in line


@pytest.mark.parametrize("name", ["a_wrong_password", "a_token_that_has_expired"])
def test_the_player_ends_with_the_same_words(
    name: str, broker: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, told_of = CASES[name]
    file = str(config(tmp_path, make(broker, tmp_path)))
    words = ["simulators", "machines", "--topic", "t", "--faults", "0", "--config", file]
    monkeypatch.setattr("sys.argv", words)
    err = io.StringIO()
    with in_time(), redirect_stderr(err), pytest.raises(SystemExit) as end:
        play()
    assert told_of in refusal(Outcome(int(str(end.value.code)), "", err.getvalue()))


def test_a_real_process_ends_with_the_same_line(broker: Node, tmp_path: Path) -> None:
    make, told_of = CASES["a_wrong_password"]
    done = told("run", config(tmp_path, make(broker, tmp_path)), folder=tmp_path)
    assert told_of in refusal(Outcome(done.returncode, done.stdout, done.stderr))
