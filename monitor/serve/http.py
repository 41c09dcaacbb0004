"""The HTTP server: `/metrics`, health, the API and the operator page, in a thread of its own.

It only reads what the loop published, so nothing a client does can change a result.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from types import TracebackType
from typing import Self

import structlog
import uvicorn
from starlette.types import ASGIApp

from monitor.errors import ServeError
from monitor.serve.app import application
from monitor.serve.door import Door, Loop, listen, patient
from monitor.serve.encryption import encryption, identify
from monitor.serve.guard import MOST_HEADER_BYTES
from monitor.serve.readiness import Expected
from monitor.serve.refusals import Refusals
from monitor.serving import ServeConfig, Tls
from monitor.types import Clock
from monitor.view import Publisher

RENEW_SECONDS = 60
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}

log = structlog.get_logger("monitor")


class Server:
    """Serves a View from `start` to `stop`; also a context manager.

    Raises ServeError on `start` where the address cannot be listened on or the certificate cannot
    be used.
    """

    def __init__(
        self,
        view: Publisher,
        settings: ServeConfig,
        expected: Expected | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._settings = settings
        self._refusals = Refusals()
        self._app = application(view, settings, expected or Expected(), clock, self._refusals)
        self._server: uvicorn.Server | None = None
        self._door: Door | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Take the port, then answer from a thread; returns at once."""
        settings = self._settings
        context = encryption(settings.tls) if settings.tls else None
        self._door = listen(settings.address, settings.port)
        self._door.admit(settings.limits, self._refusals)
        if settings.login and not (settings.tls or settings.loopback):
            log.warning("passwords_unencrypted", address=settings.address, missing="serve.tls")
        self._server = uvicorn.Server(_configured(self._app, settings, context))
        self._thread = threading.Thread(
            target=_run, args=[self._server, self._door], name="monitor-http", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finish the answers under way, within about a second, and free the port."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        if self._door is not None:
            self._door.close()

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it, `http://127.0.0.1:9464`."""
        if self._door is None:
            raise RuntimeError("the server has no url before start()")
        scheme = "https" if self._settings.tls else "http"
        host, port = self._door.getsockname()[:2]
        host = WILDCARDS.get(host, host)
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _run(server: uvicorn.Server, door: Door) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(server.serve(sockets=[door]))


def _configured(
    app: ASGIApp, settings: ServeConfig, context: ssl.SSLContext | None
) -> uvicorn.Config:
    """No access log, no signal handlers, no protocol that is not needed."""

    async def renew() -> None:
        if context and settings.tls:
            _renew(context, settings.tls)

    return uvicorn.Config(
        app,
        http=patient(settings.limits.timeout),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        # A warning for every malformed request would let anybody fill the log.
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.proxies,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        timeout_graceful_shutdown=1,
        ssl_context_factory=(lambda *_: context) if context else None,
        callback_notify=renew,
        timeout_notify=RENEW_SECONDS,
    )


def _renew(context: ssl.SSLContext, settings: Tls) -> None:
    """A certificate that was renewed is shown without a restart."""
    try:
        # Elsewhere first: half a renewal would leave the context with nothing to show.
        identify(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)
        identify(context, settings)
    except ServeError as error:
        log.warning("certificate_not_renewed", error=str(error))
