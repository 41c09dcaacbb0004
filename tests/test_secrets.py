"""Secrets from outside: where they may come from, where they may stand, and that none is told."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.config import parse
from monitor.errors import ConfigError
from monitor.substitution import MOST_BYTES
from tests.terminal import command, plant, written
from tests.test_config import TREE, places

SECURITY = {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u"}
SECRET = 'tH1s-is ä "s3cret" it\'s $\\'


def text(**security: Any) -> str:
    """The good file, with other security."""
    tree = copy.deepcopy(TREE)
    tree["source"]["kafka"]["security"] = {**SECURITY, **security}
    return yaml.safe_dump(tree, allow_unicode=True)


def password(file: str) -> str:
    """What the configuration takes for the password."""
    config = parse(text(password=f"${{file:{file}}}"), "x.yaml", {})
    assert config.source.kafka
    found = config.source.kafka.security.password
    assert found
    return found.get_secret_value()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"word", "word"),
        (b"word\n", "word"),
        (b"word\r\n", "word"),
        (b"word\n\n", "word\n"),
        (b" word ", " word "),
        ("wörd: [${EMPTY}".encode(), "wörd: [${EMPTY}"),
    ],
)
def test_a_secret_is_what_the_file_holds_less_one_newline(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert password(f"{tmp_path}/secret") == expected


@pytest.mark.parametrize(
    ("name", "told_of"),
    [
        ("absent", "absent' cannot be read: No such file or directory"),
        ("large", f"large' is larger than {MOST_BYTES} bytes"),
        ("binary", "binary' is not UTF-8"),
        ("pipe", "pipe' is not a regular file"),
        ("", "is not a regular file"),
        ("null\0", "cannot be read: "),
    ],
)
def test_a_file_that_gives_no_secret_is_told_with_its_place(
    tmp_path: Path, name: str, told_of: str
) -> None:
    (tmp_path / "large").write_bytes(b"s" * (MOST_BYTES + 1))
    (tmp_path / "binary").write_bytes(b"s3cret\xff")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError) as caught:
        password(f"{tmp_path}/{name}")
    told = str(caught.value)
    assert told.startswith("x.yaml: source.kafka.security.password: file ")
    assert told_of in told
    assert "s3cret" not in told


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, who may read everything."""
    real = os.geteuid()
    if real == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(real)


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0)
    with as_nobody(), pytest.raises(ConfigError, match="Permission denied"):
        password(f"{tmp_path}/secret")


def test_an_empty_file_is_no_password(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(ConfigError, match="PLAIN needs username and password"):
        password(f"{tmp_path}/secret")


def test_every_kind_of_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a-token-of-enough-characters\n")
    placeholder = f"${{file:{tmp_path}/secret}}"
    oauth = {"token_url": "https://x.example/t", "client_id": "m", "client_secret": placeholder}
    tree = yaml.safe_load(text(password="p"))
    tree["source"]["kafka"]["security"] = {
        "protocol": "SASL_SSL",
        "mechanism": "OAUTHBEARER",
        "oauth": oauth,
    }
    tree["serve"]["login"] = {"metrics": {"tokens": {"prometheus": placeholder}}}
    config = parse(yaml.safe_dump(tree), "x.yaml", {})
    assert config.serve
    assert "a-token-of-enough" not in f"{config} {config.model_dump_json()}"


def test_a_file_is_not_read_for_a_value_that_would_be_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    placeholder = f"${{file:{tmp_path}/secret}}"
    for place in ({"username": placeholder}, {"ca": placeholder}, {"mechanism": placeholder}):
        with pytest.raises(ConfigError, match="is for passwords and other secrets") as caught:
            parse(text(password="p", **place), "x.yaml", {})
        assert SECRET not in str(caught.value)


def test_a_secret_is_in_nothing_that_check_prints(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret-of-the-file\n")
    security = {**SECURITY, "password": f"${{file:{tmp_path}/secret}}"}
    source = {"kafka": {"bootstrap": ["127.0.0.1:1"], "security": security}}
    file = written(tmp_path / "plant.yaml", plant(tmp_path, source=source))
    for options in ([], ["--json"]):
        found = command("check", file, *options)
        assert found.code == 0
        assert "s3cret-of-the-file" not in found.out + found.err
    shown = json.loads(command("check", file, "--json").out)
    assert shown["source"]["kafka"]["security"]["password"] == "*" * 10


# Of more than one kind of character, and so in no message by chance.
WORDS = st.text(min_size=6, max_size=300).filter(lambda word: len({*word} - {*" 0"}) > 3)
PLACES = [place for place in places(TREE)[1:] if not isinstance(place[-1], int) or place[:-1]]


@given(st.sampled_from(PLACES), WORDS | st.just(SECRET), st.sampled_from(["{}", "x{}", "{}:{}"]))
def test_what_comes_from_the_environment_is_in_no_message(
    place: tuple[Any, ...], word: str, form: str
) -> None:
    assert_hidden(changed(place, form.replace("{}", "${SECRET}")), word)


@given(WORDS.filter(lambda word: not {"\r", "\x85", "\u2028", "\u2029"} & set(word)), st.data())
def test_a_password_is_in_no_message_whatever_else_is_wrong(word: str, data: Any) -> None:
    place = data.draw(st.sampled_from(PLACES))
    assume(place[-1] not in ("password", "security", "kafka", "source"))
    tree = changed(place, data.draw(st.sampled_from([None, 7, "x", [], {}])))
    tree["source"]["kafka"]["security"]["password"] = word
    assert_hidden(tree, word)


@given(WORDS)
def test_a_password_without_quotes_is_in_no_message_about_the_yaml(word: str) -> None:
    line = f"source: {{kafka: {{security: {{password: {word}}}}}}}"
    assert word not in complaint(line, {})


def changed(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The good tree with another value at a place."""
    tree: dict[str, Any] = copy.deepcopy(TREE)
    at: Any = tree
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return tree


def assert_hidden(tree: dict[str, Any], word: str) -> None:
    """No message names the word, as it is or in quotes."""
    source = yaml.safe_dump(tree)
    told = complaint(source, {"SECRET": word, "BROKER_PASSWORD": "other-words"})
    assert word not in told
    assert repr(word)[1:-1] not in told


def complaint(source: str, environment: dict[str, str]) -> str:
    """What is said of a configuration; nothing of a valid one."""
    try:
        parse(source, "x.yaml", environment)
    except ConfigError as error:
        return str(error)
    return ""


def test_a_part_of_a_value_from_outside_is_not_told_either() -> None:
    models = [{"use": ["${A}", "other:Xs3cret"]}]
    tree = changed(("streams", "vibration", "models"), models)
    environment = {"A": "tests.hidden:Xs3cret", "BROKER_PASSWORD": "p"}
    told = complaint(yaml.safe_dump(tree), environment)
    assert told == "x.yaml: streams.vibration.models.0.use: not valid with the value of ${A}"


def test_a_long_value_is_not_told_up_to_where_it_is_cut() -> None:
    tree = changed(("streams", "vibration", "sensor"), "${A}")
    told = complaint(yaml.safe_dump(tree), {"A": "s3cret" * 50, "BROKER_PASSWORD": "p"})
    assert "s3cret" not in told
    assert "'${A}': not one of key, topic, header:NAME, payload:PATH" in told
