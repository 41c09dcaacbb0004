"""Snapshots in a directory: whole or not there, and the one before is used where one is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.connect.snapshots import DirectorySnapshots
from monitor.errors import StateError
from monitor.testing import check_snapshots, same_state
from monitor.types import Partition, State
from tests.core.snapshots import MemorySnapshots

HERE = Partition("plant.vibration", 3)


def state(number: int) -> State:
    return {"a/b": np.arange(number, dtype=np.float32), "flag": np.array([True])}


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def saved(folder: Path, *offsets: int, keep: int = 3) -> DirectorySnapshots:
    snapshots = DirectorySnapshots(folder, keep)
    for offset in offsets:
        snapshots.save(HERE, offset, state(offset))
    return snapshots


def newest(folder: Path) -> Path:
    return max(folder.rglob("*.snapshot"))


def test_it_keeps_the_promises_of_snapshots(tmp_path: Path) -> None:
    check_snapshots(lambda: DirectorySnapshots(tmp_path))


def test_the_ones_of_our_tests_keep_them_too() -> None:
    kept = MemorySnapshots()
    check_snapshots(lambda: kept)


def test_the_newest_that_is_not_ahead_is_loaded(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 5, 9, 14)
    for at_most, offset in [(100, 14), (14, 14), (13, 9), (5, 5)]:
        found = snapshots.load(HERE, at_most)
        assert found is not None
        assert found[0] == offset
        assert same_state(found[1], state(offset))
    assert snapshots.load(HERE, 4) is None
    assert snapshots.load(Partition("plant.vibration", 4), 100) is None


def test_a_few_generations_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, *range(10, 20), keep=2)
    folder = "plant.vibration/3"
    assert files(tmp_path) == [f"{folder}/{o:020d}.snapshot" for o in (18, 19)]


def test_what_is_ahead_of_a_new_snapshot_is_of_another_history(tmp_path: Path) -> None:
    """As after a topic was deleted and made anew: old offsets must not come back to life."""
    snapshots = saved(tmp_path, 800, 900, 1000, 7)
    found = snapshots.load(HERE, 950)
    assert found is not None
    assert found[0] == 7


def test_what_a_crash_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 5)
    (newest(tmp_path).parent / f"{9:020d}.4711.partial").write_bytes(b"half")
    assert snapshots.load(HERE, 100) is not None
    snapshots.save(HERE, 12, state(12))
    assert not [name for name in files(tmp_path) if "partial" in name]


@given(st.data())
def test_any_damage_is_found_and_the_one_before_is_used(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    snapshots = saved(folder, 5, 9)
    path = newest(folder)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path.write_bytes(content)
    found = snapshots.load(HERE, 100)
    assert found is not None
    # The offset in the first line is for people: the file's name counts.
    assert found[0] == 5 or same_state(found[1], state(9))


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"[]\nx", b"{}\n", b"3\n", b'{"format": 1}\n', b"\xff"]
)
def test_a_file_of_something_else_is_set_aside_and_told(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshots = saved(tmp_path, 5, 9)
    path = newest(tmp_path)
    path.write_bytes(content)
    found = snapshots.load(HERE, 100)
    assert found is not None
    assert found[0] == 5
    assert path.with_suffix(".damaged").read_bytes() == content
    assert "snapshot damaged" in capsys.readouterr().out


def test_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 5)
    (newest(tmp_path).parent / "notes.snapshot").write_text("mine")
    snapshots.save(HERE, 9, state(9))
    assert any(name.endswith("notes.snapshot") for name in files(tmp_path))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"snapshot in .*file/plant.vibration/3: Not a directory"):
        saved(tmp_path / "file", 5)


def test_a_disk_that_refuses_is_told_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    snapshots = saved(tmp_path, 5)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match="No space left on device"):
        snapshots.save(HERE, 9, state(9))
    assert files(tmp_path) == [f"plant.vibration/3/{5:020d}.snapshot"]
