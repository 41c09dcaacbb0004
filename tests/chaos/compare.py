"""The verdict: what the disturbed group has written, beside what an undisturbed run writes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.expected import Expected, Letter
from tests.chaos.logs import Entry
from tests.chaos.settings import OUTPUTS

Identity = tuple[Any, ...]
Written = Mapping[str, Sequence[Entry]]  # by output: scores, alerts, dead letters
_SHOWN = 5


@dataclass
class Verdict:
    """What has to be 0, and a few examples of what is not.

    `differences`: scores, alerts and dead letters that are missing, too many or of other content.
    `uncounted`: records whose consequence is nowhere. `doubled_without_same_id`: the same thing
    told under two ids. `exactly_once_differences`: records more, fewer or in another order than in
    the undisturbed run. `lost`: acknowledged records that the log does not have.
    """

    differences: int = 0
    uncounted: int = 0
    doubled_without_same_id: int = 0
    exactly_once_differences: int = 0
    lost: int = 0
    repeats: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, name: str, examples: Iterable[str]) -> None:
        """Count each, and keep the first few."""
        found = list(examples)
        setattr(self, name, getattr(self, name) + len(found))
        self.examples += [f"{name}: {each}" for each in found[:_SHOWN]]

    @property
    def faults(self) -> int:
        """0 where all is well."""
        named = self.differences, self.uncounted, self.doubled_without_same_id
        return sum(named) + self.exactly_once_differences + self.lost


def judge(
    verdict: Verdict, chaos: Written, undisturbed: Written, expected: Expected, *, exactly: bool
) -> None:
    """Compare everything with everything; `exactly` also demands the same records in order."""
    for output in OUTPUTS:
        ours, theirs = _told(output, chaos[output]), _told(output, undisturbed[output])
        verdict.add("differences", _differences(output, ours, theirs))
        verdict.repeats += sum(sum(each.values()) - len(each) for each in ours.values())
        if exactly:
            found = _in_order(output, chaos[output], undisturbed[output])
            verdict.add("exactly_once_differences", found)
    verdict.add("doubled_without_same_id", _doubled(chaos))
    for name, written in (("chaos", chaos), ("undisturbed", undisturbed)):
        verdict.add("uncounted", _uncounted(name, written, expected))
    verdict.add("lost", (f"message {number} was acknowledged" for number in sorted(expected.lost)))


Told = Mapping[Identity, Counter[bytes]]


def _told(output: str, entries: Sequence[Entry]) -> Told:
    """By what identifies it, the different contents and how often each of them came."""
    found: dict[Identity, Counter[bytes]] = defaultdict(Counter)
    for entry in entries:
        found[_identity(output, entry)][_content(entry)] += 1
    return found


def _identity(output: str, entry: Entry) -> Identity:
    if output == "dead_letters":
        return letter_of(entry)
    told = json.loads(entry.value)
    return (told["id"],) if output == "scores" else (told["id"], told["phase"], told["severity"])


def letter_of(entry: Entry) -> Letter:
    """Which record a dead letter is of."""
    headers = entry.headers
    return headers["topic"].decode(), int(headers["partition"]), int(headers["offset"])


def _content(entry: Entry) -> bytes:
    headers = b"".join(name.encode() + b"=" + entry.headers[name] + b";" for name in entry.headers)
    return b"\n".join([entry.key or b"", headers, entry.value])


def _differences(output: str, ours: Told, theirs: Told) -> Iterable[str]:
    for identity in ours.keys() | theirs.keys():
        mine, others = set(ours.get(identity, ())), set(theirs.get(identity, ()))
        if not mine:
            yield f"{output} {identity} is missing"
        elif not others:
            yield f"{output} {identity} is too many"
        elif mine != others or len(mine) != 1:
            yield f"{output} {identity} says {sorted(mine)}, undisturbed {sorted(others)}"


def _in_order(output: str, ours: Sequence[Entry], theirs: Sequence[Entry]) -> Iterable[str]:
    """Of each sensor the same records in the same order; what is more, fewer or elsewhere."""
    mine, others = _by_key(ours), _by_key(theirs)
    for key in mine.keys() | others.keys():
        a, b = mine.get(key, []), others.get(key, [])
        for content in (Counter(a) - Counter(b)).elements():
            yield f"{output} of {key!r} has once too many {content!r}"
        for content in (Counter(b) - Counter(a)).elements():
            yield f"{output} of {key!r} lacks {content!r}"
        if a != b and Counter(a) == Counter(b):
            yield f"{output} of {key!r} come in another order"


def _by_key(entries: Sequence[Entry]) -> dict[bytes | None, list[bytes]]:
    found: dict[bytes | None, list[bytes]] = defaultdict(list)
    for entry in entries:
        found[entry.key].append(_content(entry))
    return found


def _doubled(chaos: Written) -> Iterable[str]:
    """The same thing, told from the same record, under more than one id."""
    ids: dict[Identity, set[str]] = defaultdict(set)
    for output in ("scores", "alerts"):
        for entry in chaos[output]:
            told = json.loads(entry.value)
            names = ("topic", "partition", "offset", "sensor", "detector", "rule", "phase", "time")
            ids[(output, *(told.get(name) for name in names))].add(told["id"])
    return (f"{what} as {sorted(each)}" for what, each in ids.items() if len(each) > 1)


def _uncounted(run: str, written: Written, expected: Expected) -> Iterable[str]:
    """Records that must have had a consequence and have none; or another one."""
    scores = {json.loads(entry.value)["id"] for entry in written["scores"]}
    without = {number for name, number in expected.scores.items() if name not in scores}
    yield from (f"{run}: message {number} has no score" for number in sorted(without))
    letters = {
        letter_of(entry): entry.headers["reason"].decode() for entry in written["dead_letters"]
    }
    for letter, reason in expected.letters.items():
        if letters.get(letter) != reason:
            yield f"{run}: {letter} is {reason}, its dead letter says {letters.get(letter)}"
    yield from (f"{run}: score {name} is of no record" for name in scores - expected.scores.keys())
    strange = letters.keys() - expected.letters.keys()
    yield from (f"{run}: dead letter {letter} is of a good record" for letter in strange)
