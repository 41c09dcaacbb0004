"""The HTTP API in process: what a client can put into an address and a header."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote

from monitor.serve.app import application
from monitor.serve.readiness import Expected
from monitor.serve.refusals import Refusals
from monitor.serving import ServeConfig
from tests.fuzz.documents import TEXTS
from tests.fuzz.draws import Draws
from tests.fuzz.target import ACCEPTED, demand
from tests.served import NOW, fleet

_PATHS = (
    "/api/v1/sensors", "/api/v1/sensors/vibration/pump-07", "/api/v1/alerts", "/api/v1/status",
    "/metrics", "/healthz", "/readyz", "/", "/page.js", "/openapi.json", "/nothing",
)  # fmt: skip
_NAMES = ("limit", "offset", "stream", "search", "sort", "state", "x", "")
_HEADS = (
    "host",
    "authorization",
    "content-length",
    "transfer-encoding",
    "accept",
    "cookie",
    "x-forwarded-for",
)


class Requests:
    """Two lines: path and query as they stand in a request; further lines are headers."""

    name = "HTTP requests"
    words = (
        b"%00", b"%ff", b"%ed%a0%80", b"%2e%2e/", b"../", b"//", b"?", b"&", b"=", b"limit=",
        b"1e9", b"-1", b"9" * 40, b"9" * 4400, b"search=", b"sort=score", b"state=all", b"%",
        b"%zz", b";", b"[]", b"true", b"nan", b"\xff", b"authorization: Basic ", b"host: evil",
        b"content-length: 5", b"\n", b"[::1]", b"%c3%bf", b"a" * 5000,
    )  # fmt: skip
    longest = 20_000

    def __init__(self) -> None:
        view = fleet()
        settings = ServeConfig.model_validate(
            {"port": 0, "limits": {"requests_per_second": 1_000_000, "burst": 1_000_000}}
        )
        self._app = application(lambda: view, settings, Expected(models=2), lambda: NOW, Refusals())

    def sound(self, draws: Draws) -> bytes:
        path = draws.one(_PATHS)
        if draws.chance(0.2):
            path += "/" + quote(draws.one(TEXTS), safe="/")
        values = (*TEXTS, "10", "-1", "100000", "score", "all", "vibration")
        query = "&".join(
            f"{draws.one(_NAMES)}={quote(draws.one(values))}" for _ in range(draws.below(4))
        )
        heads = [f"{draws.one(_HEADS)}: {draws.one(TEXTS)}" for _ in range(draws.below(2))]
        return "\n".join([path, query, *heads]).encode()

    def run(self, payload: bytes) -> str:
        path, query, *heads = [*payload.split(b"\n"), b"", b""]
        status, body = asyncio.run(self._answer(path, query, heads))
        demand(status < 500, f"an answer, not {status}")
        if status >= 400 and body.startswith(b"{"):
            demand(len(body) < 64_000, "an answer of bounded size")
            demand(isinstance(json.loads(body)["detail"], str), "a sentence")
        return ACCEPTED if status < 400 else str(status)

    async def _answer(self, path: bytes, query: bytes, heads: Sequence[bytes]) -> tuple[int, bytes]:
        """What the server makes of it: as uvicorn calls an application."""
        raw = path.replace(b" ", b"").partition(b"?")[0] or b"/"
        headers = [
            tuple(part.strip() for part in h.lower().split(b":", 1)) for h in heads if b":" in h
        ]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": unquote(raw.decode("latin-1")),
            "raw_path": raw,
            "query_string": query.replace(b" ", b""),
            "root_path": "",
            "headers": [(b"host", b"localhost"), *headers],
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 80),
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])
