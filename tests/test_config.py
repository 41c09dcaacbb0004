"""Reading the configuration: what it means, and that no text whatever crashes it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import load, parse
from monitor.errors import ConfigError
from monitor.settings import Config

GOOD = Path(__file__).parent / "data" / "good.yaml"
ENVIRONMENT = {"BROKER_PASSWORD": "s3cret-words", "EMPTY": ""}
TEXT = GOOD.read_text()
TREE: Any = yaml.safe_load(TEXT)


def good(**streams: Any) -> Config:
    """The good file with some settings of its first stream changed."""
    tree = copy.deepcopy(TREE)
    tree["streams"]["vibration"].update(streams)
    return parse(yaml.safe_dump(tree), "good.yaml", ENVIRONMENT)


def test_a_file_means_what_it_says() -> None:
    config = load(GOOD, ENVIRONMENT)
    vibration, pressure = config.streams["vibration"], config.streams["pressure"]
    assert vibration.window.shape == (3, 1024)
    assert vibration.window.hop_samples == 512
    assert vibration.alert.silence == 300
    assert [use.reference.label for use in vibration.models[0].use] == [
        "conv_ae",
        "deep_svdd",
        "online_iforest",
    ]
    assert vibration.models[1].use[0].params == {"trees": 16}
    assert pressure.window.hop_samples == 10, "no hop: one window after the other"
    assert pressure.format.paths.values == "data.values"
    assert config.topics() == ["plant.pressure", "plant.vibration"]
    assert [sink.log for sink in config.sinks] == [True, None, None]


def test_the_first_rule_that_matches_wins() -> None:
    stream = load(GOOD, ENVIRONMENT).streams["vibration"]
    assert (stream.rule_of("pump-1"), stream.rule_of("fan")) == (0, 1)
    assert (
        good(models=[{"match": "p*", "use": ["online_iforest"]}], alert={})
        .streams["vibration"]
        .rule_of("fan")
        is None
    )


def test_labels_of_all_matching_assets_are_joined() -> None:
    assets = [{"labels": {"site": "a", "hall": "1"}}, {"match": "p*", "labels": {"site": "b"}}]
    stream = good(assets=assets).streams["vibration"]
    assert stream.labels_of("pump") == {"site": "b", "hall": "1"}
    assert stream.labels_of("fan") == {"site": "a", "hall": "1"}


def test_a_secret_comes_from_the_environment_and_is_never_shown() -> None:
    config = load(GOOD, ENVIRONMENT)
    assert config.source.kafka is not None
    password = config.source.kafka.security.password
    assert password is not None
    assert password.get_secret_value() == "s3cret-words"
    for shown in (repr(config), str(config), config.model_dump_json(), str(config.model_dump())):
        assert "s3cret" not in shown


def test_a_value_from_the_environment_cannot_change_the_shape() -> None:
    config = parse(TEXT, "x", {"BROKER_PASSWORD": "a: [b, ${EMPTY}]\nc: d"})
    assert config.source.kafka is not None
    password = config.source.kafka.security.password
    assert password is not None
    assert password.get_secret_value() == "a: [b, ${EMPTY}]\nc: d"


@pytest.mark.parametrize("place", ["bootstrap", "protocol", "session_timeout", "typo"])
def test_a_value_from_the_environment_is_not_told_wherever_it_is_wrong(place: str) -> None:
    tree = copy.deepcopy(TREE)
    kafka = tree["source"]["kafka"]
    value: Any = "x${BROKER_PASSWORD}" if place == "protocol" else "${BROKER_PASSWORD}"
    if place == "protocol":
        kafka["security"]["protocol"] = value
    else:
        kafka[place] = [value] if place == "bootstrap" else value
    with pytest.raises(ConfigError) as caught:
        parse(yaml.safe_dump(tree), "x.yaml", {"BROKER_PASSWORD": " s3cret"})
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert place in str(caught.value)


def test_a_password_in_a_line_that_is_not_yaml_is_not_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("source: {password: s3cret: [}", "x.yaml")
    assert str(caught.value).startswith("x.yaml: not YAML: line 1, column 26:")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("secret", [123, ["s3cret"], {"a": "s3cret"}])
def test_a_password_of_the_wrong_type_is_not_told(secret: Any) -> None:
    tree = copy.deepcopy(TREE)
    tree["source"]["kafka"]["security"]["password"] = secret
    with pytest.raises(ConfigError, match=r"security\.password: ") as caught:
        parse(yaml.safe_dump(tree), "x.yaml")
    assert "s3cret" not in str(caught.value)
    assert "123" not in str(caught.value)


def test_anchors_and_merges_are_fine() -> None:
    more = "  pressure: &first"
    second = "  second: {<<: *first, topics: [plant.second]}\nsinks:"
    text = TEXT.replace("  pressure:", more).replace("sinks:", second)
    streams = parse(text, "x", ENVIRONMENT).streams
    assert streams["second"].topics == ["plant.second"]
    assert streams["second"].window == streams["pressure"].window


def bomb(kind: str, depth: int = 40) -> str:
    """Every level holds the one before ten times."""
    first = {"list": "[x]", "map": "{k: x}", "merge": "{k: x}"}[kind]
    lines = [f"a0: &a0 {first}"]
    for i in range(1, depth):
        many = ", ".join([f"*a{i - 1}"] * 10)
        pairs = ", ".join(f"k{j}: *a{i - 1}" for j in range(10))
        body = {"list": f"[{many}]", "map": f"{{{pairs}}}", "merge": f"{{<<: [{many}]}}"}[kind]
        lines.append(f"a{i}: &a{i} {body}")
    return "\n".join(lines)


@pytest.mark.parametrize("kind", ["list", "map", "merge"])
def test_a_bomb_of_aliases_is_refused_before_it_goes_off(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"line \d+, .* more than 50000 values, aliases exp"):
        parse(bomb(kind), "bomb.yaml")


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {b: *a}", "a: &a {<<: *a}"])
def test_an_alias_to_itself_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="an alias to what it is a part of"):
        parse(text, "x.yaml")


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"not YAML: nested too deeply"):
        parse("[" * 5_000, "x.yaml")


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(["-1s", "0s", "9999999999d", "3 of 99", "${NOT_SET}", "\ud800", "[", "1e400"]),
    st.sampled_from([10**30, -1, 1e308, 5e-324]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), st.integers(), max_size=2),
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every part of a tree."""
    keys: Any = range(len(tree)) if isinstance(tree, list) else tree
    if not isinstance(tree, dict | list):
        return [path]
    return [path, *(place for key in keys for place in places(tree[key], (*path, key)))]


@given(st.sampled_from(places(TREE)[1:]), st.sampled_from(["set", "delete", "add"]), VALUES)
def test_any_change_of_a_good_file_is_read_or_refused(
    place: tuple[Any, ...], change: str, value: Any
) -> None:
    tree = copy.deepcopy(TREE)
    at = tree
    for key in place[:-1]:
        at = at[key]
    if change == "delete":
        del at[place[-1]]
    elif change == "add" and isinstance(at, dict):
        at[f"{place[-1]}x"] = value
    else:
        at[place[-1]] = value
    read_or_refused(yaml.safe_dump(tree, allow_unicode=False))


@given(st.integers(0, len(TEXT)), st.integers(0, 30), st.text(max_size=5))
def test_any_damage_to_the_text_is_read_or_refused(at: int, cut: int, put: str) -> None:
    read_or_refused(TEXT[:at] + put + TEXT[at + cut :])


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    read_or_refused(text)


def read_or_refused(text: str) -> None:
    try:
        shown = parse(text, "x.yaml", ENVIRONMENT).model_dump_json()
    except ConfigError as error:
        shown = str(error)
    assert "s3cret" not in shown
