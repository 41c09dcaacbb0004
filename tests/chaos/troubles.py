"""What may happen to a group of processes and to their log, each as one small object."""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deploy.broker.cluster import Cluster
from tests.chaos.clock import set_clock
from tests.chaos.members import Crew, Member
from tests.chaos.settings import SESSION


@dataclass
class Scene:
    """Where troubles happen. `struck` counts them by name; `kills` those by `kill -9` that hit a
    process that was in the group, or a broker.
    """

    crew: Crew
    random: random.Random
    folder: Path
    topic: str
    cluster: Cluster | None
    struck: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    _agenda: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _aside: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    _busy: Future[None] | None = None

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something in so many seconds, or when all is put right."""
        heapq.heappush(self._agenda, (time.monotonic() + seconds, next(self._numbers), act))

    def tick(self) -> None:
        """Do what is due."""
        while self._agenda and self._agenda[0][0] <= time.monotonic():
            heapq.heappop(self._agenda)[2]()

    def aside(self, act: Callable[[], None]) -> None:
        """Do something that takes long beside the rest."""
        self._busy = self._aside.submit(act)

    def put_right(self) -> None:
        """Do all that is still to come, and wait for it."""
        while self._agenda:
            heapq.heappop(self._agenda)[2]()
        if self._busy is not None:
            self._busy.result()

    def close(self) -> None:
        self._aside.shutdown()

    def someone(self) -> Member | None:
        """One of those that are alive and in the group."""
        inside = [member for member in self.crew.alive if member.joined]
        return self.random.choice(inside) if inside else None

    def kill(self, member: Member) -> None:
        """`kill -9`, counted only where it hits: a process that was in the group."""
        if member.status is None and member.joined:
            member.kill()
            self.kills["member"] += 1


class Trouble(Protocol):
    """`strike` says whether there was anything to strike."""

    def strike(self, scene: Scene) -> bool: ...


class Kill:
    """A member is gone without a word."""

    def strike(self, scene: Scene) -> bool:
        member = scene.someone()
        if member is None:
            return False
        scene.kill(member)
        return True


class KillAll:
    """All members are gone at once."""

    def strike(self, scene: Scene) -> bool:
        found = [member for member in scene.crew.alive if member.joined]
        for member in found:
            scene.kill(member)
        return bool(found)


class Terminate:
    """A member is asked to go, and hands over in good order."""

    def strike(self, scene: Scene) -> bool:
        member = scene.someone()
        if member is None:
            return False
        member.terminate()
        return True


class Freeze:
    """A member stands still for longer than its session, and goes on as if nothing had been."""

    def strike(self, scene: Scene) -> bool:
        member = scene.someone()
        if member is None or len(scene.crew.alive) < 2:
            return False
        member.freeze()
        seconds = SESSION * scene.random.uniform(1.3, 2.2)
        scene.later(seconds, member.thaw)
        return True


class KillBroker:
    """A broker is gone without a word, and comes back on its log; with `leader` the one that a
    partition is written to.
    """

    def __init__(self, *, leader: bool = False) -> None:
        self._leader = leader

    def strike(self, scene: Scene) -> bool:
        cluster = scene.cluster
        if cluster is None or len(cluster.running) < len(cluster.nodes):
            return False
        number = scene.random.choice(cluster.running)
        if self._leader:
            number = cluster.leader_of(scene.topic, 0)
        if number not in cluster.running:
            return False
        cluster.kill(number)
        scene.kills["broker"] += 1
        away = scene.random.uniform(0.5, 2.5)
        scene.later(away, lambda: scene.aside(lambda: cluster.restart(number)))
        return True


class Damage:
    """A member is killed, and the newest snapshots of what it held are cut short, changed or
    emptied before anybody else reads them; one generation stays whole.
    """

    def strike(self, scene: Scene) -> bool:
        member = scene.someone()
        if member is None:
            return False
        held = set(member.held)
        scene.kill(member)
        for partition in held:
            found = sorted((scene.folder / partition).glob("*.snapshot"), reverse=True)
            for file in found[: scene.random.randint(0, len(found) - 1)] if found else ():
                self._spoil(file, scene)
        return True

    def _spoil(self, file: Path, scene: Scene) -> None:
        whole = bytearray(file.read_bytes())
        way = scene.random.choice(("cut", "changed", "emptied"))
        if way == "cut":
            whole = whole[: scene.random.randrange(len(whole))]
        elif way == "changed":
            whole[scene.random.randrange(len(whole))] ^= 1 << scene.random.randrange(8)
        file.write_bytes(b"" if way == "emptied" else whole)
        scene.struck[f"snapshots {way}"] += 1


class FullDisk:
    """For some seconds a member cannot write any file larger than a few bytes."""

    def strike(self, scene: Scene) -> bool:
        member = scene.someone()
        if member is None:
            return False
        member.limit_files(100)
        seconds = scene.random.uniform(2.0, 6.0)
        scene.later(seconds, lambda: member.limit_files(None))
        return True


class ClockJump:
    """A member's wall clock jumps by up to a day, forward or back."""

    def strike(self, scene: Scene) -> bool:
        member = scene.someone()
        if member is None or member.clock is None:
            return False
        seconds = scene.random.choice((1, -1)) * scene.random.choice((5, 300, 3600, 86400))
        set_clock(member.clock, seconds)
        return True
