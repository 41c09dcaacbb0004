"""Passwords as they are stored, and who is let in by which header."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor import passwords
from monitor.passwords import Cost, hash_password
from monitor.serve import login as module
from monitor.serve.login import Doorkeeper, Grant, TooManyAttemptsError
from monitor.serving import Login
from tests.served import CHEAP, hashed

TOKEN, SCRAPER = "t0ken-that-opens-all", "t0ken-for-metrics"
# One password, as two keyboards spell it.
COMPOSED, DECOMPOSED = "caf\N{LATIN SMALL LETTER E WITH ACUTE}!", "cafe\N{COMBINING ACUTE ACCENT}!"
texts = st.text(max_size=30)


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def login(**more: Any) -> Login:
    """Anna may see everything, and so may a token; Prometheus the metrics, as user or by token."""
    metrics = {"users": {"scraper": hashed("scrape-it")}, "tokens": {"prometheus": SCRAPER}}
    users = {"anna": hashed("correct horse"), "zoe": hashed("p\N{EURO SIGN}:ss")}
    return Login.model_validate(
        {"users": users, "tokens": {"ci": TOKEN}, "metrics": metrics, **more}
    )


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def ask(keeper: Doorkeeper, *headers: str, client: str = "192.0.2.1") -> list[Grant]:
    async def work() -> list[Grant]:
        return [await keeper.grant(header, client) for header in headers]

    return run(work())


def run(work: Coroutine[Any, Any, list[Grant]]) -> list[Grant]:
    return asyncio.run(work)


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every password that was tried against a hash."""
    tried: list[str] = []
    matches = passwords.PasswordHash.matches

    def counted(self: passwords.PasswordHash, password: str) -> bool:
        tried.append(password)
        return matches(self, password)

    monkeypatch.setattr(passwords.PasswordHash, "matches", counted)
    return tried


@given(texts, texts)
@example(COMPOSED, DECOMPOSED)
@settings(max_examples=15, deadline=None)
def test_a_hash_matches_its_own_password_only(password: str, other: str) -> None:
    found = passwords.parse(str(hash_password(password, CHEAP)))
    assert found.matches(password)
    same = {password, other} == {COMPOSED, DECOMPOSED} or password == other
    assert found.matches(other) is same


def test_the_same_password_has_another_hash_each_time_and_is_not_in_it() -> None:
    one, two = (
        str(hash_password("correct horse", CHEAP)),
        str(hash_password("correct horse", CHEAP)),
    )
    assert one != two
    assert "horse" not in one


def test_the_notation_is_the_one_of_other_tools() -> None:
    """The numbers stand where they are looked for, and the hash is scrypt as the library has it."""
    text = str(hash_password("correct horse"))
    assert text.startswith("$scrypt$ln=14,r=8,p=5$")
    salt, digest = (base64.b64decode(part + "==") for part in text.split("$")[3:])
    assert hashlib.scrypt(b"correct horse", salt=salt, n=2**14, r=8, p=5, dklen=32) == digest


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("correct horse", "not the hash of a password; make one with 'monitor hash-password'"),
        ("$2b$12$abcdefghijklmnopqrstuv", "not the hash of a password"),
        ("$scrypt$ln=14,r=8,p=5$c2FsdHNhbHQ$c2hvcnQ", "not the hash of a password"),
        ("$scrypt$ln=9,r=8,p=1$" + "A" * 22 + "$" + "A" * 43, "ln is 10 to 20"),
        ("$scrypt$ln=20,r=99,p=1$" + "A" * 22 + "$" + "A" * 43, "at most 256 MiB"),
        ("$scrypt$ln=14,r=8,p=5$" + "A" * 21 + "$" + "A" * 43, "cut off"),
    ],
)
def test_what_is_no_hash_is_told_without_being_shown(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as error:
        passwords.parse(text)
    assert text not in str(error.value)


@given(
    st.text(max_size=80) | st.from_regex(r"\$scrypt\$ln=\d+,r=\d+,p=\d+\$\w*\$\w*", fullmatch=True)
)
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        found = passwords.parse(text)
    except ValueError:
        return
    assert found.cost.memory <= passwords.MOST_MEMORY


@pytest.mark.parametrize(
    ("header", "grant"),
    [
        (basic("anna", "correct horse"), Grant.EVERYTHING),
        (basic("zoe", "p\N{EURO SIGN}:ss"), Grant.EVERYTHING),
        (basic("scraper", "scrape-it"), Grant.METRICS),
        (f"Bearer {TOKEN}", Grant.EVERYTHING),
        (f"bearer  {SCRAPER} ", Grant.METRICS),
        (basic("anna", "correct horse").replace("Basic", "BASIC"), Grant.EVERYTHING),
        (basic("anna", "scrape-it"), Grant.NOTHING),
        (basic("anna", ""), Grant.NOTHING),
        (basic("Anna", "correct horse"), Grant.NOTHING),
        (basic("nobody", "correct horse"), Grant.NOTHING),
        (basic("", "correct horse"), Grant.NOTHING),
        (f"Bearer {TOKEN}x", Grant.NOTHING),
        ("Bearer ", Grant.NOTHING),
        (f"Basic {TOKEN}", Grant.NOTHING),
        (f"Token {TOKEN}", Grant.NOTHING),
        ("Basic \N{EURO SIGN}\x00", Grant.NOTHING),
        ("Basic /////w==", Grant.NOTHING),
        ("Bearer \udcff", Grant.NOTHING),
        ("Basic", Grant.NOTHING),
        ("", Grant.NOTHING),
    ],
)
def test_each_header_opens_what_it_should(header: str, grant: Grant) -> None:
    assert ask(Doorkeeper(login()), header) == [grant]


@given(
    st.text(max_size=60)
    | st.binary(max_size=40).map(lambda b: b"Basic " + base64.b64encode(b)).map(bytes.decode)
)
@settings(max_examples=30, deadline=None)
def test_no_header_whatever_opens_anything_by_chance(header: str) -> None:
    assert ask(Doorkeeper(login()), header) == [Grant.NOTHING]


def test_a_right_password_is_tried_once_in_ten_minutes(trials: list[str]) -> None:
    clock = Time()
    keeper = Doorkeeper(login(), clock)
    header = basic("anna", "correct horse")
    assert ask(keeper, *[header] * 50) == [Grant.EVERYTHING] * 50
    assert len(trials) == 1
    clock.now += module.KNOWN_SECONDS
    assert ask(keeper, header, header) == [Grant.EVERYTHING] * 2
    assert len(trials) == 2


def test_a_page_that_asks_ten_things_at_once_has_one_trial(trials: list[str]) -> None:
    keeper = Doorkeeper(login())

    async def together() -> list[Grant]:
        header = basic("anna", "correct horse")
        return list(await asyncio.gather(*(keeper.grant(header, "a") for _ in range(10))))

    assert run(together()) == [Grant.EVERYTHING] * 10
    assert len(trials) == 1


def test_knowing_one_password_lets_no_other_one_in(trials: list[str]) -> None:
    keeper = Doorkeeper(login())
    found = ask(keeper, basic("anna", "correct horse"), basic("anna", "wrong"), basic("zoe", "x"))
    assert found == [Grant.EVERYTHING, Grant.NOTHING, Grant.NOTHING]
    assert trials == ["correct horse", "wrong", "x"]


def test_no_password_is_kept_in_the_clear() -> None:
    keeper = Doorkeeper(login())
    ask(keeper, basic("anna", "correct horse"), f"Bearer {TOKEN}")
    kept = repr(vars(keeper))
    assert "horse" not in kept
    assert TOKEN not in kept


def test_a_name_that_nobody_has_costs_as_much_as_a_wrong_password(trials: list[str]) -> None:
    keeper = Doorkeeper(login())
    ask(keeper, basic("nobody", "x"))
    assert trials == ["x"]
    assert keeper._nobody.password.cost == CHEAP


def guess(keeper: Doorkeeper, header: Callable[[int], str], times: int, client: str) -> int:
    """How many of so many guesses were answered at all."""
    for i in range(times):
        try:
            ask(keeper, header(i), client=client)
        except TooManyAttemptsError:
            return i
    return times


@pytest.mark.parametrize("header", [lambda i: basic("anna", f"{i}"), lambda i: f"Bearer {i:020}"])
def test_guessing_ends_soon_for_its_client_and_for_nobody_else(
    header: Callable[[int], str], trials: list[str]
) -> None:
    clock = Time()
    keeper = Doorkeeper(login(), clock)
    ask(keeper, basic("anna", "correct horse"), client="guesser")
    assert guess(keeper, header, 50, "guesser") == module.ATTEMPTS_AT_ONCE
    before = len(trials)
    known = basic("anna", "correct horse"), f"Bearer {TOKEN}"
    assert ask(keeper, *known, client="guesser") == [Grant.EVERYTHING] * 2, "no lock-out"
    assert ask(keeper, basic("zoe", "x"), client="other") == [Grant.NOTHING]
    clock.now += 1 / module.ATTEMPTS_PER_SECOND
    assert guess(keeper, header, 50, "guesser") == 1
    assert len(trials) <= before + 2


def test_who_guessed_too_often_is_told_how_long_to_wait() -> None:
    keeper = Doorkeeper(login(), Time())
    guess(keeper, lambda i: f"Bearer {i}", 50, "guesser")
    with pytest.raises(TooManyAttemptsError) as error:
        ask(keeper, "Bearer x", client="guesser")
    assert error.value.wait == pytest.approx(1 / module.ATTEMPTS_PER_SECOND, rel=0.01)


def test_many_guessers_together_cost_a_bounded_share_of_one_core(trials: list[str]) -> None:
    keeper = Doorkeeper(login(), Time())
    answered = [guess(keeper, lambda i: basic("anna", f"{i}"), 1, f"c{c}") for c in range(60)]
    assert sum(answered) == len(trials) == module.TRIALS_AT_ONCE


def test_each_place_offers_the_ways_that_lead_into_it() -> None:
    keeper = Doorkeeper(login())
    both = ['Basic realm="monitor", charset="UTF-8"', 'Bearer realm="monitor"']
    assert keeper.challenges(Grant.EVERYTHING) == both
    only = Doorkeeper(Login.model_validate({"metrics": {"tokens": {"prometheus": SCRAPER}}}))
    assert only.challenges(Grant.EVERYTHING) == []
    assert only.challenges(Grant.METRICS) == both[1:]


def test_costs_are_those_that_are_recommended() -> None:
    """OWASP: N=2^14 with r=8 and p=5 is as good as the others it names."""
    assert Cost() == (14, 8, 5)
    assert Cost().memory == 16 * 2**20
