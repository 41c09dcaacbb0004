"""A small world to break: a log, members that live and die by a script, and a ledger of results.

Two topics of two partitions; three streams, two of them on the same topic; raw samples and ready
windows; sensors that fall silent, leave gaps, send late, send garbage, and have faults.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monitor.connect.memory import MemoryLog, MemorySource
from monitor.connect.sinks import AtLeastOnce
from monitor.detect.online.online_iforest import OnlineIsolationForest
from monitor.errors import AbortedError, SourceError
from monitor.features.statistics import STATISTICS
from monitor.runner import Pace, Runner
from monitor.stream.lane import LaneSpec, OnlineSpec
from monitor.stream.partition import Stream
from monitor.stream.pipeline import Pipeline
from monitor.types import Partition, Record, Result
from tests.core.builders import level, message, pipeline, stream, stream_config, told
from tests.core.detectors import Energy
from tests.core.snapshots import MemorySnapshots

ALERT = {"raise": "2 of 3", "clear": "2 below 0.9", "cool_down": 16, "silence": 9}
THRESHOLD = {"window": 32, "quantile": 0.9, "warm_up": 4, "adopt": 5}
GUARDS = {"range": {"x": [-6, 6]}, "stuck": {"*": 6}, "missing": 5}
WINDOW = {"length": 4, "hop": 2, "rate": 1, "channels": ["x", "y"]}
ANY = {"use": ["mahalanobis:any"]}


def forest() -> OnlineSpec:
    """The product's own online detector, small."""

    def make() -> OnlineIsolationForest:
        return OnlineIsolationForest((2, len(STATISTICS)), trees=4, window=16, leaf=2)

    return OnlineSpec("online_iforest", make, "statistics", "forest")


def streams() -> list[Stream]:
    """New ones each time: detectors are stateful."""
    parts: dict[str, Any] = {"threshold": THRESHOLD, "alert": ALERT, "guards": GUARDS}
    loose = WINDOW | {"lateness": 2, "fill": "hold", "max_gap": 2}
    pumps = stream_config(window=loose, models=[ANY | {"match": "pump-*"}, ANY], **parts)
    warming = stream_config(window=WINDOW, unknown_sensors="warm_up", warm_up=5, **parts)
    ready = stream_config(topics=["ready"], window=WINDOW | {"input": "windows"}, **parts)
    shape = pumps.window.shape
    frozen = Energy(shape)
    trees = LaneSpec("pumps", "pump-*", pumps, (frozen,), (forest(), level(shape)))
    rest = LaneSpec("pumps", "*", pumps, (frozen,), ())
    return [
        Stream("pumps", pumps, (trees, rest)),
        stream(warming, "warming", scorers=[Energy(shape, trained=("pump-1",))]),
        stream(ready, "ready"),
    ]


def messages(seed: int = 0) -> list[tuple[str, str, float, bytes]]:
    """Topic, key, time and payload, in the order of arrival: six sensors, 32 turns."""
    random = np.random.default_rng(seed)
    found = []
    for turn in range(32):
        for n, sensor in enumerate(("pump-1", "pump-2", "pump-3", "fan-1", "fan-2", "fan-3")):
            size = 4.0 if 12 <= turn < 19 and n % 2 else 1.0
            start = 2.0 * turn + (random.integers(-2, 1) if n == 2 else 0)
            data = (size * random.standard_normal((2, 2))).astype(np.float32)
            if turn == 9:
                data[0, 0] = np.nan
            if n == 1 and 22 <= turn < 29:
                data[1] = 1.5  # stuck
            if n == 3 and 20 <= turn < 26:
                continue  # silent, and a gap
            payload = b"garbage" if n == 5 and turn % 13 == 12 else message(start, data)
            found.append(("plant", sensor, start, payload))
            if n % 3:
                continue
            whole = (size * random.standard_normal((2, 4))).astype(np.float32)
            found.append(("ready", sensor, start, message(start, whole)))
    return found


def filled_log(partitions: int = 2) -> MemoryLog:
    """A log with all messages in it."""
    log = MemoryLog(["plant", "ready"], partitions)
    for topic, key, time, payload in messages():
        log.append(key.encode(), time, payload, topic=topic)
    return log


class Ledger:
    """What has really reached the consumer, and how often; `early` is what was sent twice without
    need.
    """

    def __init__(self, committed: Mapping[Partition, int]) -> None:
        self.times: dict[str, Counter[tuple[object, ...]]] = {}
        self.early: list[object] = []
        self._committed = committed

    @property
    def told(self) -> dict[str, set[tuple[object, ...]]]:
        return {kind: set(found) for kind, found in self.times.items()}

    def take(self, result: Result) -> None:
        for kind, found in told(result).items():
            self.times.setdefault(kind, Counter()).update(found)

    def watch(self, result: Result) -> None:
        """Nothing below the committed offset has to be sent again."""
        places = [(score.partition, score.offset) for score in result.scores]
        places += [(alert.partition, alert.offset) for alert in result.alerts]
        self.early += [p for p in places if p[1] < self._committed.get(p[0], 0)]


class Buffered:
    """A sink like a producer: nothing is out before `flush`, and a crash loses what is held."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: list[Result] = []

    def emit(self, result: Result) -> None:
        self._ledger.watch(result)
        self._held.append(result)

    def flush(self) -> None:
        for result in self._held:
            self._ledger.take(result)
        self._held.clear()

    def close(self) -> None:
        self.flush()


class Atomic:
    """A delivery in transactions: results and offsets come at once, or not at all."""

    def __init__(self, ledger: Ledger, source: MemorySource) -> None:
        self._ledger, self._source = ledger, source
        self._held: list[Result] = []

    def emit(self, result: Result) -> None:
        self._held.append(result)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        try:
            self._source.commit(offsets)
        except SourceError as error:
            self.abort()
            raise AbortedError(str(error)) from error
        for result in self._held:
            self._ledger.take(result)
        self._held.clear()

    def abort(self) -> bool:
        self._held.clear()
        return True

    def close(self) -> None:
        self.abort()


class DiesError(Exception):
    """The process is killed."""


class Mortal:
    """Lets a member die before or after any act of the object it stands for."""

    def __init__(self, real: Any, fate: set[tuple[str, str]]) -> None:
        self._real, self._fate = real, fate

    def __getattr__(self, name: str) -> Any:
        act = getattr(self._real, name)
        if name not in ACTS:
            return act

        def mortal(*args: Any) -> Any:
            self._meet(name, "before")
            done = act(*args)
            self._meet(name, "after")
            return done

        return mortal

    def _meet(self, name: str, when: str) -> None:
        if (name, when) in self._fate:
            self._fate.discard((name, when))
            raise DiesError


class Member(Runner):
    """A process of the group."""

    dead = False


ACTS = ("poll", "emit", "flush", "commit", "save", "load")
DEATHS = [f"{when} {act}" for act in ACTS for when in ("before", "after")]
STEPS = ["step", "join", "crash", "leave", "lose", "forget", "damage", "replace"]


class World:
    """Runs a script, then lets one member finish; `ledger` holds what came of it."""

    def __init__(
        self, *, snapshot_every: float = 5.0, trust: bool = False, exactly_once: bool = False
    ) -> None:
        self._trust, self._exactly_once = trust, exactly_once
        self.log = filled_log()
        self.group = self.log.group("monitor")
        self.snapshots = MemorySnapshots()
        self.ledger = Ledger(self.group.committed)
        self._every = snapshot_every
        self._fate: set[tuple[str, str]] = set()
        self._ticks = itertools.count()
        self._members: list[tuple[Member, MemorySource]] = []

    def run(self, script: Sequence[str]) -> Ledger:
        for word in script:
            if not self._members:
                self._join()
            self._act(word)
            self._bury()
        self._fate.clear()
        while not self._members or self._waiting():
            if not self._members:
                self._join()
            self._act("step")
            self._bury()
        for member, _ in self._members:
            member.deliver()
        return self.ledger

    def _act(self, word: str) -> None:
        member, source = self._members[0]
        if word == "step":
            for each, _ in list(self._members):
                self._within(each, each.step)
        elif word == "join":
            self._join()
        elif word == "crash":
            member.dead = True
        elif word == "leave":
            self._within(member, member.close)
            member.dead = True
        elif word == "lose":
            source.lose([*source.position][:2])
        elif word == "forget":
            self.snapshots.forget_newest()
        elif word == "damage":
            self.snapshots.damage_newest()
        elif word == "replace":
            self.snapshots.replace_newest({"something": np.zeros(3)})
        else:
            when, act = word.split()
            self._fate.add((act, when))

    def _join(self) -> None:
        source = MemorySource(self.log, max_records=8)
        mortal = Mortal(source, self._fate)
        delivery: Any = AtLeastOnce([Mortal(Buffered(self.ledger), self._fate)], mortal)
        if self._exactly_once:
            delivery = Mortal(Atomic(self.ledger, source), self._fate)
        parts = mortal, new_pipeline(), delivery, Mortal(self.snapshots, self._fate)
        pace = Pace(1.0, self._every, view_every=1e9, patience=0.0, live=False)
        member = Member(*parts, lambda: next(self._ticks) / 10, pace)
        if self._trust:
            patient = self.snapshots.offsets
            member.custody._usable = lambda partition, committed: patient(partition)  # type: ignore[method-assign]
        self._members.append((member, source))
        self._within(member, member.start)

    def _bury(self) -> None:
        while dead := [pair for pair in self._members if pair[0].dead]:
            self._members.remove(dead[0])
            dead[0][1].crash()

    def _waiting(self) -> bool:
        held = [source.lag() for _, source in self._members]
        lags = {p: lag for each in held for p, lag in each.items()}
        return set(lags) != set(self.log.partitions) or any(lags.values())

    @staticmethod
    def _within(member: Member, act: Any) -> None:
        if not member.dead:
            try:
                act()
            except DiesError:
                member.dead = True


def new_pipeline() -> Pipeline:
    """Of all streams, with no partition open."""
    return pipeline(*streams(), opened=())


def everything(log: MemoryLog) -> list[Record]:
    """All records, the partitions interleaved one by one."""
    records = [r for p in log.partitions for r in log.read(p, 0, log.end(p))]
    return sorted(records, key=lambda record: (record.offset, record.partition))
