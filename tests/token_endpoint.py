"""An OAuth 2 token endpoint on this machine, which answers as a test wants."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

Reply = Callable[[], tuple[int, bytes]]


@dataclass
class Endpoint:
    """Where it listens, what it says, and what it was asked."""

    url: str
    reply: Reply
    asked: list[dict[str, Any]] = field(default_factory=list)


def grant(token: str, **more: Any) -> tuple[int, bytes]:
    """A token as servers give it."""
    return 200, json.dumps({"access_token": token, "token_type": "Bearer", **more}).encode()


@contextmanager
def endpoint(reply: Reply, certificate: Path | None = None) -> Iterator[Endpoint]:
    """Listen until the end; over TLS with a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            found.asked.append({"login": self.headers["Authorization"], "form": form})
            status, body = found.reply()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{found.url}/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            found.asked.append({"login": self.headers["Authorization"], "form": None})
            self.send_error(405)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "https" if certificate else "http"
    found = Endpoint(f"{scheme}://127.0.0.1:{server.server_port}/token", reply)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
