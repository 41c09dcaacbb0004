"""Bearer tokens for SASL/OAUTHBEARER: from a file, or from an OAuth 2 token endpoint.

kafka-python asks for a token at every login, and again shortly before the one that a broker has
seen expires. No message and no log line from here shows a token or a secret.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import structlog
from kafka import errors
from kafka.net.sasl.oauth import AbstractTokenProvider

from monitor.connect.kafka.endpoint import TIMEOUT, Refused, ask
from monitor.connect.kafka.trust import trusting
from monitor.connections import OAuth

log = structlog.get_logger("monitor")

MOST_CHARACTERS = 64 * 1024
_PAUSE = 1.0
_FRESH = 0.8
_LAST = datetime.max.replace(tzinfo=UTC).timestamp()
# RFC 6750, section 2.1; anything else would also break SASL's own framing.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class TokenError(errors.KafkaConnectionError):  # type: ignore[misc]
    """No token can be had. `lasting` if asking again at once cannot help."""

    def __init__(self, reason: str, *, lasting: bool = True) -> None:
        super().__init__(reason)
        self.lasting = lasting


class Token(NamedTuple):
    """A token; from `renew` on a newer one is wanted, and from `expires` on needed (s, epoch)."""

    text: str
    renew: float
    expires: float


@lru_cache(maxsize=64)
def provider(oauth: OAuth) -> AbstractTokenProvider:
    """The tokens of a section: one provider, and so one token, for all clients of a process.

    Raises ConfigError where `ca` cannot be used.
    """
    if oauth.token_file:
        return FileTokens(oauth.token_file)
    context = trusting("security.oauth.ca", oauth.ca)
    return EndpointTokens(lambda: _granted(oauth, context))


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]
    """The token that stands in a file at the moment of asking; others renew it there."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def token(self) -> str:
        """Read the file. Raises TokenError where it holds no token that is still valid."""
        try:
            with self._path.open("rb") as file:
                text = file.read(MOST_CHARACTERS + 1).decode().strip()
        except UnicodeDecodeError:
            raise TokenError(f"{self._path} holds no bearer token") from None
        except OSError as error:
            raise TokenError(f"{self._path} cannot be read: {error.strerror}") from None
        _check(text, str(self._path))
        expires = expiry(text)
        if expires is not None and expires <= time.time():
            when = datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds")
            raise TokenError(f"the token in {self._path} has expired at {when}")
        return text


class EndpointTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens that `grant` gives; one serves until four fifths of its time are over.

    Then the next is asked for in the background, so that the client's thread, which heartbeats
    too, need not wait. A failure is told in the log, and matters once the old one has expired.
    """

    def __init__(self, grant: Callable[[], Token]) -> None:
        super().__init__()
        self._grant = grant
        self._lock = threading.Lock()
        self._current: Token | None = None
        self._failure: TokenError | None = None
        self._tried = float("-inf")
        self._asking: threading.Thread | None = None

    def token(self) -> str:
        """The current token, or the next, which is waited for. Raises TokenError."""
        with self._lock:
            current, now = self._current, time.time()
            if current is None or now >= current.renew:
                asking = self._ask_in_background()
        if current is not None and now < current.expires:
            return current.text
        asking.join(TIMEOUT)
        with self._lock:
            if self._current is not None and time.time() < self._current.expires:
                return self._current.text
            if self._failure is not None:
                raise self._failure
        raise TokenError(f"no answer within {TIMEOUT:g} s", lasting=False)

    def _ask_in_background(self) -> threading.Thread:
        """The thread that is asking, or has just asked in vain; called with the lock held."""
        pausing = self._failure is not None and time.monotonic() < self._tried + _PAUSE
        if self._asking is None or not (self._asking.is_alive() or pausing):
            self._asking = threading.Thread(target=self._renew, name="token", daemon=True)
            self._asking.start()
        return self._asking

    def _renew(self) -> None:
        try:
            granted, failure = self._grant(), None
        except TokenError as error:
            granted, failure = None, error
        with self._lock:
            if failure and self._current:  # the first one's failure is told by who asks
                log.warning("token_unavailable", reason=str(failure.args[0]))
            self._current = granted or self._current
            self._failure, self._tried = failure, time.monotonic()


def _granted(oauth: OAuth, context: ssl.SSLContext) -> Token:
    """Ask the endpoint once. Raises TokenError."""
    try:
        answer = ask(oauth, context)
    except Refused as refused:
        raise TokenError(str(refused), lasting=not refused.passing) from None
    source = f"the answer of {answer.source}"
    _check(answer.token, source)
    now = time.time()
    expires = expiry(answer.token) if answer.lifetime is None else now + answer.lifetime
    if expires is None:
        return Token(answer.token, now + _PAUSE, now + _PAUSE)
    if expires <= now:
        raise TokenError(f"the token in {source} has expired already; compare the clocks")
    return Token(answer.token, now + _FRESH * (expires - now), expires)


def _check(text: str, source: str) -> None:
    if len(text) > MOST_CHARACTERS or not _TOKEN.fullmatch(text):
        raise TokenError(f"{source} holds no bearer token")


def expiry(token: str) -> float | None:
    """When a JSON Web Token expires, s since the epoch; None for other tokens (RFC 7519, 4.1.4)."""
    _, _, rest = token.partition(".")
    claims, _, _ = rest.partition(".")
    try:
        found = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        expires = float(found["exp"])
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None
    return expires if 0 < expires < _LAST else None
