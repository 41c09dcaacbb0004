"""TLS over real sockets: who is shown what, and what cannot be used."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
import structlog

from monitor.errors import ServeError
from monitor.serve import door, http
from monitor.serve.http import Server
from tests.kafka.certificates import Certificates, make_certificates
from tests.prometheus import scraping, wait_until
from tests.served import fleet
from tests.test_http_security import LOGIN, SCRAPER, configured


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def trusting(file: Path, own: Path | None = None, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=file)
    if own:
        context.load_cert_chain(own)
    for name, version in versions.items():
        setattr(context, name, version)
    return context


def reached(url: str, context: ssl.SSLContext) -> bool:
    try:
        return httpx.get(f"{url}/healthz", verify=context, timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def test_over_tls_and_told_to_stay_there(certificates: Certificates) -> None:
    server = Server(fleet, configured(tls={"certificate": certificates.server}))
    context = trusting(certificates.authority)
    with server, httpx.Client(base_url=server.url, verify=context) as client:
        assert server.url.startswith("https://127.0.0.1:")
        assert client.get("/healthz").headers["strict-transport-security"] == "max-age=2592000"
        with pytest.raises(httpx.TransportError):
            httpx.get(server.url.replace("https", "http"))
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(server.url, verify=trusting(certificates.stranger))
        assert client.get("/healthz").status_code == 200


def test_old_tls_is_refused(certificates: Certificates) -> None:
    server = Server(fleet, configured(tls={"certificate": certificates.server}))
    place = ("127.0.0.1", 0)
    with server:
        place = ("127.0.0.1", httpx.URL(server.url).port or 0)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(certificates.authority, maximum_version=version)
            with socket.create_connection(place, 30) as plain:
                context.wrap_socket(plain, server_hostname="127.0.0.1").close()
        old = trusting(certificates.authority)
        with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
            old.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection(place, 30) as plain,
            pytest.raises(OSError, match=r"SSL|reset"),
        ):
            old.wrap_socket(plain, server_hostname="127.0.0.1")


def test_a_handshake_that_is_not_made_ends(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "HANDSHAKE_SECONDS", 0.5)
    with Server(fleet, configured(tls={"certificate": certificates.server})) as server:
        url = httpx.URL(server.url)
        silent = [socket.create_connection((url.host, url.port or 0), 30) for _ in range(64)]
        assert [opened.recv(1) for opened in silent] == [b""] * 64
        wait_until(lambda: reached(server.url, trusting(certificates.authority)), "a free place")
        for opened in silent:
            opened.close()


def test_clients_without_the_right_certificate_are_not_heard(certificates: Certificates) -> None:
    tls = {"certificate": certificates.server, "client_ca": certificates.authority}
    with Server(fleet, configured(tls=tls)) as server:
        known = trusting(certificates.authority, certificates.client)
        assert httpx.get(f"{server.url}/api/v1/status", verify=known).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(server.url, verify=trusting(certificates.authority))


def test_a_renewed_certificate_is_shown_and_a_damaged_one_is_not(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "RENEW_SECONDS", 0)
    file = tmp_path / "server.pem"
    file.write_bytes(certificates.server.read_bytes())
    renewed = make_certificates(tmp_path / "renewed")
    server = Server(fleet, configured(tls={"certificate": file}))
    with structlog.testing.capture_logs() as logs, server:
        old, new = trusting(certificates.authority), trusting(renewed.authority)
        assert reached(server.url, old)
        file.write_bytes(certificates.server.read_bytes()[:-200])
        wait_until(lambda: bool(logs), "the certificate is looked at")
        assert logs[0]["event"] == "certificate_not_renewed"
        assert reached(server.url, old)
        file.write_bytes(renewed.server.read_bytes())
        wait_until(lambda: reached(server.url, new), "the new certificate")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"certificate": "none.pem"}, "certificate: none.pem cannot be read: No such file"),
        ({"certificate": "."}, "certificate: . cannot be read: Is a directory"),
        ({"certificate": "junk.pem"}, "certificate: junk.pem: holds no certificate in PEM"),
        ({"certificate": "empty.pem"}, "certificate: empty.pem: holds no certificate in PEM"),
        ({"certificate": "server.pem"}, "certificate: server.pem: holds no private key in PEM"),
        ({"certificate": "server.pem", "key": "none.key"}, "key: none.key cannot be read"),
        ({"certificate": "server.pem", "key": "junk.pem"}, "key: junk.pem: holds no private key"),
        ({"certificate": "server.pem", "key": "client.key"}, "key: client.key: the key is not"),
        (
            {"certificate": "server.pem", "key": "locked.key"},
            "key: locked.key: the key is encrypted",
        ),
        (
            {"certificate": "server.pem", "key": "locked.key", "key_password": "key-pass-word"},
            "key: locked.key: the key is encrypted, and serve.tls.key_password does not open it",
        ),
        ({"certificate": "server.both.pem", "client_ca": "junk.pem"}, "client_ca: junk.pem: holds"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(
    files: dict[str, str], told: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = certificates.server.parent
    monkeypatch.chdir(folder)
    (folder / "junk.pem").write_text("-----BEGIN NOTHING-----\n")
    (folder / "empty.pem").write_text("")
    lock = ["openssl", "ec", "-aes256", "-passout", "pass:other-words", "-in", "server.key"]
    subprocess.run([*lock, "-out", "locked.key"], check=True, capture_output=True)
    with pytest.raises(ServeError) as error:
        Server(fleet, configured(tls=files)).start()
    assert str(error.value).startswith(f"serve.tls.{told}")
    assert "\n" not in str(error.value)
    assert "key-pass-word" not in str(error.value)


def test_a_real_prometheus_scrapes_over_tls_with_its_token(
    certificates: Certificates, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{SCRAPER}\n")
    job = {
        "scheme": "https",
        "tls_config": {"ca_file": str(certificates.authority)},
        "authorization": {"credentials_file": str(tmp_path / "token")},
    }
    settings = configured(tls={"certificate": certificates.server}, login=LOGIN)
    with (
        Server(fleet, settings) as server,
        scraping(server.url, [], tmp_path, **job) as prometheus,
    ):
        wait_until(lambda: prometheus.scrapes() >= 2, "two scrapes")
        assert len(prometheus.query("monitor_anomaly_score")) == 144
