"""One file per mistake in data/bad/, and beside it exactly what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import load
from monitor.errors import ConfigError

BAD = sorted((Path(__file__).parent / "data" / "bad").glob("*.yaml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_mistake_is_told_in_exactly_these_words(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    told = str(caught.value).replace(str(path), path.name)
    assert told + "\n" == path.with_suffix(".txt").read_text()
    assert "hunter2" not in told, "a password"
    assert caught.value.exit_code == 2


def test_every_mistake_has_its_words() -> None:
    assert len(BAD) >= 40
    assert {path.with_suffix(".txt") for path in BAD} == set(BAD[0].parent.glob("*.txt"))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read: .*No such file"):
        load(tmp_path / "none.yaml", {})
