"""Whatever keeps us from a broker is told in one line, with the address and the true reason."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from kafka import KafkaConsumer

from deploy.broker.broker import free_ports
from monitor.connect.kafka.client import connection
from monitor.connect.kafka.delivery import KafkaSink
from monitor.connect.kafka.reach import reach
from monitor.connect.kafka.source import KafkaSource
from monitor.connections import Kafka, KafkaTopics, Security
from monitor.errors import ConfigError, SinkError, SourceError
from monitor.testing import Member
from tests.kafka.broker import PASSWORDS, Node

pytestmark = pytest.mark.kafka

(USER,) = PASSWORDS


def to(address: str, **security: Any) -> Kafka:
    return Kafka(bootstrap=[address], security=Security(**security))


def trust(broker: Node, protocol: str) -> dict[str, Any]:
    """The authority, where there is something to check."""
    return {"ca": broker.certificates.authority} if protocol.endswith("SSL") else {}


def scram(password: str, **more: Any) -> dict[str, Any]:
    chosen = {"protocol": "SASL_PLAINTEXT", "mechanism": "SCRAM-SHA-512", "username": USER}
    return {**chosen, "password": password, **more}


def complaint(settings: Kafka) -> SourceError:
    with pytest.raises(SourceError) as caught:
        reach(settings, patience=0.5)
    text = str(caught.value)
    assert "\n" not in text
    assert all(address in text for address in settings.bootstrap)
    return caught.value


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("tls", [False, True])
def test_the_right_password_gets_in(broker: Node, mechanism: str, tls: bool) -> None:
    protocol = "SASL_SSL" if tls else "SASL_PLAINTEXT"
    more = {"mechanism": mechanism, "protocol": protocol, **trust(broker, protocol)}
    settings = to(broker.addresses[protocol], **scram(PASSWORDS[USER], **more))
    reach(settings)
    consumer = KafkaConsumer(**connection(settings))
    assert isinstance(consumer.topics(), set)
    consumer.close()


def test_the_right_certificate_gets_in(broker: Node) -> None:
    files = {"ca": broker.certificates.authority, "certificate": broker.certificates.client}
    settings = to(broker.addresses["SSL"], protocol="SSL", **files)
    reach(settings)
    consumer = KafkaConsumer(**connection(settings))
    assert isinstance(consumer.topics(), set)
    consumer.close()


def test_one_address_that_answers_is_enough(broker: Node) -> None:
    reach(Kafka(bootstrap=[f"127.0.0.1:{free_ports(1)[0]}", broker.address]))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_wrong_password_is_told(broker: Node, mechanism: str, protocol: str) -> None:
    more = {"mechanism": mechanism, "protocol": protocol, **trust(broker, protocol)}
    error = complaint(to(broker.addresses[protocol], **scram("wrong-secret", **more)))
    assert f"refuses the login of '{USER}' with {mechanism}" in str(error)
    assert "wrong-secret" not in str(error)
    assert not error.retriable


def test_a_mechanism_that_is_not_offered_is_told_with_those_that_are(broker: Node) -> None:
    chosen = scram(PASSWORDS[USER], mechanism="SCRAM-SHA-256")
    error = complaint(to(broker.addresses["SASL_PLAINTEXT"], **chosen))
    assert "SCRAM-SHA-256; it offers PLAIN, SCRAM-SHA-512" in str(error)


def test_a_login_where_there_is_none_is_told(broker: Node) -> None:
    assert "has no login on this port" in str(complaint(to(broker.address, **scram("any"))))


def test_a_missing_login_is_told(broker: Node) -> None:
    assert "may want a login" in str(complaint(to(broker.addresses["SASL_PLAINTEXT"])))


def test_an_authority_that_is_not_trusted_is_told(broker: Node) -> None:
    stranger = broker.certificates.stranger
    error = complaint(to(broker.addresses["SSL"], protocol="SSL", ca=stranger))
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert str(stranger) in str(error)
    assert not error.retriable


def test_a_missing_client_certificate_is_told(broker: Node) -> None:
    ca = broker.certificates.authority
    error = complaint(to(broker.addresses["SSL"], protocol="SSL", ca=ca))
    assert "refuses the client certificate" in str(error)
    assert "security.certificate is not given" in str(error)


def test_plain_text_to_a_tls_port_is_told(broker: Node) -> None:
    error = complaint(to(broker.addresses["SSL"]))
    assert "security.protocol is PLAINTEXT, others are SASL_PLAINTEXT, SASL_SSL, SSL" in str(error)


def test_tls_to_a_plain_port_is_told(broker: Node) -> None:
    settings = to(broker.address, protocol="SSL", ca=broker.certificates.authority)
    assert "does not speak TLS on this port" in str(complaint(settings))


def test_a_closed_port_is_told_and_may_be_tried_again() -> None:
    error = complaint(to(f"127.0.0.1:{free_ports(1)[0]}"))
    assert "connection refused" in str(error)
    assert error.retriable


def test_a_name_that_does_not_resolve_is_told() -> None:
    assert "the name does not resolve" in str(complaint(to("no-such-host.invalid:9092")))


def test_a_port_that_never_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.connect.kafka.reach._ATTEMPT", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error = complaint(to(f"127.0.0.1:{silent.getsockname()[1]}"))
    assert "does not answer within 0.3 s" in str(error)


def test_many_silent_addresses_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.connect.kafka.reach._ROUND", 0.6)
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in silent]
        error = complaint(Kafka(bootstrap=addresses))
    assert str(error).count("does not answer within 0.2 s") == 3


def test_a_broker_that_trickles_has_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.connect.kafka.reach._ATTEMPT", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as slow:
        Thread(target=trickle, args=(slow,), daemon=True).start()
        error = complaint(to(f"127.0.0.1:{slow.getsockname()[1]}"))
    assert "does not answer within 0.4 s" in str(error)


def trickle(server: socket.socket) -> None:
    """Promise an answer of 1000 bytes, and send one byte at a time until nobody listens."""
    while True:
        with suppress(OSError):
            connection, _ = server.accept()
            with connection:
                connection.sendall((1000).to_bytes(4))
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.1)
        if server.fileno() < 0:
            return


def test_names_that_nobody_resolves_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Event()
    monkeypatch.setattr("monitor.connect.kafka.reach._ATTEMPT", 0.3)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answer.wait(30) and [])
    error = complaint(to("broker.example:9092"))
    answer.set()
    assert "nobody resolves the name within 0.3 s" in str(error)
    assert error.retriable


def test_every_address_is_told_with_its_own_reason() -> None:
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    error = complaint(Kafka(bootstrap=[closed, "no-such-host.invalid:1"]))
    assert str(error).count("cannot be reached") == 2


@pytest.mark.parametrize("name", ["ca", "certificate"])
def test_a_file_that_is_missing_is_a_mistake_in_the_configuration(name: str) -> None:
    settings = to("127.0.0.1:1", protocol="SSL", **{name: Path("/no/such.pem")})
    with pytest.raises(ConfigError, match=rf"security\.{name}: /no/such\.pem .*No such file"):
        reach(settings)


def test_a_file_that_is_no_certificate_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "text.pem"
    file.write_text("hello")
    with pytest.raises(ConfigError, match=r"security\.ca: .*text\.pem is not a usable PEM file"):
        reach(to("127.0.0.1:1", protocol="SSL", ca=file))


def test_source_and_sink_tell_the_reason_each_in_its_own_error(broker: Node) -> None:
    settings = to(broker.addresses["SASL_PLAINTEXT"], **scram("wrong"))
    with pytest.raises(SourceError, match="refuses the login"):
        Member(KafkaSource(settings, ["any"])).start()
    with pytest.raises(SinkError, match="refuses the login"):
        KafkaSink(settings, KafkaTopics())


def test_the_password_is_in_no_text_about_the_settings() -> None:
    settings = to("127.0.0.1:1", **scram("very-secret"))
    assert "very-secret" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    assert connection(settings)["sasl_plain_password"] == "very-secret"
