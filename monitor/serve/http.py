"""The HTTP server: `/metrics`, health, the API and the operator page, in a thread of its own.

It only reads what the loop published, so nothing a client does can change a result.
"""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn

from monitor.errors import ServeError
from monitor.serve.app import application
from monitor.serve.readiness import Expected
from monitor.settings import ServeConfig
from monitor.types import Clock
from monitor.view import Publisher

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Server:
    """Serves a View from `start` to `stop`; also a context manager.

    Raises ServeError on `start` where the address cannot be listened on.
    """

    def __init__(
        self,
        view: Publisher,
        settings: ServeConfig,
        expected: Expected | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._settings = settings
        app = application(view, settings.max_sensors, expected or Expected(), clock)
        self._server = uvicorn.Server(_quiet(app))
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Take the port, then answer from a thread; returns at once."""
        self._socket = listen(self._settings.address, self._settings.port)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="monitor-http", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Finish the answers under way, within about a second, and free the port."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        if self._socket is not None:
            self._socket.close()

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it, `http://127.0.0.1:9464`."""
        if self._socket is None:
            raise RuntimeError("the server has no url before start()")
        host, port = self._socket.getsockname()[:2]
        host = WILDCARDS.get(host, host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def listen(address: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. ServeError names address, port and cause."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
    except (OSError, UnicodeError) as error:
        raise ServeError(_refused(address, port, error)) from error
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        opened.listen(128)
    except OSError as error:
        opened.close()
        raise ServeError(_refused(address, port, error)) from error
    return opened


def _refused(address: str, port: int, error: OSError | UnicodeError) -> str:
    cause = getattr(error, "strerror", None) or error
    return (
        f"serve: cannot listen on {address} port {port}: {cause}; set serve.address to an address "
        "of this machine and serve.port to a free port, or to 0 to take any free one"
    )


def _quiet(app: object) -> uvicorn.Config:
    """No access log, no signal handlers, no protocol that is not needed."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
