"""No name, of a model, an alias or a topic, leads out of the folder that was configured."""

from __future__ import annotations

import re
import string
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.connect.snapshots import DirectorySnapshots
from monitor.connect.store import ModelStore
from monitor.errors import ModelError, StateError
from monitor.model import Model
from monitor.notation import Reference, reference
from monitor.recipe import train
from monitor.types import Partition
from tests.fleet import fleet, recipe

ODD = ("..", ".", "", "/", "../outside", "a/../../outside", "/tmp", "~", "a\0b", "-rf", "\\..\\x")
NAMES = st.one_of(
    st.sampled_from(ODD),
    st.text("./\\~\0-_a1", max_size=12),
    st.text(max_size=12),
    st.text(string.ascii_letters, min_size=250, max_size=300),
)
LEGAL = st.from_regex(r"[a-zA-Z0-9._-]{1,60}", fullmatch=True).filter(lambda n: set(n) != {"."})
STATE = {"mean": np.ones(2)}


@contextmanager
def inside() -> Iterator[Path]:
    """A folder to work in; everything around it is as before in the end."""
    with tempfile.TemporaryDirectory() as scratch:
        around = Path(scratch)
        (around / "outside").mkdir()
        (around / "outside" / "kept").write_text("x")
        folder = around / "deep" / "folder"
        yield folder
        found = {path.relative_to(around) for path in around.rglob("*")}
        strays = {path for path in found if path.parts[0] != "deep"}
        assert strays == {Path("outside"), Path("outside/kept")}
        beside = {path for path in found if path.parts[0] == "deep" and len(path.parts) == 2}
        assert beside <= {Path("deep/folder")}


@given(NAMES, st.integers(-1, 5))
@example("..", 0)
@example("../../outside", 0)
def test_snapshots_of_any_topic_stay_in_their_folder(topic: str, number: int) -> None:
    partition = Partition(topic, number)
    with inside() as folder:
        snapshots = DirectorySnapshots(folder)
        with suppress(StateError):
            snapshots.save(partition, 5, STATE)
        with suppress(StateError):
            snapshots.load(partition, 5)
        with suppress(StateError):
            snapshots.offsets(partition)


@given(LEGAL)
@example("...")
@example("..a")
@example("x" * 249)
@example("5.snapshot")
@example("-")
def test_every_name_that_kafka_takes_has_its_folder(topic: str) -> None:
    with inside() as folder:
        snapshots = DirectorySnapshots(folder)
        snapshots.save(Partition(topic, 0), 5, STATE)
        assert list(snapshots.offsets(Partition(topic, 0))) == [5]
        assert [path.name for path in folder.iterdir()] == [topic]


@pytest.fixture(scope="module")
def model() -> Model:
    return train(recipe(), fleet())


class Renamed:
    """A trained model under another name."""

    def __init__(self, model: Model, detector: str, name: str) -> None:
        self.manifest = replace(model.manifest, detector=detector, name=name)
        self.state = model.state


@given(name=NAMES, detector=NAMES | st.just("mahalanobis"), alias=NAMES)
def test_models_of_any_name_stay_in_the_store(
    model: Model, name: str, detector: str, alias: str
) -> None:
    renamed: Any = Renamed(model, detector, name)
    with inside() as folder, suppress(ModelError):
        ModelStore(folder).publish(renamed, alias)


@given(name=NAMES, version=NAMES | st.just("1"), alias=NAMES)
@example(name="../pumps", version="1", alias="next")
def test_references_lead_to_models_of_the_store_alone(
    model: Model, name: str, version: str, alias: str
) -> None:
    with inside() as folder:
        ModelStore(folder.parent / "folder").publish(model)
        elsewhere = ModelStore(folder / "mahalanobis")
        (elsewhere.root / "mahalanobis").mkdir()  # so that a way up from it would lead somewhere
        with pytest.raises(ModelError):
            elsewhere.load(Reference("mahalanobis", name, version))
        with pytest.raises(ModelError):
            elsewhere.point(Reference("mahalanobis", name, version), alias)


@given(NAMES, NAMES)
def test_no_reference_of_the_configuration_names_a_folder(name: str, version: str) -> None:
    try:
        found = reference(f"conv_ae:{name}@{version}")
    except ValueError:
        return
    for part in (found.detector, found.model, found.version):
        assert re.fullmatch(r"[A-Za-z0-9][\w.-]*", part, re.ASCII)
