"""The harness itself: it finds every kind of fault that it is there to find."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice

import pytest

from monitor.types import Partition
from tests.chaos.compare import Verdict, judge
from tests.chaos.expected import Expected, expect
from tests.chaos.feed import SIZE, START, STEP, STREAMS, Fleet, Message, Stream
from tests.chaos.logs import Entry
from tests.chaos.producer import HEADER

Outputs = dict[str, list[Entry]]
DETECTORS: Mapping[Stream, tuple[str, ...]] = {
    "windows": ("mahalanobis",),
    "samples": ("online_iforest",),
}
LETTER = {"topic": b"in", "partition": b"0", "offset": b"2", "reason": b"empty"}


def entry(value: object, headers: dict[str, bytes] | None = None, key: bytes = b"pump") -> Entry:
    return Entry(Partition("out", 0), 0, key, json.dumps(value).encode(), headers or {})


def score(number: int, offset: int | None = None, raw: float = 0.5) -> Entry:
    place = {"topic": "in", "partition": 0, "offset": number if offset is None else offset}
    return entry({"id": f"score-{number}", "time": number, "raw": raw, **place})


def alert(phase: str, name: str = "alert") -> Entry:
    place = {"topic": "in", "partition": 0, "offset": 1}
    told = {"phase": phase, "severity": "warning", "rule": "score", "time": 1.0}
    return entry({"id": name, **told, **place})


def outputs() -> Outputs:
    """What a good run writes of three records, the last of which is poison."""
    return {
        "scores": [score(0), score(1)],
        "alerts": [alert("firing"), alert("resolved")],
        "dead_letters": [entry("", LETTER)],
    }


EXPECTED = Expected(scores={"score-0": 0, "score-1": 1}, letters={("in", 0, 2): "empty"}, records=3)


def verdict(chaos: Outputs, *, exactly: bool = False) -> Verdict:
    found = Verdict()
    judge(found, chaos, outputs(), EXPECTED, exactly=exactly)
    return found


def test_the_same_outputs_are_good_in_both_modes() -> None:
    assert verdict(outputs()).faults == verdict(outputs(), exactly=True).faults == 0


def test_repeats_are_good_but_not_exactly_once() -> None:
    chaos = outputs()
    chaos["scores"].append(score(0))
    assert (verdict(chaos).faults, verdict(chaos).repeats) == (0, 1)
    assert verdict(chaos, exactly=True).exactly_once_differences == 1


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda out: out["scores"].pop(), "differences"),
        (lambda out: out["scores"].pop(), "uncounted"),
        (lambda out: out["alerts"].pop(), "differences"),
        (lambda out: out["alerts"].append(alert("firing", "another")), "differences"),
        (lambda out: out["alerts"].append(alert("firing", "b")), "doubled_without_same_id"),
        (lambda out: out["scores"].append(score(2)), "uncounted"),
        (lambda out: out["scores"].append(score(0, raw=0.6)), "differences"),
        (lambda out: out["scores"].__setitem__(0, score(0, offset=5)), "differences"),
        (lambda out: out["dead_letters"].pop(), "uncounted"),
        (lambda out: out["dead_letters"].pop(), "differences"),
        (
            lambda out: out["dead_letters"].append(entry("", {**LETTER, "offset": b"3"})),
            "uncounted",
        ),
    ],
)
def test_each_kind_of_fault_is_found(spoil: Callable[[Outputs], object], name: str) -> None:
    chaos = outputs()
    spoil(chaos)
    assert getattr(verdict(chaos), name) > 0


def test_another_order_is_no_repeat_and_yet_not_exactly_once() -> None:
    chaos = outputs()
    chaos["scores"].reverse()
    assert verdict(chaos).faults == 0
    assert verdict(chaos, exactly=True).exactly_once_differences == 1


def written(messages: list[Message]) -> list[Entry]:
    """Messages as they would lie in the log."""
    offsets: Counter[Partition] = Counter()
    found = []
    for message in messages:
        place = Partition(message.stream, message.partition)
        headers = {HEADER: b"%d" % message.number}
        found.append(Entry(place, offsets[place], b"", message.value, headers))
        offsets[place] += 1
    return found


def sent(count: int, seed: int = 3) -> dict[int, Message]:
    return {message.number: message for message in islice(Fleet(seed).messages(), count)}


def test_the_same_seed_sends_the_same_messages_of_every_kind() -> None:
    one, other = sent(4000), sent(4000)
    assert one == other
    assert {message.kind for message in one.values()} == {"good", "again", "late", "poison"}
    assert {message.stream for message in one.values()} == set(STREAMS)
    assert len({message.reason for message in one.values()}) == 6
    assert sent(4000, seed=4) != one


def test_each_message_has_one_consequence() -> None:
    messages = sent(4000)
    found = expect(written(list(messages.values())), messages, set(messages), DETECTORS)
    kinds = Counter((m.stream, m.kind) for m in messages.values())
    scored = Counter(messages[number].stream for number in found.scores.values())
    assert scored["windows"] == kinds["windows", "good"]
    assert found.ignored["windows", "duplicate"] == SIZE * 2 * kinds["windows", "again"]
    assert found.ignored["windows", "late"] == SIZE * 2 * kinds["windows", "late"]
    assert len(found.letters) == kinds["windows", "poison"] + kinds["samples", "poison"]
    assert found.records == len(messages)


def test_what_was_acknowledged_and_is_not_there_is_lost() -> None:
    messages = sent(100)
    kept = [message for message in messages.values() if message.number != 50]
    assert expect(written(kept), messages, set(messages), DETECTORS).lost == {50}


def test_behind_a_gap_a_window_waits_for_one_more_step() -> None:
    steps = [0, 1, 2, 4, 5, 6, 9, 10]
    made = [Message(n, "samples", "s", 0, step, "good", b"") for n, step in enumerate(steps)]
    for count, windows in ((4, [2, 3]), (5, [2, 3]), (6, [2, 3, 6, 7]), (8, [2, 3, 6, 7])):
        some = {message.number: message for message in made[:count]}
        found = expect(written(list(some.values())), some, set(some), DETECTORS)
        ends = [START + step * STEP for step in windows]
        assert list(found.scores) == [f"samples/s/online_iforest/{end!r}" for end in ends]
