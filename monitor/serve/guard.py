"""What stands before every route: limits, the name in the address, the rate, the login."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.serve.allowance import Allowances, client_key
from monitor.serve.login import Doorkeeper, Grant, TooManyAttemptsError
from monitor.serve.refusals import Reason, Refusals
from monitor.serving import ServeConfig

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HSTS = "max-age=2592000"
MOST_HEADER_BYTES = 16 * 1024
MOST_URL_BYTES = 4096
PROBES = ("/healthz", "/readyz")
# Where a route finds whether the client may see more than it needs: see `trusted`.
_TRUSTED = "monitor.trusted"


class _Refusal(NamedTuple):
    status: int
    reason: Reason
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


def trusted(scope: Scope) -> bool:
    """Whether the client of a request may see everything."""
    return bool(scope.get(_TRUSTED, False))


class Guard:
    """Passes on what is in order, and answers the rest itself; adds the security headers to every
    answer.
    """

    def __init__(self, app: ASGIApp, settings: ServeConfig, refusals: Refusals) -> None:
        self._app = app
        self._settings = settings
        self._refusals = refusals
        limits = settings.limits
        self._rate = Allowances(limits.requests_per_second, limits.burst)
        self._doorkeeper = Doorkeeper(settings.login) if settings.login else None
        self._headers = HEADERS | ({"Strict-Transport-Security": HSTS} if settings.tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
            await send(message)

        refusal = self._too_often(scope) or self._unfit(scope) or await self._stranger(scope)
        if refusal is None:
            await self._app(scope, receive, with_headers)
            return
        self._refusals.count(refusal.reason)
        answer = JSONResponse({"detail": refusal.detail}, refusal.status)
        for name, value in refusal.headers:
            answer.headers.append(name, value)
        await answer(scope, receive, with_headers)

    def _too_often(self, scope: Scope) -> _Refusal | None:
        wait = self._rate.take(_client(scope))
        return _too_many("too many requests", "rate", wait) if wait else None

    def _unfit(self, scope: Scope) -> _Refusal | None:
        """What no client needs to send."""
        headers = Headers(scope=scope)
        # uvicorn limits only what did not come in one piece.
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER_BYTES:
            return _Refusal(431, "size", f"at most {MOST_HEADER_BYTES} bytes of headers", _CLOSE)
        if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_URL_BYTES:
            return _Refusal(414, "size", f"at most {MOST_URL_BYTES} bytes of address", _CLOSE)
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return _Refusal(413, "size", "nothing here takes a body", _CLOSE)
        host = headers.get("host", "")
        if not self._is_ours(host):
            detail = f"this is not {host!r}; serve.hosts names the hosts that it may be called by"
            return _Refusal(421, "host", detail)
        return None

    def _is_ours(self, host: str) -> bool:
        """Against DNS rebinding: a page from elsewhere whose name suddenly means this machine.

        An address cannot be made to mean something else, and where nobody is named, only a server
        on loopback knows what it can be called.
        """
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.removeprefix("[").removesuffix("]").removesuffix(".").lower()
        if name in ("", "localhost", self._settings.address) or _is_address(name):
            return True
        if not self._settings.hosts:
            return not self._settings.loopback
        return any(fnmatchcase(name, host) for host in self._settings.hosts)

    async def _stranger(self, scope: Scope) -> _Refusal | None:
        """None where the client may have what it asks for."""
        if self._doorkeeper is None:
            scope[_TRUSTED] = True
            return None
        wanted = self._wanted(scope["path"])
        authorization = Headers(scope=scope).get("authorization", "")
        grant = Grant.NOTHING
        try:
            if authorization:
                grant = await self._doorkeeper.grant(authorization, _client(scope))
        except TooManyAttemptsError as error:
            if wanted:
                return _too_many("too many attempts to log in", "login", error.wait)
        scope[_TRUSTED] = grant is Grant.EVERYTHING
        if grant >= wanted:
            return None
        if grant:
            return _Refusal(403, "login", "these credentials open /metrics only")
        keeper = self._doorkeeper
        challenges = keeper.challenges(wanted) or keeper.challenges(Grant.METRICS)
        asked = tuple(("WWW-Authenticate", challenge) for challenge in challenges)
        return _Refusal(401, "login", "log in with a user or a token of serve.login", asked)

    def _wanted(self, path: str) -> Grant:
        login = self._settings.login
        if path in PROBES:
            return Grant.METRICS if login and login.probes else Grant.NOTHING
        return Grant.METRICS if path == "/metrics" else Grant.EVERYTHING


_CLOSE = (("Connection", "close"),)


def _too_many(what: str, reason: Reason, wait: float) -> _Refusal:
    seconds = math.ceil(wait)
    detail = f"{what}; again in {seconds} s"
    return _Refusal(429, reason, detail, (("Retry-After", str(seconds)),))


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return client_key(client[0]) if client else ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
