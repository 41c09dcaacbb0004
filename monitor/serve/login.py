"""Who a client is, by its `Authorization` header, and what that opens.

A password is tried against its hash once in a while and known for some minutes after that, as a
digest under a key that only this process has. Each trial costs tenths of a second of one core, so
they are made one after the other, not often, and with the interpreter's lock released: the loop
that scores goes on.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from enum import IntEnum
from typing import NamedTuple

import structlog

from monitor import passwords
from monitor.passwords import PasswordHash
from monitor.serve.allowance import Allowances
from monitor.serving import Credentials, Login
from monitor.types import Clock

KNOWN_SECONDS = 600.0
# Wrong attempts of one client, and trials of passwords for all clients together.
ATTEMPTS_PER_SECOND, ATTEMPTS_AT_ONCE = 0.2, 10
TRIALS_PER_SECOND, TRIALS_AT_ONCE = 5.0, 20
REALM = 'realm="monitor"'

log = structlog.get_logger("monitor")


class Grant(IntEnum):
    """What credentials open; each opens what the ones before it do."""

    NOTHING = 0
    METRICS = 1
    EVERYTHING = 2


class TooManyAttemptsError(Exception):
    """Nothing was tried: come back in `wait` seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait


class _User(NamedTuple):
    password: PasswordHash
    grant: Grant


class Doorkeeper:
    """Knows all users and tokens; one for each server, used from its thread."""

    def __init__(self, login: Login, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._users: dict[str, _User] = {}
        self._tokens: list[tuple[bytes, Grant]] = []
        self._enter(login.metrics, Grant.METRICS)
        self._enter(login, Grant.EVERYTHING)
        self._key = secrets.token_bytes(32)
        self._known: dict[str, tuple[bytes, float]] = {}
        self._attempts = Allowances(ATTEMPTS_PER_SECOND, ATTEMPTS_AT_ONCE, clock)
        self._trials = Allowances(TRIALS_PER_SECOND, TRIALS_AT_ONCE, clock)
        self._one_by_one = asyncio.Lock()
        # Tried in place of the password of a user that is not there, so that this takes as long.
        nobody = passwords.hash_password(secrets.token_hex(16), self._dearest())
        self._nobody = _User(nobody, Grant.NOTHING)

    def _enter(self, credentials: Credentials, grant: Grant) -> None:
        for name, secret in credentials.users.items():
            self._users[name] = _User(passwords.parse(secret.get_secret_value()), grant)
        for token in credentials.tokens.values():
            self._tokens.append((_digest(token.get_secret_value()), grant))

    def _dearest(self) -> passwords.Cost:
        costs = [user.password.cost for user in self._users.values()]
        return max(costs, key=lambda cost: cost.memory * cost.p, default=passwords.Cost(ln=10))

    def challenges(self, wanted: Grant) -> list[str]:
        """What `WWW-Authenticate` offers for this much."""
        users = any(user.grant >= wanted for user in self._users.values())
        tokens = any(grant >= wanted for _, grant in self._tokens)
        return [f'Basic {REALM}, charset="UTF-8"'] * users + [f"Bearer {REALM}"] * tokens

    async def grant(self, authorization: str, client: str) -> Grant:
        """What this header opens. Raises TooManyAttemptsError where too many were wrong."""
        scheme, _, given = authorization.strip().partition(" ")
        if scheme.lower() == "bearer":
            found = self._of_token(given.strip())
            return found or self._refused(client, "bearer")
        name, password = _name_and_password(given) if scheme.lower() == "basic" else ("", "")
        if not name:
            return Grant.NOTHING
        if self._knows(name, password):
            return self._users[name].grant
        async with self._one_by_one:
            return await self._tried(name, password, client)

    def _of_token(self, token: str) -> Grant:
        digest = _digest(token)
        found = [grant for known, grant in self._tokens if hmac.compare_digest(known, digest)]
        return max(found, default=Grant.NOTHING)

    async def _tried(self, name: str, password: str, client: str) -> Grant:
        """Others may have waited for the same."""
        if self._knows(name, password):
            return self._users[name].grant
        wait = self._attempts.wait(client) or self._trials.take("")
        if wait:
            raise TooManyAttemptsError(wait)
        user = self._users.get(name, self._nobody)
        right = await asyncio.to_thread(user.password.matches, password)
        if not right or user is self._nobody:
            return self._refused(client, name if name in self._users else "unknown")
        self._known[name] = (self._mark(name, password), self._clock() + KNOWN_SECONDS)
        return user.grant

    def _refused(self, client: str, who: str) -> Grant:
        # What is not the name of a user is not logged: people type passwords there.
        wait = self._attempts.take(client)
        if wait:
            raise TooManyAttemptsError(wait)
        log.warning("login_refused", client=client, user=who)
        return Grant.NOTHING

    def _knows(self, name: str, password: str) -> bool:
        mark, until = self._known.get(name, (b"", 0.0))
        fresh = self._clock() < until
        return hmac.compare_digest(mark, self._mark(name, password)) and fresh

    def _mark(self, name: str, password: str) -> bytes:
        text = f"{name}:{password}".encode(errors="surrogatepass")
        return hmac.digest(self._key, text, "sha256")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _name_and_password(given: str) -> tuple[str, str]:
    """Empty ones where it is not what RFC 7617 says."""
    try:
        name, colon, password = base64.b64decode(given, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (name, password) if colon else ("", "")
