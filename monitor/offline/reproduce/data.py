"""Where the public data of a benchmark is: a folder that was named, or else a download."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pooch
from requests.exceptions import RequestException
from rich.console import Console
from rich.progress import track

from monitor.errors import ConfigError

VARIABLE, DEFAULT = "MONITOR_DATA", Path("../shared/data")


def find(data: Path | None, name: str, files: Sequence[str]) -> Path | None:
    """The folder `name` in `data`, or else in what MONITOR_DATA names, or else in ../shared/data;
    None where it has to be downloaded.

    Raises ConfigError where a folder that was named has not all of `files`.
    """
    named = data or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    folder = (named or DEFAULT) / name
    missing = [file for file in files if not (folder / file).is_file()]
    if named and missing:
        raise ConfigError(
            f"{folder}: lacks {len(missing)} of {len(files)} files, such as {missing[0]}; name the "
            f"folder that holds {name}/ by --data or {VARIABLE}, or leave both out to download it"
        )
    return None if missing else folder


def download(name: str, url: str, registry: Path, cache: Path | None = None) -> Path:
    """The files of `registry` (lines of path and SHA-256) from below `url`, in the user's cache;
    what is there already is checked and not loaded again.

    Raises ConfigError where a file cannot be had, or is another one than the registry says.
    """
    store = pooch.create(path=cache or pooch.os_cache("monitor") / name, base_url=url)
    store.load_registry(registry)
    pooch.get_logger().setLevel("WARNING")
    shown = track(
        sorted(store.registry_files),
        f"downloading {name}",
        console=Console(stderr=True),
        disable=not Console(stderr=True).is_terminal,
    )
    for file in shown:
        try:
            store.fetch(file)
        except (RequestException, OSError, ValueError) as error:
            raise ConfigError(
                f"{url}{file}: {error}; get it by other means and name its folder by --data"
            ) from error
    return Path(store.abspath)


def listed(registry: Path) -> list[str]:
    """The files that a registry names."""
    return [line.split()[0] for line in registry.read_text("utf-8").splitlines() if line]
