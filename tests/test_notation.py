"""The small languages inside the configuration."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.notation import Below, Votes, below, channel_names, reference, seconds, spell, votes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250us", 0.00025),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        (".5 s", 0.5),
        ("2m", 120),
        ("1h", 3600),
        ("1d", 86400),
        (0, 0),
        (2, 2),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_a_number_with_a_unit_or_of_seconds(text: object, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


BAD_DURATIONS = ["", "s", "5", "5 x", "-1s", "1e3s", "1s 2s", True, None, [], {}]


@pytest.mark.parametrize("text", BAD_DURATIONS)
def test_what_is_no_duration_is_told_with_the_units(text: object) -> None:
    with pytest.raises(ValueError, match="a number with a unit, one of us, ms, s, m, h, d"):
        seconds(text)


@pytest.mark.parametrize("text", [-1, 1e300, 10**400, float("nan"), float("inf"), "99999d"])
def test_a_duration_has_a_longest(text: object) -> None:
    with pytest.raises(ValueError, match="not a duration; 0 to 3660d are valid"):
        seconds(text)


def test_votes_are_k_of_n() -> None:
    assert votes("3 of 5") == votes(Votes(3, 5)) == Votes(3, 5)
    assert votes(" 64  of 64 ") == Votes(64, 64)


@pytest.mark.parametrize("text", ["3", "0 of 5", "6 of 5", "3 of 65", "3/5", "-1 of 5", 3, None])
def test_what_is_no_k_of_n_is_told(text: object) -> None:
    with pytest.raises(ValueError, match="'k of n' with 1 <= k <= n <= 64, such as '3 of 5'"):
        votes(text)


def test_below_is_a_number_of_windows_and_a_level() -> None:
    assert below("5 below 0.8") == below(Below(5, 0.8)) == Below(5, 0.8)
    assert below("1 below 1") == Below(1, 1.0)


BAD_LEVELS = ["5", "0 below 1", "5 below 1.1", "5 below 0", "9999999 below 1", "5 under 1", None]


@pytest.mark.parametrize("text", BAD_LEVELS)
def test_what_is_no_below_is_told(text: object) -> None:
    with pytest.raises(ValueError, match="'n below level' with 1 <= n <= 1000000 and 0 < level"):
        below(text)


@pytest.mark.parametrize(
    ("text", "parsed", "label"),
    [
        ("conv_ae:pumps@production", ("conv_ae", "pumps", "production"), "conv_ae"),
        ("conv_ae:pumps", ("conv_ae", "pumps", "production"), "conv_ae"),
        ("mahalanobis:a.b-c_1@12", ("mahalanobis", "a.b-c_1", "12"), "mahalanobis"),
        ("online_iforest", ("online_iforest", "", ""), "online_iforest"),
        ("my.own:Detector", ("my.own:Detector", "", ""), "Detector"),
        ("my.own:Detector:pumps@3", ("my.own:Detector", "pumps", "3"), "Detector"),
    ],
)
def test_a_reference_names_a_detector_and_its_model(
    text: str, parsed: tuple[str, str, str], label: str
) -> None:
    assert tuple(reference(text)) == parsed
    assert reference(text).label == label


@pytest.mark.parametrize("text", ["conv_ea", "conv_ae:", "conv_ae:a@", "my.own:lower", "a b", ""])
def test_what_is_no_detector_is_told_with_those_that_are(text: str) -> None:
    with pytest.raises(ValueError, match="no such detector; write one of adacos, ae_mahalanobis, "):
        reference(text)


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 99), st.integers(1, 100))
def test_what_is_spelled_is_parsed_again(k: int, n: int, windows: int, level: int) -> None:
    chosen = Votes(min(k, n), max(k, n))
    assert votes(spell(chosen)) == chosen
    assert below(spell(Below(windows, level / 100))) == Below(windows, level / 100)


@given(st.text())
def test_no_text_whatever_raises_anything_else(text: str) -> None:
    for parse in (seconds, votes, below, reference):
        with suppress(ValueError):
            parse(text)


def test_a_number_of_channels_stands_for_their_names() -> None:
    assert channel_names(3) == ["0", "1", "2"]
    assert channel_names(["x", "y"]) == ["x", "y"]


@pytest.mark.parametrize("count", [0, -1, 1025])
def test_too_few_or_too_many_channels_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 1024"):
        channel_names(count)
