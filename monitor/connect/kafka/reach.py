"""Whether a broker can be reached, and if not, the true reason in one line.

kafka-python reports every failed start as "Unable to bootstrap", after half a minute and dozens of
log lines, and drops an answer that comes together with the end of the connection, as a refusal
does. So before a client is made, each address is asked here over a plain blocking socket, step by
step: connect, encrypt, log in, answer. The step that fails tells what is wrong.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any

from kafka import errors
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from monitor.connect.kafka.client import encryption, login, said
from monitor.connect.kafka.tokens import TokenError, provider
from monitor.connections import Kafka, Security
from monitor.errors import SinkError, SourceError

PATIENCE = 5.0
_ATTEMPT = 3.0
# With many addresses each gets less, so that PATIENCE and a last round stay below 10 s.
_ROUND = 4.5
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
    _obtain(settings, until, error)
    limit = min(_ATTEMPT, _ROUND / len(settings.bootstrap))
    reasons: dict[str, str] = {}
    while True:
        for address in settings.bootstrap:
            try:
                return _ask(_Attempt.at(address, settings, limit), context)
            except _Refusal as refusal:
                reasons[address] = f"Kafka at {address} {refusal}"
                if refusal.final:
                    raise error(reasons[address]) from None
        if time.monotonic() > until:
            raise error("; ".join(reasons.values()), retriable=True)
        time.sleep(_PAUSE)


def _obtain(settings: Kafka, until: float, error: type[SourceError] | type[SinkError]) -> None:
    """Have the token ready, if it takes one: that it cannot be had is no broker's fault."""
    if settings.security.oauth is None:
        return
    tokens = provider(settings.security.oauth)
    while True:
        try:
            tokens.token()
            return
        except TokenError as failure:
            if failure.lasting or time.monotonic() > until:
                addresses = ", ".join(settings.bootstrap)
                why = f"no token for Kafka at {addresses}: {said(failure)}"
                raise error(why, retriable=not failure.lasting) from None
        time.sleep(_PAUSE)


@dataclass(frozen=True)
class _Attempt:
    """One go at one address, over after `limit` seconds, whatever it waits for."""

    settings: Kafka
    host: str
    port: int
    limit: float
    until: float

    @classmethod
    def at(cls, address: str, settings: Kafka, limit: float) -> _Attempt:
        host, _, port = address.rpartition(":")
        return cls(settings, host.strip("[]"), int(port), limit, time.monotonic() + limit)

    @property
    def left(self) -> float:
        """Seconds; never 0, which would mean not to wait for what is there already."""
        return max(0.01, self.until - time.monotonic())

    @property
    def silence(self) -> _Refusal:
        return _Refusal(f"does not answer within {self.limit:g} s")


def _ask(attempt: _Attempt, context: ssl.SSLContext | None) -> None:
    """All the steps with one address."""
    security = attempt.settings.security
    with _connected(attempt) as plain, _encrypted(plain, attempt, context) as sock:
        broker = _Conversation(sock, attempt)
        _first_answer(broker, attempt)
        if security.logs_in:
            _log_in(broker, attempt)
        _second_answer(broker, security)


def _connected(attempt: _Attempt) -> socket.socket:
    found = _resolved(attempt)
    failure: OSError | None = None
    for number, address in enumerate(found):
        try:
            return socket.create_connection(address, attempt.left / (len(found) - number))
        except OSError as error:
            failure = error
    if failure is None or isinstance(failure, TimeoutError):
        raise _Refusal(f"cannot be reached: no answer within {attempt.limit:g} s")
    raise _Refusal(f"cannot be reached: {(failure.strerror or str(failure)).lower()}")


def _resolved(attempt: _Attempt) -> list[tuple[Any, ...]]:
    """The addresses of a name; asked on another thread, since the system's own time-out is long."""
    found: list[tuple[Any, ...]] = []
    unknown: list[OSError] = []

    def resolve() -> None:
        try:
            infos = socket.getaddrinfo(attempt.host, attempt.port, type=socket.SOCK_STREAM)
            found.extend(info[4][:2] for info in infos)
        except (OSError, UnicodeError) as error:
            unknown.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(attempt.left)
    if unknown:
        raise _Refusal("cannot be reached: the name does not resolve")
    if not found:
        why = f"nobody resolves the name within {attempt.limit:g} s"
        raise _Refusal(f"cannot be reached: {why}")
    return found


def _encrypted(
    plain: socket.socket, attempt: _Attempt, context: ssl.SSLContext | None
) -> socket.socket:
    if context is None:
        return plain
    security = attempt.settings.security
    plain.settimeout(attempt.left)
    try:
        return context.wrap_socket(plain, server_hostname=attempt.host)
    except ssl.SSLCertVerificationError as error:
        why = f"CERTIFICATE_VERIFY_FAILED, {error.verify_message}"
        ca = security.ca or "not given: the system's authorities"
        raise _Refusal(f"is not trusted: {why}; security.ca is {ca}", final=True) from None
    except TimeoutError:
        raise attempt.silence from None
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            raise _certificate_refused(error, security) from None
        raise _Refusal(
            f"does not speak TLS on this port; {_protocol(security)}", final=True
        ) from None
    except OSError as error:
        raise _Refusal(f"hangs up during the TLS handshake: {error.strerror}") from None


def _first_answer(broker: _Conversation, attempt: _Attempt) -> None:
    """Every broker answers this one, also before a login."""
    security = attempt.settings.security
    try:
        broker.ask(ApiVersionsRequest(version=0))
    except ssl.SSLError as error:
        # With TLS 1.3 a server looks at the client's certificate after the handshake.
        raise _certificate_refused(error, security) from None
    except TimeoutError:
        raise attempt.silence from None
    except (OSError, errors.KafkaError):
        raise _Refusal(f"does not speak Kafka like this; {_protocol(security)}") from None


def _log_in(broker: _Conversation, attempt: _Attempt) -> None:
    security = attempt.settings.security
    try:
        offer = broker.ask(SaslHandshakeRequest(version=1, mechanism=security.mechanism))
        failed = errors.for_code(offer.error_code)
        if failed is errors.IllegalSaslStateError:
            raise _Refusal(f"has no login on this port; {_protocol(security)}", final=True)
        if security.mechanism not in offer.mechanisms:
            choices = ", ".join(offer.mechanisms)
            why = f"does not offer security.mechanism {security.mechanism}; it offers {choices}"
            raise _Refusal(why, final=True)
        _authenticate(broker, security, attempt.host)
    except TimeoutError:
        raise attempt.silence from None
    except (OSError, errors.KafkaError) as error:
        raise _Refusal(f"breaks off {_login(security)}: {said(error)}") from None


def _authenticate(broker: _Conversation, security: Security, host: str) -> None:
    mechanism = get_sasl_mechanism(security.mechanism)(host=host, **login(security))
    while not mechanism.is_done():
        answer = broker.ask(SaslAuthenticateRequest(mechanism.auth_bytes(), version=1))
        if answer.error_code:
            name = errors.for_code(answer.error_code).__name__
            why = f"refuses {_login(security)} with {security.mechanism}: {name}"
            raise _Refusal(f"{why}, {answer.error_message}", final=True)
        try:
            mechanism.receive(answer.auth_bytes)
        except ValueError as error:
            raise _Refusal(f"does not know the password itself: {error}", final=True) from None


def _login(security: Security) -> str:
    """What to call it; a token's own name for us stays in the token."""
    if security.oauth:
        return f"the token of {security.oauth.source}"
    return f"the login of {security.username!r}"


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

    def __init__(self, sock: socket.socket, attempt: _Attempt) -> None:
        self._sock, self._attempt = sock, attempt
        self._protocol = KafkaProtocol(client_id=attempt.settings.client_id)

    def ask(self, request: Any) -> Any:
        """Send a request and wait for its answer."""
        self._protocol.send_request(request)
        self._sock.settimeout(self._attempt.left)
        self._sock.sendall(self._protocol.send_bytes())
        while True:
            self._sock.settimeout(self._attempt.left)
            received = self._sock.recv(65536)
            if not received:
                raise ConnectionResetError("the broker has closed the connection")
            for _, answer in self._protocol.receive_bytes(received):
                return answer
