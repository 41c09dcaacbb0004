"""Whether a broker can be reached, and if not, the true reason in one line.

kafka-python reports every failed start as "Unable to bootstrap", after half a minute and dozens of
log lines, and drops an answer that comes together with the end of the connection, as a refusal
does. So before a client is made, each address is asked here over a plain blocking socket, step by
step: connect, encrypt, log in, answer. The step that fails tells what is wrong.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

from kafka import errors
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from monitor.connect.kafka.client import encryption, login, said
from monitor.connections import Kafka, Security
from monitor.errors import SinkError, SourceError

PATIENCE = 5.0
_ATTEMPT = 3.0
_PAUSE = 0.2


class _Refusal(Exception):
    """Why an address is of no use; `final` if asking again cannot help."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def reach(
    settings: Kafka,
    *,
    patience: float = PATIENCE,
    error: type[SourceError] | type[SinkError] = SourceError,
) -> None:
    """Return once one of the addresses has let us in and answered.

    Waits `patience` seconds for a broker that is not there yet, but not for one that refuses us.
    Raises `error`, one line with each address and its reason, or ConfigError for a file.
    """
    context = encryption(settings.security)
    until = time.monotonic() + patience
    reasons: dict[str, str] = {}
    while True:
        for address in settings.bootstrap:
            try:
                return _ask(settings, address, context)
            except _Refusal as refusal:
                reasons[address] = f"Kafka at {address} {refusal}"
                if refusal.final:
                    raise error(reasons[address]) from None
        if time.monotonic() > until:
            raise error("; ".join(reasons.values()), retriable=True)
        time.sleep(_PAUSE)


def _ask(settings: Kafka, address: str, context: ssl.SSLContext | None) -> None:
    """All the steps with one address."""
    security = settings.security
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    with _connected(host, int(port)) as plain, _encrypted(plain, host, context, security) as sock:
        broker = _Conversation(sock, settings.client_id)
        _first_answer(broker, security)
        if security.protocol.startswith("SASL"):
            _log_in(broker, security, host)
        _second_answer(broker, security)


def _connected(host: str, port: int) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout=_ATTEMPT)
    except socket.gaierror:
        raise _Refusal("cannot be reached: the name does not resolve") from None
    except TimeoutError:
        raise _Refusal(f"cannot be reached: no answer within {_ATTEMPT:g} s") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise _Refusal(f"cannot be reached: {why}") from None


def _encrypted(
    plain: socket.socket, host: str, context: ssl.SSLContext | None, security: Security
) -> socket.socket:
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        why = f"CERTIFICATE_VERIFY_FAILED, {error.verify_message}"
        ca = security.ca or "not given: the system's authorities"
        raise _Refusal(f"is not trusted: {why}; security.ca is {ca}", final=True) from None
    except TimeoutError:
        raise _Refusal(f"does not answer within {_ATTEMPT:g} s") from None
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            raise _certificate_refused(error, security) from None
        raise _Refusal(
            f"does not speak TLS on this port; {_protocol(security)}", final=True
        ) from None
    except OSError as error:
        raise _Refusal(f"hangs up during the TLS handshake: {error.strerror}") from None


def _first_answer(broker: _Conversation, security: Security) -> None:
    """Every broker answers this one, also before a login."""
    try:
        broker.ask(ApiVersionsRequest(version=0))
    except ssl.SSLError as error:
        # With TLS 1.3 a server looks at the client's certificate after the handshake.
        raise _certificate_refused(error, security) from None
    except TimeoutError:
        raise _Refusal(f"does not answer within {_ATTEMPT:g} s") from None
    except (OSError, errors.KafkaError):
        raise _Refusal(f"does not speak Kafka like this; {_protocol(security)}") from None


def _log_in(broker: _Conversation, security: Security, host: str) -> None:
    try:
        offer = broker.ask(SaslHandshakeRequest(version=1, mechanism=security.mechanism))
        failed = errors.for_code(offer.error_code)
        if failed is errors.IllegalSaslStateError:
            raise _Refusal(f"has no login on this port; {_protocol(security)}", final=True)
        if security.mechanism not in offer.mechanisms:
            choices = ", ".join(offer.mechanisms)
            why = f"does not offer security.mechanism {security.mechanism}; it offers {choices}"
            raise _Refusal(why, final=True)
        _authenticate(broker, security, host)
    except (OSError, errors.KafkaError) as error:
        raise _Refusal(f"breaks off the login of {security.username!r}: {said(error)}") from None


def _authenticate(broker: _Conversation, security: Security, host: str) -> None:
    mechanism = get_sasl_mechanism(security.mechanism)(host=host, **login(security))
    while not mechanism.is_done():
        answer = broker.ask(SaslAuthenticateRequest(mechanism.auth_bytes(), version=1))
        if answer.error_code:
            name = errors.for_code(answer.error_code).__name__
            why = f"refuses the login of {security.username!r} with {security.mechanism}"
            raise _Refusal(f"{why}: {name}, {answer.error_message}", final=True)
        try:
            mechanism.receive(answer.auth_bytes)
        except ValueError as error:
            raise _Refusal(f"does not know the password itself: {error}", final=True) from None


def _second_answer(broker: _Conversation, security: Security) -> None:
    """A broker that wants a login hangs up on this one."""
    try:
        broker.ask(MetadataRequest(version=1, topics=[]))
    except (OSError, errors.KafkaError):
        raise _Refusal(f"hangs up; it may want a login: {_protocol(security)}") from None


def _certificate_refused(error: ssl.SSLError, security: Security) -> _Refusal:
    given = security.certificate or "not given"
    why = f"refuses the client certificate: {error.reason}; security.certificate is {given}"
    return _Refusal(why, final=True)


def _protocol(security: Security) -> str:
    others = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"} - {security.protocol}
    return f"security.protocol is {security.protocol}, others are {', '.join(sorted(others))}"


class _Conversation:
    """One request, one answer, over a blocking socket."""

    def __init__(self, sock: socket.socket, client_id: str) -> None:
        self._sock = sock
        self._protocol = KafkaProtocol(client_id=client_id)

    def ask(self, request: Any) -> Any:
        """Send a request and wait for its answer."""
        self._protocol.send_request(request)
        self._sock.sendall(self._protocol.send_bytes())
        while True:
            received = self._sock.recv(65536)
            if not received:
                raise ConnectionResetError("the broker has closed the connection")
            for _, answer in self._protocol.receive_bytes(received):
                return answer
