"""Snapshots in a directory: `<directory>/<topic>/<partition>/<offset>.snapshot`.

A file is a line of JSON (format, offset, size, SHA-256) and then the arrays (safetensors). It is
written beside, synced and renamed, so it is whole or not there; a damaged one is set aside and the
generation before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import structlog

from monitor.arrays import from_bytes, to_bytes
from monitor.connect.durable import sync_folder, write_file
from monitor.errors import StateError
from monitor.types import Partition, State

log = structlog.get_logger("monitor")
FORMAT = 1


class DirectorySnapshots:
    """Keeps the newest `keep` generations of each partition.

    One that is ahead of what is saved now belongs to another history (the topic was made anew, or
    the group went back) and is removed: it must not be taken for this one's later on.
    """

    def __init__(self, directory: Path, keep: int = 3) -> None:
        self.directory, self.keep = directory, keep

    def save(self, partition: Partition, offset: int, state: State) -> None:
        """Write the state at `offset`. Raises StateError where the disk refuses."""
        folder = self._folder(partition)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / f"{offset:020d}.snapshot", offset, to_bytes(state))
            for path in self._superseded(partition, offset):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StateError(f"snapshot in {folder}: {error.strerror or error}") from error

    def load(self, partition: Partition, at_most: int) -> tuple[int, State] | None:
        """The newest readable one at or below an offset; damaged ones are renamed and told."""
        for path in self._generations(partition):
            if int(path.stem) > at_most:
                continue
            try:
                return int(path.stem), _read(path)
            except (OSError, StateError) as error:
                log.warning(
                    "snapshot damaged, trying an earlier one", path=str(path), why=str(error)
                )
                self._set_aside(path)
        return None

    def _generations(self, partition: Partition) -> list[Path]:
        """Newest first; files of other names are somebody else's."""
        found = self._folder(partition).glob("*.snapshot")
        return sorted((path for path in found if path.stem.isdecimal()), reverse=True)

    def _superseded(self, partition: Partition, offset: int) -> list[Path]:
        """What a snapshot at `offset` makes useless; also what a crash left half written."""
        found = self._generations(partition)
        ahead = [path for path in found if int(path.stem) > offset]
        partial = list(self._folder(partition).glob("*.partial"))
        return ahead + found[len(ahead) + self.keep :] + partial

    def _folder(self, partition: Partition) -> Path:
        return self.directory / partition.topic / str(partition.number)

    @staticmethod
    def _set_aside(path: Path) -> None:
        try:
            path.rename(path.with_suffix(".damaged"))
        except OSError as error:
            log.warning("damaged snapshot cannot be renamed", path=str(path), why=str(error))


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
        line, body = file.readline(10_000), file.read()
    try:
        head: dict[str, Any] = json.loads(line)
        wanted = (head["format"], head["size"], head["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"first line is not a snapshot's: {error}") from error
    found = (FORMAT, len(body), hashlib.sha256(body).hexdigest())
    if wanted != found:
        raise StateError(f"format, size and checksum are {found}, the first line says {wanted}")
    return from_bytes(body)
