"""State <-> bytes (safetensors), and fingerprints. Arrays only: nothing here can run code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from monitor.errors import StateError
from monitor.types import State


def to_bytes(state: State) -> bytes:
    """Pack named arrays; the same arrays give the same bytes."""
    return save({key: np.ascontiguousarray(state[key]) for key in sorted(state)})


def from_bytes(data: bytes) -> State:
    """Unpack what `to_bytes` wrote. Raises StateError for anything else."""
    try:
        return dict(load(data))
    except (SafetensorError, ValueError, KeyError, OverflowError, UnicodeDecodeError) as error:
        raise StateError(f"not a safetensors file ({len(data)} bytes): {error}") from error


def fingerprint(*parts: bytes | str | Mapping[str, Any]) -> str:
    """16 hexadecimal digits that change when any part does."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes | str) else json.dumps(part, sort_keys=True)
        raw = data.encode() if isinstance(data, str) else data
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:16]


def under(prefix: str, state: State) -> State:
    """The part of a state below `prefix/`, without the prefix."""
    start = f"{prefix}/"
    return {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}


def put_under(prefix: str, state: State) -> State:
    """The same arrays with `prefix/` before each name."""
    return {f"{prefix}/{key}": value for key, value in state.items()}
