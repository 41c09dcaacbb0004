"""Where benchmark data comes from: a named folder, or a download that is checked."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.offline.reproduce.data import VARIABLE, download, find, listed

FILES = {"labels/a.json": b"{}", "data/b.csv": b"time,value\n"}


def lay_out(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves the files."""
    handler = partial(Quiet, directory=str(lay_out(tmp_path / "served")))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/"
        serving.shutdown()
        thread.join()


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    lines = [f"{name} {hashlib.sha256(content).hexdigest()}" for name, content in FILES.items()]
    path = tmp_path / "set.sha256"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_a_named_folder_is_used(tmp_path: Path, registry: Path) -> None:
    folder = lay_out(tmp_path / "mine" / "set")
    assert find(tmp_path / "mine", "set", listed(registry)) == folder


def test_the_variable_names_a_folder(
    tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay_out(tmp_path / "mine" / "set")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    assert find(None, "set", listed(registry)) == folder


def test_a_named_folder_that_is_not_whole_is_a_mistake(tmp_path: Path, registry: Path) -> None:
    lay_out(tmp_path / "set")
    (tmp_path / "set" / "data/b.csv").unlink()
    with pytest.raises(ConfigError, match=r"lacks 1 of 2 files, such as data/b\.csv"):
        find(tmp_path, "set", listed(registry))


def test_without_a_name_what_is_missing_is_downloaded(
    tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert find(None, "set", listed(registry)) is None


def test_files_are_downloaded_once_and_checked(tmp_path: Path, server: str, registry: Path) -> None:
    cache = tmp_path / "cache"
    folder = download("set", server, registry, cache)
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    (tmp_path / "served" / "data/b.csv").unlink()
    assert download("set", server, registry, cache) == folder, "loaded again"


def test_a_file_that_is_another_one_is_refused(tmp_path: Path, server: str, registry: Path) -> None:
    (tmp_path / "served" / "data/b.csv").write_bytes(b"something else")
    with pytest.raises(ConfigError, match=r"data/b\.csv.*hash.*--data"):
        download("set", server, registry, tmp_path / "cache")
    assert not (tmp_path / "cache" / "data/b.csv").exists()


def test_a_server_that_cannot_be_reached_is_told(tmp_path: Path, registry: Path) -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:1.*get it by other means"):
        download("set", "http://127.0.0.1:1/", registry, tmp_path / "cache")
