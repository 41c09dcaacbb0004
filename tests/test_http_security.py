"""TLS, logins and names over real sockets, and that no secret comes out anywhere."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import yaml
from pydantic import ValidationError

from monitor.config import parse
from monitor.errors import ConfigError
from monitor.serve.http import Server
from monitor.serve.readiness import Expected
from monitor.serving import ServeConfig
from tests.served import NOW, fleet, hashed
from tests.terminal import command

OPEN = {"/healthz", "/readyz"}
PATHS = (
    *("/", "/page.js", "/icon.svg", "/openapi.json", "/nowhere", "/metrics/", "//metrics"),
    *("/api/v1/sensors", "/api/v1/sensors/vibration/pump-07", "/api/v1/alerts", "/api/v1/status"),
    *("/healthz/", "/readyz/../api/v1/status", "/%6detrics/x", "/healthz%2F..%2Fmetrics"),
)
ANNA = ("anna", "correct horse")
TOKEN, SCRAPER = "t0ken-that-opens-all", "t0ken-for-metrics"
HASH = hashed(ANNA[1])
LOGIN = {
    "users": {"anna": HASH},
    "tokens": {"ci": TOKEN},
    "metrics": {"tokens": {"prometheus": SCRAPER}},
}
SECRETS = (ANNA[1], TOKEN, SCRAPER, HASH, HASH.rpartition("$")[2], "key-pass-word")


@contextmanager
def serving(**settings: Any) -> Iterator[httpx.Client]:
    """A server with these settings, and a client without credentials."""
    server = Server(fleet, configured(**settings), Expected(models=2), clock=lambda: NOW + 1)
    with server, httpx.Client(base_url=server.url) as client:
        yield client


def configured(**settings: Any) -> ServeConfig:
    return ServeConfig.model_validate({"port": 0, **settings})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_credentials_only_the_probes_answer_and_tell_nothing() -> None:
    with serving(login=LOGIN) as client:
        for path in (*PATHS, "/metrics"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert "pump" not in answer.text
            assert answer.headers["www-authenticate"].startswith('Basic realm="monitor"')
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"ready": True, "conditions": []}


def test_a_user_and_a_token_open_everything() -> None:
    with serving(login=LOGIN) as client:
        for path in ("/", "/metrics", "/api/v1/status", "/openapi.json"):
            assert client.get(path, auth=ANNA).status_code == 200
            assert client.get(path, headers=bearer(TOKEN)).status_code == 200
        assert len(client.get("/readyz", auth=ANNA).json()["conditions"]) == 5


def test_the_token_of_prometheus_opens_the_metrics_and_nothing_else() -> None:
    with serving(login=LOGIN) as client:
        assert client.get("/metrics", headers=bearer(SCRAPER)).status_code == 200
        for path in PATHS:
            answer = client.get(path, headers=bearer(SCRAPER))
            assert answer.status_code == 403, path
            assert answer.json() == {"detail": "these credentials open /metrics only"}
        assert client.get("/readyz", headers=bearer(SCRAPER)).json()["conditions"] == []


def test_without_tls_nobody_is_told_to_use_it() -> None:
    with serving() as client:
        assert "strict-transport-security" not in client.get("/healthz").headers


def test_probes_ask_for_credentials_where_they_are_told_to() -> None:
    with serving(login={**LOGIN, "probes": True}) as client:
        for path in sorted(OPEN):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=bearer(SCRAPER)).status_code == 200


def test_wrong_credentials_do_not_close_what_is_open() -> None:
    with serving(login=LOGIN) as client:
        for i in range(15):
            assert client.get("/healthz", auth=("anna", f"{i}")).status_code == 200


def test_guessing_is_refused_and_those_who_know_still_come_in() -> None:
    with serving(login=LOGIN) as client:
        found = [client.get("/", auth=("anna", f"wrong {i}")).status_code for i in range(13)]
        assert found[:10] == [401] * 10
        assert set(found[10:]) == {429}
        assert client.get("/metrics", headers=bearer(SCRAPER)).status_code == 200
        answer = client.get("/", auth=("anna", "wrong"))
        assert 1 <= int(answer.headers["retry-after"]) <= 5


def test_what_is_refused_is_counted() -> None:
    with serving(login=LOGIN) as client:
        client.get("/")
        client.get("/", headers={"Host": "evil.example"})
        page = client.get("/metrics", headers=bearer(SCRAPER)).text
        assert 'monitor_http_refused_total{reason="login"} 1.0' in page
        assert 'monitor_http_refused_total{reason="host"} 1.0' in page


@pytest.mark.parametrize(
    "settings",
    [
        {"login": LOGIN},
        {"anonymous": True},
        {"tls": {"certificate": "a.pem", "client_ca": "b.pem"}},
    ],
)
def test_other_machines_are_served_where_that_was_thought_of(settings: dict[str, Any]) -> None:
    assert configured(address="0.0.0.0", **settings).loopback is False


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "", "192.0.2.1", "plant.example", "127.1", "0", "::ffff:10.0.0.1"]
)
def test_other_machines_are_not_served_by_oversight(address: str) -> None:
    for more in ({}, {"tls": {"certificate": "a.pem"}}):
        with pytest.raises(ValidationError, match=r"nobody has to log in; set login, or "):
            configured(address=address, **more)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_is_served_without_a_word(address: str) -> None:
    assert configured(address=address).loopback


ELSEWHERE = {"address": "0.0.0.0", "anonymous": True}
ONE = ["monitor.plant.example"]


@pytest.mark.parametrize(
    ("settings", "ours", "others"),
    [
        (
            {},
            ("127.0.0.1:9464", "localhost", "LOCALHOST:80", "[::1]:9464", "10.2.3.4", "localhost."),
            (
                *("evil.example", "evil.example:9464", "127.0.0.1.evil.example", "127.0.0.1@evil"),
                *("localhost.evil.example:80", "[::1].evil", "evil:80:80", "localhost:80.evil"),
            ),
        ),
        (
            {"hosts": ONE},
            ("monitor.plant.example:443", "Monitor.Plant.Example.", "127.0.0.1"),
            ("other.plant.example", "plant.example", "monitor.plant.example.evil"),
        ),
        ({"hosts": ["*.plant.example"]}, ("a.plant.example",), ("plant.example.evil", "a.example")),
        (ELSEWHERE, ("whatever.example", "10.0.0.1:9464"), ()),
        ({**ELSEWHERE, "hosts": ONE}, (*ONE, "10.0.0.1:9464", "[2001:db8::1]"), ("b.example",)),
    ],
)
def test_a_name_that_was_made_to_mean_this_machine_is_refused(
    settings: dict[str, Any], ours: tuple[str, ...], others: tuple[str, ...]
) -> None:
    with serving(**settings) as client:
        for host in ours:
            assert client.get("/api/v1/status", headers={"Host": host}).status_code == 200, host
        for host in others:
            answer = client.get("/api/v1/status", headers={"Host": host})
            assert answer.status_code == 421, host
            assert "serve.hosts" in answer.json()["detail"]


def test_a_client_of_http_1_0_may_leave_the_name_out() -> None:
    with serving() as client:
        place = (client.base_url.host, client.base_url.port or 0)
        with socket.create_connection(place, 30) as opened:
            opened.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert opened.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_proxy_is_believed_only_where_it_is_named() -> None:
    limits = {"requests_per_second": 0.01, "burst": 2}

    def statuses(client: httpx.Client) -> list[int]:
        headers = [{"X-Forwarded-For": f"192.0.2.{i}"} for i in range(4)]
        return [client.get("/healthz", headers=each).status_code for each in headers]

    with serving(limits=limits) as client:
        assert statuses(client) == [200, 200, 429, 429]
    with serving(limits=limits, proxies=["127.0.0.0/8"]) as client:
        assert statuses(client) == [200] * 4


def test_what_the_example_has_commented_out_is_valid() -> None:
    file = Path(__file__).parents[1] / "deploy/configs/vibration.yaml"
    serve = file.read_text(encoding="utf-8").partition("\nserve:")[2]
    section = yaml.safe_load(re.sub(r"^  # ", "  ", f"serve:{serve}", flags=re.MULTILINE))["serve"]
    section["login"]["users"]["operator"] = HASH
    settings = configured(**section | {"address": "0.0.0.0"})
    assert settings.hosts
    assert settings.tls
    assert settings.login


def test_no_representation_of_the_settings_shows_a_secret() -> None:
    tls = {"certificate": "a.pem", "key_password": "key-pass-word"}
    settings = configured(login=LOGIN, tls=tls)
    text = settings.model_dump_json()
    shown = [repr(settings), str(settings), text, str(settings.model_dump()), str(vars(settings))]
    shown += [yaml.safe_dump(json.loads(text)), repr(settings.login), f"{settings.tls}"]
    for secret in SECRETS:
        assert not [told for told in shown if secret in told]


def test_neither_check_nor_the_api_nor_the_log_shows_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    (tmp_path / "scraper").write_text(f"{SCRAPER}\n")
    login = {
        "users": {"anna": HASH},
        "tokens": {"ci": "${TOKEN}"},
        "metrics": {"tokens": {"prometheus": f"${{file:{tmp_path}/scraper}}"}},
    }
    good = yaml.safe_load((Path(__file__).parent / "data" / "good.yaml").read_text())
    file = tmp_path / "plant.yaml"
    file.write_text(yaml.safe_dump({**good, "serve": {"login": login}}))
    monkeypatch.setenv("BROKER_PASSWORD", "key-pass-word")
    told = [command("check", file), command("check", file, "--json")]
    assert [found.code for found in told] == [0, 0]
    texts = [str(found) for found in told]
    with serving(login=LOGIN) as client:
        for path in (*PATHS, "/metrics", "/readyz"):
            for credentials in ({}, bearer(TOKEN), bearer(SCRAPER), bearer(f"{TOKEN}{SCRAPER}")):
                answer = client.get(path, headers=credentials)
                texts.append(f"{answer.headers} {answer.text}")
        client.get("/", auth=(ANNA[1], TOKEN))
    texts.append(str(capsys.readouterr()))
    assert "login_refused" in texts[-1]
    for secret in SECRETS:
        assert not [text for text in texts if secret in text]


@pytest.mark.parametrize(
    "login",
    [
        {"tokens": {"ci": "hunter2"}},
        {"tokens": {"ci": "hunter2 with a space in it"}},
        {"tokens": "hunter2hunter2hunter2"},
        {"tokens": ["hunter2hunter2hunter2"]},
        {"users": {"anna": "hunter2"}},
        {"users": {"anna": "$scrypt$ln=99,r=8,p=1$hunter2hunter2$hunter2"}},
        {"users": {"no name!": HASH, "anna": "hunter2"}},
        {"metrics": {"tokens": {"prometheus": "hunter2"}}},
        {"tokens": {"a": "hunter2" * 3}, "metrics": {"tokens": {"b": "hunter2" * 3}}},
        "hunter2",
    ],
)
def test_no_mistake_in_a_login_shows_the_secret(login: Any) -> None:
    good = yaml.safe_load((Path(__file__).parent / "data" / "good.yaml").read_text())
    text = yaml.safe_dump({**good, "serve": {"login": login}})
    with pytest.raises(ConfigError) as error:
        parse(text, "x.yaml", {"BROKER_PASSWORD": "s3cret-words"})
    assert "serve" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_failing_end_is_not_ready_and_says_why() -> None:
    view = replace(
        fleet(), failing={"delivery": "kafka: 10.0.0.9:9092 refused", "snapshots": "full"}
    )
    server = Server(lambda: view, configured(login=LOGIN), clock=lambda: NOW + 1)
    with server, httpx.Client(base_url=server.url) as client:
        stranger, known = client.get("/readyz"), client.get("/readyz", auth=ANNA)
        assert stranger.status_code == known.status_code == 503
        assert stranger.json() == {"ready": False, "conditions": []}
        failed = [each for each in known.json()["conditions"] if not each["ok"]]
        assert failed == [
            {"name": "delivery", "ok": False, "detail": "kafka: 10.0.0.9:9092 refused"}
        ]
        assert client.get("/api/v1/status", auth=ANNA).json()["failing"] == [
            {"name": "delivery", "detail": "kafka: 10.0.0.9:9092 refused"},
            {"name": "snapshots", "detail": "full"},
        ]


def test_passwords_in_the_clear_beyond_this_machine_are_warned_of() -> None:
    with structlog.testing.capture_logs() as logs:
        Server(fleet, configured(address="0.0.0.0", login=LOGIN)).start().stop()
    assert [line["event"] for line in logs] == ["passwords_unencrypted"]
    with structlog.testing.capture_logs() as logs:
        Server(fleet, configured(login=LOGIN)).start().stop()
    assert logs == []
