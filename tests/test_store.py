"""The model store: immutable versions, aliases, and errors that say what there is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.connect import artifact
from monitor.connect.store import ModelStore
from monitor.errors import ModelError
from monitor.model import Model
from monitor.notation import Reference, reference
from monitor.recipe import train
from tests.fleet import fleet, recipe, windows

PUMPS = reference("mahalanobis:pumps")


@pytest.fixture(scope="module")
def model() -> Model:
    return train(recipe(), fleet(), clock=lambda: 5.0)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.mark.parametrize("detector", ["conv_ae", "deep_svdd", "mahalanobis"])
def test_a_loaded_model_scores_as_the_published_one(store: ModelStore, detector: str) -> None:
    made = train(recipe(detector), fleet())
    store.publish(made)
    loaded = store.load(reference(f"{detector}:pumps@production"))
    x, constants = windows(9), np.repeat(made.group[None], 9, axis=0)
    assert np.array_equal(loaded.score(x, constants), made.score(x, constants))
    assert loaded.fingerprint == made.fingerprint
    assert np.array_equal(loaded.calibration, made.calibration)
    own, expected = loaded.constants("pump-1"), made.constants("pump-1")
    assert own is not None
    assert expected is not None
    assert np.array_equal(own, expected)


def test_versions_count_up_and_never_change(store: ModelStore, model: Model) -> None:
    first = store.publish(model)
    path = store.root / "mahalanobis" / "pumps" / "1"
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    assert (first.version, store.publish(model).version) == (1, 2)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert before.keys() == {"manifest.json", "weights.safetensors"}


def test_an_alias_follows_the_newest_unless_told_otherwise(store: ModelStore, model: Model) -> None:
    store.publish(model)
    store.publish(model, alias=None)
    assert store.load(PUMPS).manifest.version == 1
    store.publish(model)
    assert store.load(PUMPS).manifest.version == 3


def test_an_alias_can_be_moved_back(store: ModelStore, model: Model) -> None:
    for _ in range(2):
        store.publish(model)
    assert store.point(reference("mahalanobis:pumps@1"), "production") == 1
    assert store.load(PUMPS).manifest.version == 1
    store.point(reference("mahalanobis:pumps@2"), "next")
    assert [entry.aliases for entry in store.list()] == [("production",), ("next",)]


def test_the_list_names_every_version_in_order(store: ModelStore, model: Model) -> None:
    assert store.list() == ()
    store.publish(model)
    store.publish(train(recipe(name="fans"), fleet()))
    store.publish(model)
    found = [(entry.manifest.name, entry.manifest.version) for entry in store.list()]
    assert found == [("fans", 1), ("pumps", 1), ("pumps", 2)]


def test_two_trainers_at_once_get_two_versions(
    store: ModelStore, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one publishes between our choice of a number and our rename."""
    other = ModelStore(store.root)
    original: Callable[..., bool] = artifact.write

    def overtaken(*args: Any) -> bool:
        monkeypatch.setattr(artifact, "write", original)
        other.publish(model)
        return original(*args)

    monkeypatch.setattr(artifact, "write", overtaken)
    assert store.publish(model).version == 2
    assert [entry.manifest.version for entry in store.list()] == [1, 2]
    assert not list(store.root.glob("*/*/.new-*"))


def test_a_crash_while_writing_leaves_no_version(
    store: ModelStore, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifact, "write_file", full)
    with pytest.raises(ModelError, match=r"cannot be written to .*pumps.*No space left"):
        store.publish(model)
    assert store.list() == ()


def test_a_missing_model_says_where_and_what_there_is(store: ModelStore, model: Model) -> None:
    with pytest.raises(ModelError, match=r"mahalanobis:pumps@production is not in .*no models;"):
        store.load(PUMPS)
    store.publish(model)
    told = r"mahalanobis:fans@production .*there: mahalanobis:pumps; train it first: monitor train"
    with pytest.raises(ModelError, match=told):
        store.load(reference("mahalanobis:fans"))


@pytest.mark.parametrize(("version", "kind"), [("staging", "alias"), ("7", "version")])
def test_an_unknown_alias_or_version_lists_the_known_ones(
    store: ModelStore, model: Model, version: str, kind: str
) -> None:
    store.publish(model)
    told = f"pumps@{version}: no such {kind} .*versions 1, aliases production"
    with pytest.raises(ModelError, match=told):
        store.load(Reference("mahalanobis", "pumps", version))


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "a" * 201, "a\nb"])
def test_a_name_cannot_lead_out_of_the_store(store: ModelStore, model: Model, name: str) -> None:
    with pytest.raises(ModelError, match="cannot name a model"):
        store.load(Reference("mahalanobis", name, "production"))
    with pytest.raises(ModelError, match="cannot name a model"):
        store.publish(train(recipe(name=name), fleet()))


@pytest.mark.parametrize("alias", ["3", "../x", ""])
def test_an_alias_must_be_a_name(store: ModelStore, model: Model, alias: str) -> None:
    with pytest.raises(ModelError, match="cannot be an alias"):
        store.publish(model, alias=alias)
    assert store.list() == ()


def published(store: ModelStore, model: Model) -> Path:
    store.publish(model)
    return store.root / "mahalanobis" / "pumps" / "1"


def test_damaged_weights_are_refused(store: ModelStore, model: Model) -> None:
    path = published(store, model) / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ModelError, match="does not have the fingerprint"):
        store.load(PUMPS)
    path.write_bytes(bytes(data[:50]))
    with pytest.raises(ModelError, match=r"weights.safetensors: cannot be read: not a safetensors"):
        store.load(PUMPS)
    path.unlink()
    with pytest.raises(ModelError, match=r"weights.safetensors: cannot be read"):
        store.load(PUMPS)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, "model format 2; this version reads 1"),
        ({"shape": [2]}, "shape"),
        ({"calibration": "none"}, "calibration"),
        ({"calibration": [0.0] * 256}, "does not have the fingerprint"),
        ({"params": {"trim": 0.4}}, "does not have the fingerprint"),
        ({"detector": "posix:System"}, "does not have the fingerprint"),
    ],
)
def test_a_changed_manifest_is_refused(
    store: ModelStore, model: Model, changes: dict[str, Any], told: str
) -> None:
    path = published(store, model) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ModelError, match=told):
        store.load(PUMPS)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_a_manifest_that_is_none_is_refused(store: ModelStore, model: Model, text: str) -> None:
    (published(store, model) / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=r"manifest\.json: "):
        store.load(PUMPS)


def test_the_class_comes_from_the_reference_alone(store: ModelStore, model: Model) -> None:
    """An artifact under the right label that claims another class is not believed."""
    published(store, model)
    with pytest.raises(ModelError, match=r"trained as 'mahalanobis', not as 'my\.mod:mahalanobis'"):
        store.load(Reference("my.mod:mahalanobis", "pumps", "production"))


@pytest.mark.parametrize("text", ["{", "[]", '{"production": "one"}'])
def test_a_damaged_file_of_aliases_is_named(store: ModelStore, model: Model, text: str) -> None:
    (published(store, model).parent / "aliases.json").write_text(text)
    with pytest.raises(ModelError, match=r"aliases\.json: "):
        store.load(PUMPS)


def test_what_is_no_version_is_ignored(store: ModelStore, model: Model) -> None:
    folder = published(store, model).parent
    for name in (".new-abc", "notes", "02"):
        (folder / name).mkdir()
    (store.root / "README").write_text("mine")
    assert [entry.manifest.version for entry in store.list()] == [1]
    assert store.publish(model).version == 2
