"""The scenarios: which troubles, how often, and what is different in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.chaos.settings import Topics
from tests.chaos.troubles import (
    ClockJump,
    Damage,
    Freeze,
    FullDisk,
    Kill,
    KillAll,
    KillBroker,
    Terminate,
    Trouble,
)


def _nothing(topics: Topics, run: str) -> Mapping[str, Any]:
    return {}


def _in_topic(topics: Topics, run: str) -> Mapping[str, Any]:
    return {"snapshots": {"directory": None, "topic": f"{topics.name}.{run}.state"}}


@dataclass(frozen=True)
class Scenario:
    """`troubles` with their weights, one every `pause` seconds on average.

    `polls` are the members' `max_poll_records`, in turn; `changes` those of the configuration.
    """

    about: str
    troubles: tuple[tuple[float, Trouble], ...]
    pause: float = 2.5
    nodes: Literal[1, 3] = 1
    detector: str = "mahalanobis"
    polls: tuple[int, ...] = (200,)
    own_clocks: bool = False
    kafka: tuple[dict[str, Any], ...] = ({},)
    changes: Callable[[Topics, str], Mapping[str, Any]] = _nothing

    @property
    def kills_brokers(self) -> bool:
        """Then a process that starts meanwhile may give up, and be started again."""
        return any(isinstance(trouble, KillBroker) for _, trouble in self.troubles)


SCENARIOS: Mapping[str, Scenario] = {
    "kill": Scenario(
        "kill -9 of one member, sometimes of all",
        ((9, Kill()), (1, KillAll())),
    ),
    "terminate": Scenario(
        "SIGTERM, mixed with kill -9",
        ((2, Terminate()), (2, Kill())),
    ),
    "freeze": Scenario(
        "SIGSTOP for longer than the session, then SIGCONT",
        ((2, Freeze()), (1, Kill())),
    ),
    "broker": Scenario(
        "the broker is killed and comes back on its log",
        ((1, KillBroker()), (2, Kill())),
    ),
    "leader": Scenario(
        "three nodes, of which the leader of a partition is killed",
        ((1, KillBroker(leader=True)), (2, Kill())),
        nodes=3,
    ),
    "damage": Scenario(
        "the newest snapshots are cut short, changed or emptied while their owner is dead",
        ((2, Damage()), (1, Kill())),
    ),
    "full disk": Scenario(
        "snapshots cannot be written",
        ((2, FullDisk()), (2, Kill())),
    ),
    "clock": Scenario(
        "wall clocks jump by seconds to a day, forward and back",
        ((2, ClockJump()), (2, Kill())),
        own_clocks=True,
    ),
    "nets": Scenario(
        "a neural net, in polls of another size at each member",
        ((1, Kill()),),
        detector="conv_ae",
        polls=(3, 40, 500),
        pause=4.0,
    ),
}
