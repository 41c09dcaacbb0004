"""Snapshots in a directory: `<directory>/<topic>/<partition>/<offset>.snapshot`.

A file is a line of JSON (format, offset, size, SHA-256) and then the arrays (safetensors). It is
written beside, synced and renamed, so it is whole or not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from monitor.arrays import from_bytes, to_bytes
from monitor.connect.durable import sync_folder, write_file
from monitor.errors import StateError
from monitor.types import Partition, State

log = structlog.get_logger("monitor")
FORMAT = 1
# Kafka's own rule, held to here since a name becomes a folder.
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class DirectorySnapshots:
    """Keeps the newest `keep` generations of each partition.

    A damaged file is renamed to `.damaged`. One that cannot be read, or that a newer version of
    this program wrote, stays as it is: it is passed over until the process ends, is not one of the
    `keep`, and is only removed where it is ahead of what is saved. That is of another history (the
    topic was made anew, or the group went back) and must not be taken for this one's later on.
    """

    def __init__(self, directory: Path, keep: int = 3) -> None:
        self.directory, self.keep = directory, keep
        self._aside: set[Path] = set()

    def save(self, partition: Partition, offset: int, state: State) -> None:
        """Write the state at `offset`. Raises StateError where the disk refuses."""
        folder = self._folder(partition)
        path = folder / f"{offset:020d}.snapshot"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, offset, to_bytes(state))
            self._aside.discard(path)
            for useless in self._superseded(folder, offset):
                useless.unlink(missing_ok=True)
        except OSError as error:
            raise _refused(folder, error) from error

    def offsets(self, partition: Partition) -> Sequence[int]:
        """See `monitor.protocols.Snapshots`; StateError where the folder cannot be read."""
        folder = self._folder(partition)
        try:
            return [int(path.stem) for path in _generations(folder) if path not in self._aside]
        except OSError as error:
            raise _refused(folder, error) from error

    def load(self, partition: Partition, offset: int) -> State:
        """See `monitor.protocols.Snapshots`."""
        path = self._folder(partition) / f"{offset:020d}.snapshot"
        try:
            return _read(path)
        except _NewerError as error:
            self._aside.add(path)
            raise StateError(f"snapshot {path} {error}") from error
        except OSError as error:
            self._aside.add(path)
            raise StateError(f"snapshot {path}: {error.strerror or error}") from error
        except StateError as error:
            self._set_aside(path)
            raise StateError(f"snapshot {path} is damaged: {error}") from error

    def close(self) -> None:
        """Nothing is held."""

    def _superseded(self, folder: Path, offset: int) -> list[Path]:
        """What a snapshot at `offset` makes useless; also what a crash left half written."""
        found = _generations(folder)
        ahead = [path for path in found if int(path.stem) > offset]
        behind = [path for path in found[len(ahead) :] if path not in self._aside]
        surplus = [path for path in behind[self.keep :] if not _newer(path)]
        return ahead + surplus + list(folder.glob("*.partial"))

    def _folder(self, partition: Partition) -> Path:
        if partition.topic in (".", "..") or not _TOPIC.fullmatch(partition.topic):
            raise StateError(
                f"topic {partition.topic!r} cannot name a folder for snapshots; valid are letters, "
                "digits, '.', '_' and '-'"
            )
        return self.directory / partition.topic / str(partition.number)

    def _set_aside(self, path: Path) -> None:
        self._aside.add(path)
        try:
            path.rename(path.with_suffix(".damaged"))
        except OSError as error:
            log.warning("damaged snapshot cannot be renamed", path=str(path), why=str(error))


class _NewerError(Exception):
    """A newer version of this program wrote it."""


def _generations(folder: Path) -> list[Path]:
    """Newest first; files of other names are somebody else's. OSError where that is not told."""
    try:
        found = list(folder.iterdir())
    except FileNotFoundError:
        return []
    return sorted(
        (path for path in found if re.fullmatch(r"\d{20}\.snapshot", path.name)), reverse=True
    )


def _write(path: Path, offset: int, body: bytes) -> None:
    head = {
        "format": FORMAT,
        "offset": offset,
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    beside = path.with_suffix(f".{os.getpid()}.partial")
    try:
        write_file(beside, b"\n".join([json.dumps(head).encode(), body]))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def _read(path: Path) -> State:
    with path.open("rb") as file:
        head, body = _head(file.readline(10_000)), file.read()
    found = (len(body), hashlib.sha256(body).hexdigest())
    wanted = (head.get("size"), head.get("sha256"))
    if wanted != found:
        raise StateError(f"size and checksum are {found}, the first line says {wanted}")
    return from_bytes(body)


def _head(line: bytes) -> dict[str, Any]:
    """The first line of a file. Raises StateError, or _NewerError."""
    try:
        head = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise StateError(f"the first line is not JSON: {error}") from error
    made = head.get("format") if isinstance(head, dict) else None
    if not isinstance(made, int) or made < FORMAT:
        raise StateError(f"the first line is not a snapshot's: {line[:80]!r}")
    if made > FORMAT:
        raise _NewerError(
            f"has format {made}, which a newer version of this program wrote; this one reads "
            f"{FORMAT} and leaves it as it is"
        )
    return dict(head)


def _newer(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline(10_000)
    try:
        _head(line)
    except _NewerError:
        return True
    except StateError:
        return False
    return False


def _refused(folder: Path, error: OSError) -> StateError:
    return StateError(f"snapshots in {folder}: {error.strerror or error}")
