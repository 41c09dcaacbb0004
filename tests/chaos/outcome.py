"""What is done in a trial, and what came of it."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.chaos.compare import Verdict
from tests.chaos.members import RESUMED, Member
from tests.chaos.scenarios import Scenario
from tests.chaos.settings import Delivery

# What a member says when it bears up against something: a trouble that nobody notices is none.
_TOLD = frozenset(
    {
        "commit_failed",
        "dead_letter_too_large",
        "failed, will try again",
        "lost",
        RESUMED,
        "poll_failed",
        "revoked",
        "snapshot damaged, trying an earlier one",
        "snapshot failed",
        "snapshot_missing",
        "snapshot_unreadable",
        "state_dropped",
    }
)


@dataclass(frozen=True)
class Plan:
    """A scenario in one of the modes, for so many seconds, with so many members; `speed` is how
    many messages each sensor sends in a second.
    """

    name: str
    scenario: Scenario
    delivery: Delivery
    seconds: float
    seed: int
    members: int = 3
    speed: float = 8.0


@dataclass
class Outcome:
    """Figures of a trial; all of them go into the JSON file.

    `told` counts what the members logged about their troubles. `gave_up` are the last words of
    those that ended by themselves.
    """

    scenario: str
    delivery: Delivery
    seed: int
    folder: str
    verdict: Verdict = field(default_factory=Verdict)
    records: int = 0
    acknowledged: int = 0
    refused: int = 0
    scores: int = 0
    alerts: int = 0
    dead_letters: int = 0
    ignored: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
    processes: int = 0
    told: dict[str, int] = field(default_factory=dict)
    gave_up: dict[str, int] = field(default_factory=dict)
    recovery_seconds: dict[str, float] = field(default_factory=dict)
    longest_shutdown_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether everything is 0 that has to be."""
        return self.verdict.faults == 0 and not self.gave_up

    def hear(self, members: Iterable[Member], scenario: Scenario) -> None:
        """What the members, all gone by now, have said."""
        told: Counter[str] = Counter()
        gave_up: Counter[str] = Counter()
        for member in members:
            self.processes += 1
            told += Counter({e: n for e, n in member.events.items() if e in _TOLD})
            self.longest_shutdown_seconds = max(
                self.longest_shutdown_seconds, round(member.leaving or 0.0, 2)
            )
            if not _ended_well(member, scenario):
                gave_up[f"{member.status}: {member.last_words}"] += 1
        self.told, self.gave_up = dict(told), dict(gave_up)

    def as_json(self) -> dict[str, Any]:
        """Plain, with the verdict's counts beside the rest."""
        plain = asdict(self)
        verdict = plain.pop("verdict")
        return {**plain, **verdict}


def _ended_well(member: Member, scenario: Scenario) -> bool:
    """In good order, by us, before it was in the group, or for want of a broker."""
    if member.status == -signal.SIGTERM:
        return not member.joined
    no_broker = scenario.kills_brokers and member.last_words.startswith("error: ")
    return member.status in (0, -signal.SIGKILL) or no_broker
