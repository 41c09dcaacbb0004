"""Snapshots in a directory: whole or not there, and what is damaged is found and set aside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def names(*offsets: int) -> list[str]:
    return [f"{offset:020d}.snapshot" for offset in offsets]


def file_of(folder: Path, offset: int) -> Path:
    return folder / "plant.vibration" / "3" / f"{offset:020d}.snapshot"


def saved(folder: Path, *offsets: int, keep: int = 3) -> DirectorySnapshots:
    snapshots = DirectorySnapshots(folder, keep)
    for offset in offsets:
        snapshots.save(HERE, offset, state(offset))
    return snapshots


def newest(folder: Path) -> Path:
    return max(folder.rglob("*.snapshot"))


def from_the_future(folder: Path, offset: int) -> None:
    """Make a snapshot that of a newer version of the program."""
    path = file_of(folder, offset)
    head, _, body = path.read_bytes().partition(b"\n")
    changed = json.loads(head) | {"format": 2, "packed": "as never before"}
    path.write_bytes(json.dumps(changed).encode() + b"\n" + body)


def test_it_keeps_the_promises_of_snapshots(tmp_path: Path) -> None:
    def damage(partition: Partition, offset: int) -> None:
        assert partition.number == 0
        (path,) = tmp_path.rglob(f"{offset:020d}.snapshot")
        path.write_bytes(path.read_bytes()[:-1])

    check_snapshots(lambda: DirectorySnapshots(tmp_path), damage)


def test_the_ones_of_our_tests_keep_them_too() -> None:
    kept = MemorySnapshots()
    check_snapshots(lambda: kept)


def test_the_newest_come_first(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 5, 9, 14)
    assert snapshots.offsets(HERE) == [14, 9, 5]
    assert all(same_state(snapshots.load(HERE, o), state(o)) for o in (14, 9, 5))
    assert snapshots.offsets(Partition("plant.vibration", 4)) == []


def test_a_few_generations_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, *range(10, 20), keep=2)
    assert files(tmp_path) == names(18, 19)


def test_what_is_ahead_of_a_new_snapshot_is_of_another_history(tmp_path: Path) -> None:
    """As after a topic was deleted and made anew: old offsets must not come back to life."""
    assert saved(tmp_path, 800, 900, 1000, 7).offsets(HERE) == [7]


def test_what_a_crash_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 5)
    (newest(tmp_path).parent / f"{9:020d}.4711.partial").write_bytes(b"half")
    assert snapshots.offsets(HERE) == [5]
    snapshots.save(HERE, 12, state(12))
    assert files(tmp_path) == names(5, 12)


@given(st.data())
def test_any_damage_is_found_and_never_named_again(
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
    assert snapshots.offsets(HERE) == [9, 5]
    try:
        # The offset in the first line is for people: the file's name counts.
        assert same_state(snapshots.load(HERE, 9), state(9))
    except StateError:
        assert snapshots.offsets(HERE) == [5]
        assert same_state(snapshots.load(HERE, 5), state(5))


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"[]\nx", b"{}\n", b"3\n", b'{"format": 1}\n', b"\xff", b"[" * 9000],
)
def test_a_file_of_something_else_is_set_aside(tmp_path: Path, content: bytes) -> None:
    snapshots = saved(tmp_path, 5, 9)
    path = file_of(tmp_path, 9)
    path.write_bytes(content)
    with pytest.raises(StateError, match=f"snapshot {path} is damaged"):
        snapshots.load(HERE, 9)
    assert snapshots.offsets(HERE) == DirectorySnapshots(tmp_path).offsets(HERE) == [5]
    assert path.with_suffix(".damaged").read_bytes() == content


def test_a_damaged_file_that_cannot_be_renamed_is_not_named_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshots = saved(tmp_path, 5, 9)
    file_of(tmp_path, 9).write_bytes(b"")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StateError, match="is damaged"):
        snapshots.load(HERE, 9)
    assert snapshots.offsets(HERE) == [5]
    assert "cannot be renamed" in capsys.readouterr().out
    snapshots.save(HERE, 9, state(9))
    assert snapshots.offsets(HERE) == [9, 5]


def test_one_that_cannot_be_read_is_passed_over_and_left(tmp_path: Path) -> None:
    """A disk that fails for a moment, or a user without the right, costs one generation only."""
    snapshots = saved(tmp_path, 5, 9)
    file_of(tmp_path, 9).unlink()
    file_of(tmp_path, 9).symlink_to(file_of(tmp_path, 9))
    with pytest.raises(StateError, match="Too many levels of symbolic links"):
        snapshots.load(HERE, 9)
    assert snapshots.offsets(HERE) == [5]
    assert DirectorySnapshots(tmp_path).offsets(HERE) == [9, 5]


def test_a_snapshot_of_a_newer_version_is_told_and_left_for_it(tmp_path: Path) -> None:
    saved(tmp_path, 5, 9)
    from_the_future(tmp_path, 9)
    content = file_of(tmp_path, 9).read_bytes()
    older = DirectorySnapshots(tmp_path, keep=2)
    with pytest.raises(StateError, match="has format 2, which a newer version"):
        older.load(HERE, 9)
    assert older.offsets(HERE) == [5]
    for offset in (12, 15, 18):
        older.save(HERE, offset, state(offset))
    assert file_of(tmp_path, 9).read_bytes() == content
    assert files(tmp_path) == names(9, 15, 18)


def test_a_snapshot_of_a_newer_version_that_was_never_read_is_left_too(tmp_path: Path) -> None:
    saved(tmp_path, 5)
    from_the_future(tmp_path, 5)
    saved(tmp_path, 12, 15, 18, keep=2)
    assert files(tmp_path) == names(5, 15, 18)


def test_a_snapshot_of_a_newer_version_that_is_ahead_goes(tmp_path: Path) -> None:
    saved(tmp_path, 50)
    from_the_future(tmp_path, 50)
    saved(tmp_path, 7)
    assert files(tmp_path) == names(7)


def test_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 5)
    for name in ("notes.snapshot", "7.snapshot", f"{9:020d}.damaged"):
        (newest(tmp_path).parent / name).write_text("mine")
    snapshots.save(HERE, 9, state(9))
    assert snapshots.offsets(HERE) == [9, 5]
    assert len(files(tmp_path)) == 5


def test_a_folder_that_cannot_be_made_or_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    where = r"snapshots in .*file/plant.vibration/3: Not a directory"
    with pytest.raises(StateError, match=where):
        saved(tmp_path / "file", 5)
    with pytest.raises(StateError, match=where):
        DirectorySnapshots(tmp_path / "file").offsets(HERE)


def test_a_folder_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To say that it is empty would be to start empty."""

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    snapshots = saved(tmp_path, 5)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StateError, match=r"snapshots in .*/3: Permission denied"):
        snapshots.offsets(HERE)


def test_a_disk_that_refuses_is_told_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    snapshots = saved(tmp_path, 5)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match="No space left on device"):
        snapshots.save(HERE, 9, state(9))
    assert files(tmp_path) == names(5)


_FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from monitor.connect.snapshots import DirectorySnapshots
from monitor.errors import StateError
from monitor.types import Partition

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
snapshots = DirectorySnapshots(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
for offset, size in ((5, 10), (9, 90_000), (7, 10)):
    try:
        snapshots.save(Partition("plant.vibration", 3), offset, {"a": np.zeros(size)})
    except StateError as error:
        print(offset, error)
"""


def test_a_write_that_is_cut_short_leaves_what_was_there(tmp_path: Path) -> None:
    """As on a full disk: the first bytes are written, the others are not."""
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout.startswith("9 snapshots in ")
    assert "File too large" in done.stdout
    assert files(tmp_path) == names(5, 7)
    assert DirectorySnapshots(tmp_path).offsets(HERE) == [7, 5]
