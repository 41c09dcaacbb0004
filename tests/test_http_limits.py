"""What one client may ask of the server, and that it answers the others whatever one sends."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.serve.allowance import Allowances, client_key
from monitor.serve.guard import MOST_HEADER_BYTES, MOST_URL_BYTES
from monitor.serve.http import Server
from monitor.serving import ServeConfig
from monitor.view import View
from tests.served import NOW, fleet

PAGE = ("", "style.css", "page.js", "fleet.js", "detail.js", "alerts.js", "process.js", "dom.js")
ASKED = ("status", "alerts?state=all&limit=200", "sensors?limit=400", "sensors/vibration/fan-03")


@contextmanager
def serving(**limits: Any) -> Iterator[httpx.Client]:
    """A server with these limits, and one client of it."""
    settings = ServeConfig.model_validate({"port": 0, "limits": limits})
    server = Server(fleet, settings, clock=lambda: NOW + 1)
    with server, httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def place(client: httpx.Client) -> tuple[str, int]:
    assert client.base_url.port
    return client.base_url.host, client.base_url.port


def alive(client: httpx.Client) -> bool:
    return client.get("/healthz").status_code == 200


def send(client: httpx.Client, data: bytes) -> bytes:
    """What comes back until the server closes; nothing where it cuts the connection."""
    with socket.create_connection(place(client), timeout=30) as opened:
        with contextlib.suppress(OSError):
            opened.sendall(data)
            opened.shutdown(socket.SHUT_WR)
        found = b""
        with contextlib.suppress(ConnectionError):
            while part := opened.recv(65536):
                found += part
    return found


def refused(client: httpx.Client, reason: str) -> float:
    page = client.get("/metrics").text
    start = f'monitor_http_refused_total{{reason="{reason}"}} '
    return float(next(ln for ln in page.splitlines() if ln.startswith(start)).split()[1])


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_never_more_than_the_burst_and_the_rate_after_it(
    rate: float, burst: int, gaps: list[float]
) -> None:
    now = 100.0
    allowances = Allowances(rate, burst, lambda: now)
    granted: list[float] = []
    for gap in gaps:
        now += gap
        if not allowances.take("a"):
            granted.append(now)
    for first, start in enumerate(granted):
        for last in range(first, len(granted)):
            most = burst + rate * (granted[last] - start) + 0.01
            assert last - first + 1 <= most


@given(st.floats(0.1, 100), st.integers(1, 20))
def test_who_waits_as_long_as_told_may_again(rate: float, burst: int) -> None:
    now = 5.0
    allowances = Allowances(rate, burst, lambda: now)
    assert [allowances.take("a") for _ in range(burst)] == [0.0] * burst
    wait = allowances.take("a")
    assert 0 < wait <= 1 / rate
    assert allowances.take("b") == 0
    now += wait + 1e-9
    assert allowances.take("a") == 0


def test_memory_is_bounded_and_the_busy_ones_stay_known() -> None:
    allowances = Allowances(1.0, 2, lambda: 0.0, most=100)
    for i in range(1000):
        allowances.take("busy")
        allowances.take(f"client {i}")
    assert len(allowances) == 100
    assert allowances.wait("busy") > 0
    assert allowances.wait("client 0") == 0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
        ("unknown", "unknown"),
    ],
)
def test_one_client_is_an_address_or_a_network_of_them(address: str, key: str) -> None:
    assert client_key(address) == key


def test_too_many_requests_are_told_when_to_come_again() -> None:
    with serving(requests_per_second=0.2, burst=5) as client:
        assert [client.get("/healthz").status_code for _ in range(7)] == [200] * 5 + [429] * 2
        answer = client.get("/metrics")
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["detail"] == "too many requests; again in 5 s"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_ten_pages_and_a_prometheus_at_one_address_are_never_refused() -> None:
    """Each page loads once and then asks every two seconds; a minute of it, at its own times."""
    limits = ServeConfig().limits
    now = 0.0
    allowances = Allowances(limits.requests_per_second, limits.burst, lambda: now)
    for second in range(60):
        now = float(second)
        asked = 10 * (len(PAGE) + len(ASKED)) if second == 0 else 10 * len(ASKED)
        assert not any(allowances.take("office") for _ in range(asked + 1))


def test_a_page_that_is_loaded_again_and_again_is_served() -> None:
    with serving() as client:
        paths = [f"/{name}" for name in PAGE] + [f"/api/v1/{question}" for question in ASKED]
        assert {client.get(path).status_code for _ in range(5) for path in paths} == {200}


@pytest.mark.parametrize("size", [MOST_HEADER_BYTES + 1, 10 * MOST_HEADER_BYTES])
def test_large_headers_are_refused_however_they_come(size: int) -> None:
    with serving() as client:
        head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * size + b"\r\n\r\n"
        answer = send(client, head)
        # A client that is cut off while it still sends may not see the answer.
        assert not answer or answer.split(b" ")[1] in (b"431", b"400")
        assert alive(client)


def test_a_long_address_is_refused() -> None:
    with serving() as client:
        assert client.get(f"/{'x' * MOST_URL_BYTES}").status_code == 414
        assert client.get("/api/v1/sensors", params={"search": "x" * 5000}).status_code == 414
        assert client.get(f"/{'x' * 4000}").status_code == 404
        assert refused(client, "size") == 2


@pytest.mark.parametrize(
    "header", [b"Content-Length: 1000000000", b"Transfer-Encoding: chunked", b"Content-Length: 1"]
)
def test_a_body_is_refused_before_it_is_read(header: bytes) -> None:
    with serving() as client:
        start = b"POST /api/v1/status HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n"
        answer = send(client, start)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer.lower()


def test_an_empty_body_is_none() -> None:
    with serving() as client:
        assert client.get("/healthz", headers={"Content-Length": "0"}).status_code == 200


def test_connections_over_the_limit_are_closed_and_the_places_come_free() -> None:
    with serving(connections=20, connections_per_client=5) as client:
        held = [socket.create_connection(place(client), timeout=30) for _ in range(40)]
        closed = [opened for opened in held[5:] if _is_closed(opened)]
        assert len(closed) == 35
        for opened in held:
            opened.close()
        _wait(lambda: _answers(client))
        assert refused(client, "connections") >= 35


def test_one_client_leaves_places_for_the_others() -> None:
    settings = ServeConfig.model_validate(
        {
            "address": "::",
            "anonymous": True,
            "port": 0,
            "limits": {"connections": 50, "connections_per_client": 5},
        }
    )
    try:
        server = Server(fleet, settings).start()
    except OSError:
        pytest.skip("no IPv6")
    with server:
        port = httpx.URL(server.url).port or 0
        held = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(20)]
        _wait(lambda: all(map(_is_closed, held[5:])))
        with httpx.Client(base_url=f"http://[::1]:{port}") as other:
            assert alive(other)
        for opened in held:
            opened.close()


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n",
    ],
    ids=["silent", "half a head", "half a body"],
)
def test_a_connection_that_says_too_little_ends(start: bytes) -> None:
    with serving(timeout=0.5) as client, socket.create_connection(place(client), 30) as slow:
        slow.sendall(start)
        begin = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while slow.recv(4096):
                pass
        assert time.monotonic() - begin < 20
        assert alive(client)


def test_a_trickle_of_bytes_does_not_hold_a_connection() -> None:
    with serving(timeout=0.5) as client, socket.create_connection(place(client), 30) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        _wait(lambda: not _takes(slow, b"X: y\r\n"))


def test_a_client_that_does_not_take_its_answer_is_let_go() -> None:
    many = [replace(part, stream=f"s{i}") for i in range(200) for part in fleet().lanes]
    view = View(NOW, lanes=tuple(many))
    settings = ServeConfig.model_validate({"port": 0, "limits": {"timeout": 0.5}})
    with Server(lambda: view, settings) as server, httpx.Client(base_url=server.url) as client:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(30)
        slow.connect(place(client))
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(1.5)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while part := slow.recv(65536):
                taken += len(part)
        slow.close()
        assert taken < len(client.get("/metrics").content)


def test_hundreds_of_half_open_connections_take_no_descriptor_for_long() -> None:
    with serving(connections=50, connections_per_client=50, timeout=1) as client:
        held = [socket.create_connection(place(client), 30) for _ in range(300)]
        for opened in held:
            with contextlib.suppress(ConnectionError):
                opened.sendall(b"GET / HTTP/1.1\r\nHost:")
        # Its own 300 ends are open here too, so only what the server holds besides is counted.
        _wait(lambda: _answers(client))
        for opened in held:
            opened.close()
        assert _answers(client)


def test_random_bytes_and_broken_requests_do_not_stop_it() -> None:
    """The same seed each time; most of it are valid requests with some bytes changed."""
    dice = random.Random(11)
    good = b"GET /api/v1/sensors?limit=3 HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-\r\n\r\n"
    with serving(requests_per_second=10_000, burst=10_000) as client:
        for _ in range(150):
            data = dice.randbytes(dice.randrange(1, 3000))
            if dice.random() < 0.7:
                changed = bytearray(good * dice.randrange(1, 4))
                for _ in range(dice.randrange(1, 6)):
                    changed[dice.randrange(len(changed))] = dice.randrange(256)
                data = bytes(changed)
            answer = send(client, data)
            assert not answer or answer.startswith(b"HTTP/1.1 ")
            assert b" 500 " not in answer.partition(b"\r\n")[0]
        assert alive(client)


def test_descriptors_are_as_many_as_before() -> None:
    with serving(timeout=5) as client:
        assert alive(client)
        before = _descriptors()
        for _ in range(100):
            send(client, b"\x16\x03\x01 nonsense\r\n\r\n")
        _wait(lambda: _descriptors() <= before)
    assert before < resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _answers(client: httpx.Client) -> bool:
    try:
        return alive(client)
    except httpx.TransportError:
        return False


def _is_closed(opened: socket.socket) -> bool:
    try:
        return opened.recv(1) == b""
    except ConnectionError:
        return True


def _takes(opened: socket.socket, data: bytes) -> bool:
    try:
        opened.sendall(data)
    except ConnectionError:
        return False
    return True


def _wait(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
