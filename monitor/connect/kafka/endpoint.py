"""Asking a token endpoint with the client's own credentials (OAuth 2, RFC 6749, section 4.4)."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote_plus, urlencode
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from monitor.connections import OAuth

TIMEOUT = 4.0
_MOST_BYTES = 256 * 1024


class Refused(Exception):
    """Why there is no token, in one line without secrets; `passing` if it may be over soon."""

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


class Answer(NamedTuple):
    """A token as it was given, and for how many seconds if that was said; `source` is the URL."""

    token: str
    lifetime: float | None
    source: str


class _NoRedirect(HTTPRedirectHandler):
    """The secret is for this endpoint and no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


def ask(oauth: OAuth, context: ssl.SSLContext) -> Answer:
    """One request, one token; `context` says whom to trust. Raises Refused."""
    assert oauth.token_url, "the section has been checked"
    source = oauth.source
    # What goes to this machine without encryption must not go through a proxy.
    proxies = ProxyHandler({} if source.startswith("http:") else None)
    opener = build_opener(_NoRedirect, HTTPSHandler(context=context), proxies)
    try:
        with opener.open(_request(oauth, oauth.token_url), timeout=TIMEOUT) as response:
            body = response.read(_MOST_BYTES)
    except HTTPError as error:
        with error:
            raise _denied(error, source, oauth) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Refused(f"{source} {_why_not(error, oauth)}", passing=True) from None
    return _parsed(body, source)


def _request(oauth: OAuth, url: str) -> Request:
    secret = oauth.client_secret.get_secret_value() if oauth.client_secret else ""
    # RFC 6749, 2.3.1: both are form-encoded before they are joined.
    login = f"{quote_plus(oauth.client_id or '')}:{quote_plus(secret)}"
    form = {"grant_type": "client_credentials", **({"scope": oauth.scope} if oauth.scope else {})}
    headers = {
        "Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
        "Accept": "application/json",
    }
    return Request(url, urlencode(form).encode(), headers)


def _denied(error: HTTPError, source: str, oauth: OAuth) -> Refused:
    """What an answer that is no success says; of its body only the error's code (RFC 6749, 5.2)."""
    try:
        body = json.loads(error.read(_MOST_BYTES))
        code = body.get("error") if isinstance(body, dict) else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        code = None
    known = isinstance(code, str) and re.fullmatch(r"\w{1,40}", code)
    why = f"{error.code} {http.client.responses.get(error.code, '')}".strip()
    told = f"{why}, {code}" if known else why
    passing = error.code in (408, 425, 429) or error.code >= 500
    if error.code in (400, 401, 403):
        return Refused(f"{source} refuses client_id {oauth.client_id!r}: {told}")
    return Refused(f"{source} gives no token: {told}", passing=passing)


def _why_not(error: Exception, oauth: OAuth) -> str:
    reason: object = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        ca = oauth.ca or "not given: the system's authorities"
        why = f"CERTIFICATE_VERIFY_FAILED, {reason.verify_message}"
        return f"is not trusted: {why}; oauth.ca is {ca}"
    if isinstance(reason, ssl.SSLError):
        return "does not speak TLS on this port"
    if isinstance(reason, TimeoutError):
        return f"does not answer within {TIMEOUT:g} s"
    if isinstance(reason, http.client.HTTPException):
        return "does not speak HTTP on this port"
    why = str(getattr(reason, "strerror", None) or reason)
    return f"cannot be reached: {why.lower()}"


def _parsed(body: bytes, source: str) -> Answer:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(f"{source} does not answer with JSON") from None
    token = found.get("access_token") if isinstance(found, dict) else None
    if not isinstance(token, str):
        raise Refused(f"{source} answers without an access_token")
    kind = str(found.get("token_type", "bearer")).lower()
    if kind != "bearer":
        raise Refused(f"{source} gives a token that is not of the type Bearer")
    return Answer(token, _seconds(found.get("expires_in")), source)


def _seconds(value: object) -> float | None:
    """`expires_in`, which some servers write as text."""
    try:
        lifetime = float(value) if isinstance(value, int | float | str) else 0.0
    except (ValueError, OverflowError):
        return None
    return lifetime if 0 < lifetime < float("inf") else None
