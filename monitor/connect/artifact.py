"""One version of a model on disk: a manifest (JSON) and its arrays (safetensors)."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from monitor.arrays import from_bytes, to_bytes
from monitor.connect.durable import sync_folder, write_file
from monitor.errors import ModelError, StateError
from monitor.model import FORMAT, identity
from monitor.types import Manifest, State

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
_MANIFEST_TYPE = TypeAdapter(Manifest)


def write(folder: Path, manifest: Manifest, state: State) -> bool:
    """Write `<folder>/<version>`, whole or not at all; False if that version exists already."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True, allow_nan=False)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        write_file(beside / MANIFEST, f"{text}\n".encode())
        write_file(beside / WEIGHTS, to_bytes(state))
        beside.chmod(0o755)
        beside.rename(folder / str(manifest.version))
        sync_folder(folder)
    except OSError:
        if not (folder / str(manifest.version)).exists():
            raise
        return False
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return True


def read(folder: Path) -> tuple[Manifest, State]:
    """The two files of a version, checked against the fingerprint in the manifest.

    Raises ModelError naming the file that is missing, damaged or changed.
    """
    manifest = read_manifest(folder)
    path = folder / WEIGHTS
    try:
        state = from_bytes(path.read_bytes())
    except (OSError, StateError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    try:
        found = identity(manifest, state)
    except RecursionError as error:
        raise ModelError(f"{folder / MANIFEST}: params: nested too deeply") from error
    if found != manifest.fingerprint:
        raise ModelError(
            f"{folder}: does not have the fingerprint {manifest.fingerprint!r} that its manifest "
            "names: a file is damaged or was changed; train again or take another version"
        )
    return manifest, state


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a version. Raises ModelError where it cannot be used."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ModelError(f"{path}: model format {found!r}; this version reads {FORMAT}")
    try:
        return _MANIFEST_TYPE.validate_python(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise ModelError(f"{path}: {place}: {fault['msg']}") from error
