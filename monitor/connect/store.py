"""Trained models in a directory: immutable versions, aliases, atomic publishing.

    <root>/<detector>/<name>/aliases.json
                            /<version>/manifest.json
                                      /weights.safetensors

A version is written beside and renamed, so a reader sees all of it or nothing. An alias is moved
by replacing the file of aliases.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from monitor.connect import artifact
from monitor.connect.durable import sync_folder, write_file
from monitor.errors import ModelError
from monitor.model import CHUNK, Model, restored
from monitor.notation import Reference
from monitor.types import Manifest

ALIASES = "aliases.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


class Entry(NamedTuple):
    """One version in the store, and the aliases that point to it."""

    manifest: Manifest
    aliases: tuple[str, ...]


class ModelStore:
    """The models below one directory, which need not exist before the first is published."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(self, model: Model, alias: str | None = "production") -> Manifest:
        """Write the next version and point `alias` to it; returns the manifest as published.

        Raises ModelError for a name that is not valid, or where the disk refuses.
        """
        manifest, state = model.manifest, model.state()
        folder = self._folder(manifest.detector, manifest.name)
        if alias is not None:
            _check_alias(alias)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            manifest = replace(manifest, version=_next(folder))
            while not artifact.write(folder, manifest, state):  # another trainer was faster
                manifest = replace(manifest, version=_next(folder))
        except OSError as error:
            raise ModelError(f"model cannot be written to {folder}: {error}") from error
        if alias is not None:
            _point(folder, alias, manifest.version)
        return manifest

    def load(self, reference: Reference, chunk: int = CHUNK, backend: str = "auto") -> Model:
        """The model of a reference of the configuration, checked against its fingerprint.

        Which class to make comes from the reference alone. Raises ModelError where the model is
        missing, damaged, or of another detector.
        """
        folder, version = self._find(reference)
        manifest, state = artifact.read(folder / str(version))
        return restored(manifest, state, reference.detector, chunk=chunk, backend=backend)

    def point(self, reference: Reference, alias: str) -> int:
        """Let `alias` mean the version of `reference`, from the next load on; returns it."""
        _check_alias(alias)
        folder, version = self._find(reference)
        _point(folder, alias, version)
        return version

    def list(self) -> tuple[Entry, ...]:
        """Every version of every model, in the order of detector, name and number."""
        return tuple(
            Entry(artifact.read_manifest(folder / str(version)), _names(folder, version))
            for folder in _models(self.root)
            for version in _versions(folder)
        )

    def _find(self, reference: Reference) -> tuple[Path, int]:
        """The directory and the version that a reference means; ModelError says what there is."""
        folder = self._folder(reference.detector, reference.model)
        versions, aliases = _versions(folder), _aliases(folder)
        told = f"{reference.label}:{reference.model}@{reference.version}"
        if not versions:
            there = ", ".join(f"{f.parent.name}:{f.name}" for f in _models(self.root))
            raise ModelError(
                f"model {told} is not in {self.root.resolve()}; there: {there or 'no models'}; "
                "train it first: monitor train CONFIG RECORDINGS"
            )
        number = reference.version.isdecimal()
        version = int(reference.version) if number else aliases.get(reference.version)
        if version in versions:
            return folder, version
        raise ModelError(
            f"model {told}: no such {'version' if number else 'alias'} in {folder.resolve()}; "
            f"there: versions {', '.join(map(str, versions))}, "
            f"aliases {', '.join(sorted(aliases)) or 'none'}"
        )

    def _folder(self, detector: str, name: str) -> Path:
        label = detector.rpartition(":")[2]
        for part in (label, name):
            if not _NAME.fullmatch(part):
                raise ModelError(
                    f"{part!r} cannot name a model; valid are at most 200 letters, digits, '_', "
                    "'.' and '-', the first a letter or digit"
                )
        return self.root / label / name


def _models(root: Path) -> list[Path]:
    return [folder for folder in sorted(root.glob("*/*")) if _versions(folder)]


def _versions(folder: Path) -> list[int]:
    """The numbers of the versions, ascending."""
    if not folder.is_dir():
        return []
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"[1-9][0-9]*", name))


def _next(folder: Path) -> int:
    return max(_versions(folder), default=0) + 1


def _names(folder: Path, version: int) -> tuple[str, ...]:
    return tuple(sorted(alias for alias, v in _aliases(folder).items() if v == version))


def _aliases(folder: Path) -> Mapping[str, int]:
    path = folder / ALIASES
    try:
        found = json.loads(path.read_bytes()) if path.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(v, int) for v in found.values()):
        raise ModelError(f"{path}: not a mapping of aliases to version numbers")
    return found


def _point(folder: Path, alias: str, version: int) -> None:
    """Replace the file of aliases by one in which `alias` means `version`."""
    text = json.dumps({**_aliases(folder), alias: version}, indent=2, sort_keys=True)
    beside = folder / f".{ALIASES}.{os.getpid()}"
    try:
        write_file(beside, f"{text}\n".encode())
        beside.replace(folder / ALIASES)
        sync_folder(folder)
    except OSError as error:
        raise ModelError(f"alias {alias!r} cannot be written to {folder}: {error}") from error


def _check_alias(alias: str) -> None:
    if not _NAME.fullmatch(alias) or alias.isdecimal():
        raise ModelError(
            f"{alias!r} cannot be an alias; valid are letters, digits, '_', '.' and '-', the "
            "first a letter or digit, and not only digits"
        )
