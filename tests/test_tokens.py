"""Bearer tokens: kept fresh, asked for once, and told of without being shown."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitor.connect.kafka import endpoint as asking
from monitor.connect.kafka.tokens import EndpointTokens, FileTokens, Token, TokenError, expiry
from monitor.connect.kafka.tokens import provider as provided
from monitor.connections import OAuth
from monitor.errors import ConfigError
from tests.kafka.certificates import Certificates, make_certificates
from tests.token_endpoint import Endpoint, endpoint, grant

SECRET = "s3cret+wörds/&="


def jwt(**claims: Any) -> str:
    """A token that nobody has signed."""
    words = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(word).decode().rstrip("=") for word in words) + ".x"


def refusal(tokens: Any) -> TokenError:
    with pytest.raises(TokenError) as caught:
        tokens.token()
    told = str(caught.value)
    assert "\n" not in told
    assert SECRET not in told
    return caught.value


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with endpoint(lambda: grant("first", expires_in=600)) as found:
        yield found


def client(url: str, **more: Any) -> Any:
    """The tokens of an endpoint; never those of another test."""
    section = {"token_url": url, "client_id": "moni:tor", "client_secret": SECRET, **more}
    return provided.__wrapped__(OAuth.model_validate(section))


# From a file.


def test_a_file_is_read_at_every_login(tmp_path: Path) -> None:
    file = tmp_path / "token"
    tokens = FileTokens(file)
    for text in ("one", "two\n", jwt(exp=time.time() + 60)):
        file.write_text(text)
        assert tokens.token() == text.strip()


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"two words", b"a\x01auth=x", b"\xff", "tökén".encode(), b"x" * 100_000],
)
def test_what_is_no_token_is_told_and_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    assert f"{file} holds no bearer token" in str(refusal(FileTokens(file)))


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    told = str(refusal(FileTokens(tmp_path / "absent")))
    assert f"{tmp_path}/absent cannot be read: No such file or directory" in told


def test_a_token_that_has_expired_is_told_with_its_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(jwt(exp=1_700_000_000))
    told = str(refusal(FileTokens(tmp_path / "token")))
    assert "has expired at 2023-11-14T22:13:20+00:00" in told


@given(st.text() | st.binary().map(lambda b: f"x.{base64.urlsafe_b64encode(b).decode()}.y"))
def test_no_text_crashes_the_reading_of_an_expiry(text: str) -> None:
    assert expiry(text) is None or isinstance(expiry(text), float)


@given(st.recursive(st.none() | st.floats() | st.integers() | st.text(), st.lists))
def test_no_claim_crashes_the_reading_of_an_expiry(value: Any) -> None:
    found = expiry(jwt(exp=value))
    assert found is None or found == float(value)


# From an endpoint.


def test_the_endpoint_is_asked_as_the_standard_says(server: Endpoint) -> None:
    assert client(server.url, scope="kafka read").token() == "first"
    (asked,) = server.asked
    login = base64.b64decode(asked["login"].removeprefix("Basic ")).decode()
    assert login == "moni%3Ator:s3cret%2Bw%C3%B6rds%2F%26%3D"
    assert asked["form"] == {"grant_type": ["client_credentials"], "scope": ["kafka read"]}


def test_a_token_serves_many_logins(server: Endpoint) -> None:
    tokens = client(server.url)
    assert {tokens.token() for _ in range(50)} == {"first"}
    assert len(server.asked) == 1


def test_all_clients_of_a_process_share_one_provider() -> None:
    section = OAuth(token_file=Path("/run/token"))
    assert provided(section) is provided(OAuth(token_file=Path("/run/token")))
    assert provided(section) is not provided(OAuth(token_file=Path("/run/other")))


def test_the_next_token_comes_before_the_old_one_expires() -> None:
    now = time.time()
    grants = iter([Token("old", now - 1, now + 600), Token("new", now + 600, now + 600)])
    tokens = EndpointTokens(lambda: next(grants))
    assert tokens.token() == "old"
    until = time.monotonic() + 10
    while tokens.token() == "old":  # at no time without one
        assert time.monotonic() < until
    assert tokens.token() == "new"


def test_a_token_that_has_expired_is_not_used_any_more() -> None:
    now = time.time()
    grants = iter([Token("old", now - 2, now - 1), Token("new", now + 600, now + 600)])
    tokens = EndpointTokens(lambda: next(grants))
    assert "no answer" in str(refusal(tokens))
    assert tokens.token() == "new"


def test_an_outage_of_the_endpoint_matters_once_the_token_has_expired(server: Endpoint) -> None:
    server.reply = lambda: grant("first", expires_in=1.5)
    tokens = client(server.url)
    assert tokens.token() == "first"
    server.reply = lambda: (503, b"")
    time.sleep(1.3)
    with capture_logs() as lines:
        assert tokens.token() == "first"
        time.sleep(0.3)
        told = str(refusal(tokens))
    assert "gives no token: 503 Service Unavailable" in told
    assert {line["event"] for line in lines} == {"token_unavailable"}
    assert SECRET not in str(lines)
    assert len(server.asked) == 2, "a failure is not asked about again at once"


def test_the_lifetime_stands_in_the_token_where_the_answer_says_none(server: Endpoint) -> None:
    token = jwt(exp=time.time() + 600)
    server.reply = lambda: grant(token)
    tokens = client(server.url)
    assert tokens.token() == tokens.token() == token
    assert len(server.asked) == 1


def test_a_token_of_unknown_lifetime_is_good_for_a_moment(server: Endpoint) -> None:
    server.reply = lambda: grant("opaque")
    tokens = client(server.url)
    assert tokens.token() == "opaque"
    time.sleep(1.1)
    assert tokens.token() == "opaque"
    assert len(server.asked) == 2


def says(status: int, **body: Any) -> Callable[[], tuple[int, bytes]]:
    return lambda: (status, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("reply", "told_of", "lasting"),
    [
        (says(401, error="invalid_client"), "'moni:tor': 401 Unauthorized, invalid_client", True),
        (says(401, error=f"{SECRET} is wrong"), "client_id 'moni:tor': 401 Unauthorized", True),
        (says(400, error="invalid_scope"), "400 Bad Request, invalid_scope", True),
        (says(500), "gives no token: 500 Internal Server Error", False),
        (says(429), "gives no token: 429 Too Many Requests", False),
        (says(404), "gives no token: 404 Not Found", True),
        (lambda: (302, b""), "gives no token: 302 Found", True),
        (lambda: (200, b"<html>"), "does not answer with JSON", True),
        (lambda: (200, b"[" * 100_000), "does not answer with JSON", True),
        (lambda: (200, b"[]"), "answers without an access_token", True),
        (says(200, token="x"), "answers without an access_token", True),
        (says(200, access_token=None), "answers without an access_token", True),
        (says(200, access_token="two words"), "holds no bearer token", True),
        (says(200, access_token="x", token_type="mac"), "not of the type Bearer", True),
        (lambda: grant(jwt(exp=1)), "has expired already; compare the clocks", True),
    ],
)
def test_an_answer_without_a_usable_token_is_told(
    server: Endpoint, reply: Callable[[], tuple[int, bytes]], told_of: str, lasting: bool
) -> None:
    server.reply = reply
    error = refusal(client(server.url))
    assert server.url in str(error)
    assert told_of in str(error)
    assert error.lasting is lasting
    assert all(each["form"] for each in server.asked), "a redirection is not followed"


def test_an_endpoint_out_of_reach_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = refusal(client(f"http://127.0.0.1:{port}/token"))
    assert "cannot be reached: connection refused" in str(error)
    assert not error.lasting


def test_an_endpoint_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/token?key=x"
        assert "/token does not answer within 0.3 s" in str(refusal(client(url)))


def test_what_does_not_speak_http_is_told(tmp_path: Path, server: Endpoint) -> None:
    told = str(refusal(client(server.url.replace("http:", "https:"))))
    assert "does not speak TLS on this port" in told


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_an_endpoint_is_trusted_by_its_authority_alone(certificates: Certificates) -> None:
    with endpoint(lambda: grant("ours", expires_in=60), certificates.server) as server:
        assert client(server.url, ca=certificates.authority).token() == "ours"
        told = str(refusal(client(server.url, ca=certificates.stranger)))
        other = server.url.replace("127.0.0.1", "localhost")
        misnamed = str(refusal(client(other, ca=certificates.authority)))
        unknown = str(refusal(client(server.url)))
    assert "is not trusted: CERTIFICATE_VERIFY_FAILED" in told
    assert f"oauth.ca is {certificates.stranger}" in told
    assert "Hostname mismatch" in misnamed
    assert "oauth.ca is not given: the system's authorities" in unknown
    assert len(server.asked) == 1


def test_an_authority_that_is_no_certificate_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"security\.oauth\.ca: /no/such\.pem is not a usable"):
        client("https://login.example/token", ca="/no/such.pem")
