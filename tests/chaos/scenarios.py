"""The scenarios: which troubles, how often, and what is different in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.chaos.settings import DELIVERIES, Delivery, Topics
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


def _eager(topics: Topics, run: str) -> Mapping[str, Any]:
    return {"source": {"kafka": {"assignor": "eager"}}}


@dataclass(frozen=True)
class Scenario:
    """`troubles` with their weights, one every `pause` seconds on average.

    `deliveries` are the modes it runs in unless others are asked for. `polls` are the members'
    `max_poll_records`, in turn; with `named` each is a static member of the group; `changes` are
    those of the configuration.
    """

    about: str
    troubles: tuple[tuple[float, Trouble], ...]
    pause: float = 1.5
    deliveries: tuple[Delivery, ...] = DELIVERIES
    nodes: Literal[1, 3] = 1
    detector: str = "mahalanobis"
    polls: tuple[int, ...] = (200,)
    named: bool = False
    own_clocks: bool = False
    changes: Callable[[Topics, str], Mapping[str, Any]] = _nothing

    @property
    def kills_brokers(self) -> bool:
        """Then a process that starts meanwhile may give up, and be started again."""
        return any(isinstance(trouble, KillBroker) for _, trouble in self.troubles)


SCENARIOS: Mapping[str, Scenario] = {
    "kill": Scenario(
        "kill -9 of one member, sometimes of all",
        ((4, Kill()), (1, KillAll())),
    ),
    "terminate": Scenario(
        "SIGTERM mixed with kill -9, in a group that stops for every hand-over (eager)",
        ((2, Terminate()), (3, Kill())),
        deliveries=("at_least_once",),
        changes=_eager,
    ),
    "named": Scenario(
        "static members, killed or asked to go, come back under their names",
        ((1, Terminate()), (4, Kill()), (1, KillAll())),
        deliveries=("exactly_once",),
        named=True,
    ),
    "freeze": Scenario(
        "SIGSTOP for longer than the session, then SIGCONT",
        ((2, Freeze()), (3, Kill())),
    ),
    "broker": Scenario(
        "the broker is killed and comes back on its log",
        ((1, KillBroker()), (3, Kill()), (1, KillAll())),
        # A single node of Kafka 4.3 that is back within its old session may skip the ends of
        # transactions ("these partitions are likely deleted already"); then readers wait for ever.
        deliveries=("at_least_once",),
    ),
    "leader": Scenario(
        "three nodes, of which the leader of a partition is killed",
        ((1, KillBroker(leader=True)), (3, Kill()), (1, KillAll())),
        nodes=3,
    ),
    "damage": Scenario(
        "the newest snapshots are cut short, changed or emptied while their owner is dead",
        ((3, Damage()), (1, Kill()), (1, KillAll())),
        deliveries=("at_least_once",),
    ),
    "full disk": Scenario(
        "snapshots cannot be written",
        ((2, FullDisk()), (3, Kill()), (1, KillAll())),
        deliveries=("exactly_once",),
    ),
    "clock": Scenario(
        "wall clocks jump by seconds to a day, forward and back",
        ((2, ClockJump()), (3, Kill()), (1, KillAll())),
        deliveries=("at_least_once",),
        own_clocks=True,
    ),
    "topic": Scenario(
        "snapshots in a compacted topic",
        ((4, Kill()), (1, KillAll())),
        deliveries=("exactly_once",),
        changes=_in_topic,
    ),
    "nets": Scenario(
        "a neural net, in polls of another size at each member",
        ((3, Kill()), (1, KillAll())),
        detector="conv_ae",
        polls=(3, 40, 500),
        deliveries=("exactly_once",),
    ),
}
