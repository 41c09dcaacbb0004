"""Model files: manifests, weights and aliases, read through the store and then used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from monitor.arrays import from_bytes, to_bytes
from monitor.connect.artifact import MANIFEST, WEIGHTS, read_manifest
from monitor.connect.store import ALIASES, ModelStore
from monitor.errors import ModelError, StateError
from monitor.model import Model, identity
from monitor.notation import Reference, reference
from monitor.recipe import train
from monitor.types import Array
from tests.fleet import SHAPE, fleet, recipe
from tests.fuzz import documents
from tests.fuzz.draws import Draws
from tests.fuzz.states import _HEADERS as ARRAY_WORDS
from tests.fuzz.states import scattered
from tests.fuzz.target import ACCEPTED, demand

DETECTORS = ("mahalanobis", "conv_ae", "deep_svdd")
_WORDS = (
    b"NaN", b"Infinity", b"1e999", b"-1", b"null", b"true", b"[]", b"{}", b'"x"', b"[" * 200,
    b'{"a":' * 200, b"9" * 40, b"9" * 5000, b'"\\ud800"', b"4096", b"1000000000",
    b'"widths": [4096, 4096, 4096, 4096]', b'"latent": 4096', b'"shape": [1, 1000000000]',
    b'"shape": [-1, 32]', b'"trim": 0.6', b'"detector": "os:path"', b'"format": 1',
    b'"calibration": [1]', b'"version": 1', b"../", b"\xff", b"\xef\xbb\xbf",
)  # fmt: skip


_PARAMETERS: Sequence[Any] = (
    4096, [4096] * 4, [4096] * 6, [1], [8, "a"], [0], -1, 0, 0.4, 0.6, 1e308, 2**63, "8", None,
    True, [[8]], {},
)  # fmt: skip


@cache
def trained(detector: str) -> Model:
    """A small model, trained in a second."""
    return train(recipe(detector), fleet())


class _Stored:
    """One version of a model in a store, which payloads replace parts of."""

    def __init__(self, detector: str, folder: Path) -> None:
        self.reference: Reference = reference(f"{detector}:pumps@production")
        self.store = ModelStore(folder)
        made = trained(detector)
        self.store.publish(made)
        self.folder = folder / detector / "pumps"
        self.manifest = (self.folder / "1" / MANIFEST).read_bytes()
        self.state = made.state()
        self.weights = to_bytes(self.state)
        self._x: Array = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32)
        self._x[1], self._x[2, 0, 0] = 3e38, np.nan

    def write(self, manifest: bytes, weights: bytes) -> None:
        """As they come; but a fingerprint that could be right is right."""
        folder = self.folder / "1"
        (folder / MANIFEST).write_bytes(manifest)
        (folder / WEIGHTS).write_bytes(weights)
        try:
            found = identity(read_manifest(folder), from_bytes(weights))
            told = json.loads(manifest) | {"fingerprint": found}
        except (ModelError, StateError, RecursionError):
            return
        (folder / MANIFEST).write_text(json.dumps(told))

    def used(self) -> str:
        """Load the model and let it score."""
        try:
            model = self.store.load(self.reference, 8, "torch")
        except ModelError as error:
            demand(len(str(error)) < 2_000, "a message that people can read")
            return "ModelError"
        if model.shape != SHAPE:
            return "of another shape"
        with np.errstate(all="ignore"):  # who writes the weights decides what comes of them
            scores = model.score(self._x, np.repeat(model.group[None], 4, axis=0))
        demand(bool(np.isnan(scores[2])), "NaN for a window that is not finite")
        demand(not (scores < 0).any(), "scores of 0 or more")
        return ACCEPTED


class Manifests:
    """`manifest.json`, of each detector."""

    name = "model manifests"
    words = _WORDS
    longest = 16_384

    def __init__(self, folder: Path, detectors: Sequence[str] = DETECTORS) -> None:
        self._stored = [_Stored(detector, folder / detector) for detector in detectors]

    def sound(self, draws: Draws) -> bytes:
        place = draws.below(len(self._stored))
        told: dict[str, Any] = json.loads(self._stored[place].manifest)
        params = told["params"]
        if draws.chance(0.3):
            params[draws.one(("widths", "latent", "trim", "seed", "epochs"))] = draws.one(
                _PARAMETERS
            )
        if draws.chance(0.1):
            told["shape"] = draws.one(
                ([1, 10**9], [10**6, 10**6], [0, 0], [-2, 32], [2, 3], [2, 64])
            )
        while draws.chance(0.4):
            where = params if draws.chance(0.3) else told
            where[draws.one([*where, "extra"])] = documents.hostile(draws, packed=False)
        return bytes([place]) + documents.as_json(told)

    def run(self, payload: bytes) -> str:
        """The first byte chooses the detector."""
        stored = self._stored[payload[0] % len(self._stored) if payload else 0]
        stored.write(payload[1:], stored.weights)
        return stored.used()


class Weights:
    """`weights.safetensors`, of each detector."""

    name = "model weights"
    words = ARRAY_WORDS
    longest = 65_536

    def __init__(self, folder: Path, detectors: Sequence[str] = DETECTORS) -> None:
        self._stored = [_Stored(detector, folder / detector) for detector in detectors]

    def sound(self, draws: Draws) -> bytes:
        place = draws.below(len(self._stored))
        state = dict(self._stored[place].state)
        while draws.chance(0.6):
            name = draws.one(sorted(state))
            state[name] = scattered(draws, state[name])
        return bytes([place]) + to_bytes(state)

    def run(self, payload: bytes) -> str:
        """The first byte chooses the detector."""
        stored = self._stored[payload[0] % len(self._stored) if payload else 0]
        stored.write(stored.manifest, payload[1:])
        return stored.used()


class Aliases:
    """`aliases.json`, and names of models that would be paths."""

    name = "model aliases and names"
    words = (*_WORDS, b"production", b"..", b"/", b"\0", b"@", b":")
    longest = 4_096

    def __init__(self, folder: Path) -> None:
        self._stored = _Stored("mahalanobis", folder / "store")
        self._outside = folder

    def sound(self, draws: Draws) -> bytes:
        found: Mapping[str, Any] = {
            draws.one(("production", "a", *documents.TEXTS)): documents.hostile(draws, packed=False)
            for _ in range(draws.below(3))
        }
        name = draws.one(("pumps", "..", "../..", "/etc", "a/b", "", ".", "pumps/../pumps", "\0"))
        return name.encode() + b"\n" + documents.as_json({"production": 1, **found})

    def run(self, payload: bytes) -> str:
        name, _, aliases = payload.partition(b"\n")
        (self._stored.folder / ALIASES).write_bytes(aliases)
        told = name.decode(errors="surrogateescape")
        asked = Reference("mahalanobis", told, "production")
        try:
            self._stored.store.list()
            self._stored.store.point(asked, told or "x")
            self._stored.store.load(asked)
        except ModelError:
            return "ModelError"
        finally:
            demand({p.name for p in self._outside.iterdir()} == {"store"}, "nothing outside")
        return ACCEPTED
