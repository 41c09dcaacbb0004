"""Hostile files cost seconds, not minutes or the memory of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import load, parse
from monitor.errors import ConfigError
from monitor.yaml_reader import MOST_CHARACTERS, MOST_VALUES, read_yaml


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.yaml")
    told = str(caught.value)
    assert len(told) < 10_000
    return told


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)  # takes no room on the disk, but would in memory
    with pytest.raises(ConfigError, match=f"larger than {MOST_CHARACTERS} bytes"):
        load(file, {})


def test_a_file_without_an_end_is_not_read_on() -> None:
    with pytest.raises(ConfigError, match="larger than"):
        load(Path("/dev/zero"), {})


def test_a_text_that_is_too_long_is_refused() -> None:
    told = complaint("#" * (MOST_CHARACTERS + 1))
    assert told == f"x.yaml: longer than {MOST_CHARACTERS} characters"


@pytest.mark.parametrize(
    "text",
    ["a: [" + "1," * MOST_VALUES * 3, "{" + ", ".join(f"k{i}" for i in range(MOST_VALUES)) + "}"],
)
def test_too_many_values_are_refused_before_the_rest_is_read(text: str) -> None:
    assert f"more than {MOST_VALUES} values" in complaint(text)


def test_as_many_values_as_are_allowed_are_read() -> None:
    values = read_yaml("[" + "1, " * (MOST_VALUES - 1) + "]", "x.yaml")
    assert values == [1] * (MOST_VALUES - 1)


@pytest.mark.parametrize(
    "number",
    [
        "1" + ":1" * 300_000,  # to the base of 60: quadratic
        "1" + ":1" * 300_000 + ".5",
        "0x" + "f" * 5_000,  # could be read, but not printed
        "9" * 5_000,
        "0." + "9" * 5_000,
        "!!int '" + "1" * 101 + "'",
    ],
)
def test_numbers_that_nobody_writes_are_refused(number: str) -> None:
    assert "a number that is too long" in complaint(f"serve: {{port: {number}}}")


@pytest.mark.parametrize("text", ["[" * 500_000, "{a: " * 200_000, "- " * 400_000, "? " * 400_000])
def test_nesting_is_refused_at_once(text: str) -> None:
    assert complaint(text) == "x.yaml: not YAML: nested too deeply"


def test_nesting_by_indentation_is_refused() -> None:
    text = "\n".join(" " * i + "a:" for i in range(1_200))
    assert complaint(text) == "x.yaml: not YAML: nested too deeply"


def test_a_mistake_in_a_long_value_or_key_is_told_in_a_short_line() -> None:
    told = complaint("? " + "k" * 100_000 + "\n: 1\nserve: " + "v" * 100_000)
    assert max(map(len, told.splitlines())) < 500


@pytest.mark.parametrize(
    ("line", "told_of"),
    [
        ("password: *hunter2", "found undefined alias"),
        ("password: [&hunter2 a, &hunter2 b]", "an anchor of that name is there already"),
        ("password: !hunter2 x", "could not determine a constructor for the tag"),
        ("password: !hunter2!x y", "found undefined tag handle"),
        ("password: 'hunter2", "found unexpected end of stream"),
        ("password: hunter2: x", "mapping values are not allowed here"),
    ],
)
def test_a_password_that_looks_like_yaml_is_not_told(line: str, told_of: str) -> None:
    told = complaint(line)
    assert "hunter2" not in told
    assert told.startswith("x.yaml: not YAML: line 1, column ")
    assert told_of in told
