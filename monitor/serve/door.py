"""What stands before HTTP: how many connections are let in, and how long each may take.

uvicorn counts a connection once it has sent a whole request, and waits for one without end. Here
one counts from the moment it is accepted, also while it only shakes hands for TLS, so that no
client can take the file descriptors that the log and the snapshots need.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor.errors import ServeError
from monitor.serve.allowance import client_key
from monitor.serve.refusals import Refusals
from monitor.serving import Limits

BACKLOG = 128
HANDSHAKE_SECONDS = 10.0


class Door(socket.socket):
    """A listening socket that closes what is too much; for an event loop."""

    def admit(self, limits: Limits, refusals: Refusals) -> None:
        """Set the limits, before anything is accepted."""
        self._limits = limits
        self._refusals = refusals
        self._inside: Counter[str] = Counter()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. One too many is closed, and told as one that its client gave up."""
        connection, address = super().accept()
        client = client_key(address[0])
        limits = self._limits
        if (
            self._inside.total() >= limits.connections
            or self._inside[client] >= limits.connections_per_client
        ):
            connection.close()
            self._refusals.count("connections")
            raise ConnectionAbortedError
        self._inside[client] += 1
        return _Visitor(connection, lambda: self._left(client)), address

    def _left(self, client: str) -> None:
        self._inside[client] -= 1
        if not self._inside[client]:
            del self._inside[client]


class _Visitor(socket.socket):
    """A connection that tells when it is closed, once."""

    def __init__(self, connection: socket.socket, left: Callable[[], None]) -> None:
        family, kind, protocol = connection.family, connection.type, connection.proto
        super().__init__(family, kind, protocol, fileno=connection.detach())
        self._left: Callable[[], None] | None = left

    def close(self) -> None:
        super().close()
        if self._left:
            self._left()
            self._left = None


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose servers do not wait long for a TLS handshake."""

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        """As in asyncio."""
        if options.get("ssl"):
            options["ssl_handshake_timeout"] = HANDSHAKE_SECONDS
        return await super().create_server(*arguments, **options)


def patient(seconds: float) -> type[H11Protocol]:
    """HTTP/1.1 that gives a client so long for a request and for taking the answer."""

    class Patient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._begin()

        def on_response_complete(self) -> None:
            self._begin()
            super().on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            super().connection_lost(exc)

        def _begin(self) -> None:
            self._end()
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

        def _end(self) -> None:
            if self._deadline:
                self._deadline.cancel()

    return Patient


def listen(address: str, port: int) -> Door:
    """A listening socket; port 0 takes a free one. ServeError names address, port and cause."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
    except (OSError, UnicodeError) as error:
        raise ServeError(_refused(address, port, error)) from error
    opened = Door(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        opened.listen(BACKLOG)
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
