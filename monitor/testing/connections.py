"""What every source and sink promises."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from monitor.protocols import Sink, Source
from monitor.types import Alert, Evidence, Notice, Partition, Record, Result, Score

Seen = list[tuple[Partition, int]]


class Member:
    """One member of a group: an owner that commits what it has seen when it hands over."""

    def __init__(self, source: Source, *, rewind: int = 0) -> None:
        self.source = source
        self.rewind = rewind
        self.seen: Seen = []
        self.notices: list[Notice] = []
        self.position: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        self.forgotten: set[Partition] = set()
        self._inside = False

    def start(self) -> Member:
        """Start the source with this member as its owner."""
        self._within(lambda: self.source.start(self))
        return self

    def step(self, timeout: float = 0.2, most: int | None = None) -> Sequence[Record]:
        """Poll once, and check that records come in order and from partitions held."""
        records: list[Record] = []
        self._within(lambda: records.extend(self.source.poll(timeout, most)))
        assert most is None or len(records) <= most, f"{len(records)} records, {most} asked for"
        for record in records:
            expected = self.position.get(record.partition)
            assert expected is not None, f"{record.partition} is not held but gave a record"
            assert record.offset >= expected, f"offset {record.offset} after {expected}"
            self.position[record.partition] = record.offset + 1
            self.seen.append((record.partition, record.offset))
        return records

    def commit(self) -> None:
        """Commit everything seen."""
        self.source.commit(dict(self.position))

    def begin_anew(self, partitions: Sequence[Partition]) -> None:
        """Forget partitions, to have them again from where the group stands."""
        for partition in partitions:
            del self.position[partition]
        self.forgotten.update(partitions)
        self.source.rewind(partitions)

    def close(self) -> None:
        """Close the source: all partitions are handed over."""
        self._within(self.source.close)

    def assigned(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Read on at the committed offset, the first time less `rewind`."""
        assert self._inside, "assigned was called outside start, poll and close"
        assert not self.position.keys() & committed.keys(), "a partition came that was held already"
        back = {p: 0 if p in self.committed else self.rewind for p in committed}
        start = {p: max(0, offset - back[p]) for p, offset in committed.items()}
        self.committed = {**committed, **self.committed}
        self.forgotten.difference_update(committed)
        self.position.update(start)
        return start

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Commit and forget."""
        assert self._inside, "revoked was called outside start, poll and close"
        self.source.commit({p: self.position[p] for p in partitions if p not in self.forgotten})
        self.lost(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget."""
        assert self._inside, "lost was called outside start, poll and close"
        for partition in set(partitions) - self.forgotten:
            del self.position[partition]
        self.forgotten.difference_update(partitions)

    def note(self, notice: Notice) -> None:
        """Keep it."""
        assert self._inside, "note was called outside start, poll and close"
        self.notices.append(notice)

    def _within(self, act: Callable[[], object]) -> None:
        self._inside = True
        try:
            act()
        finally:
            self._inside = False


def check_source(
    join: Callable[[], Source], append: Callable[[int], Seen], *, patience: float = 40.0
) -> None:
    """Check a source that reads an empty log of at least two partitions from its beginning.

    `join` makes a new member, not yet started, always of the same group. `append` adds so many
    records, spread over all partitions, and returns where they stand.
    """
    everything = append(60)
    partitions = {partition for partition, _ in everything}
    first = Member(join()).start()
    _until(lambda: first.step() and len(first.seen) >= 60, "not all records came", patience)
    assert sorted(first.seen) == sorted(everything), "a lone member reads each record once"
    assert set(first.committed) == partitions, "a lone member holds every partition"
    assert _ordered(first.seen), "records of one partition come in offset order"
    _until(lambda: _step([first]) and _no_lag(first, partitions), "lag is not 0", patience)

    first.commit()
    first.close()
    assert not first.position, "close hands every partition over"
    first.source.close()

    more = append(40)
    second = Member(join(), rewind=3).start()
    _until(lambda: second.step() and len(second.seen) >= 40, "not all came", patience)
    _until(lambda: _step([second]) and _no_lag(second, partitions), "lag is not 0", patience)
    again = [(p, o) for p, offset in second.committed.items() for o in range(offset)[-3:]]
    assert sorted(second.seen) == sorted(again + more), "the owner says where to read on"

    _check_bounds(second, append, patience)
    _check_rewinding(second, append, patience)
    _check_sharing(second, Member(join()).start(), append, patience)


def _check_bounds(member: Member, append: Callable[[int], Seen], wait: float) -> None:
    member.seen.clear()
    expected = append(20)
    for _ in range(3):
        member.step(0.05, 0)
    assert not member.seen, "with 0 nothing is read"
    _until(lambda: member.step(0.05, 3) and len(member.seen) >= 20, "not all came", wait)
    assert sorted(member.seen) == sorted(expected), "no record is lost or doubled by a bound"
    assert _ordered(member.seen), "records of one partition come in offset order"
    member.commit()


def _check_rewinding(member: Member, append: Callable[[int], Seen], wait: float) -> None:
    member.seen.clear()
    expected = append(20)
    _until(lambda: member.step() and len(member.seen) >= 20, "not all came", wait)
    one, *others = sorted(member.position)
    again = [where for where in member.seen if where[0] != one]
    member.source.commit({one: member.position[one]})
    member.begin_anew(sorted(member.position))
    _until(lambda: member.step() and len(member.seen) >= 20 + len(again), "not all again", wait)
    assert sorted(member.seen) == sorted(expected + again), "what is not committed comes again"
    assert set(member.position) == {one, *others}, "what is rewound is held again"
    _until(lambda: _step([member]) and _no_lag(member, {one, *others}), "lag is not 0", wait)
    member.commit()


def _check_sharing(old: Member, new: Member, append: Callable[[int], Seen], wait: float) -> None:
    partitions = set(old.position)
    old.seen.clear()
    _until(lambda: _step([old, new], 0) and old.position and new.position, "not shared", wait)
    _until(
        lambda: _step([old, new]) and set(old.position) | set(new.position) == partitions,
        "not every partition has an owner again",
        wait,
    )
    assert not old.position.keys() & new.position.keys(), "a partition has two owners"
    expected = append(40)
    _until(lambda: _step([old, new]) and len(old.seen + new.seen) >= 40, "not all came", wait)
    old.close()
    _until(lambda: _step([new]) and set(new.position) == partitions, "not taken over", wait)
    expected += append(20)
    _until(lambda: _step([new]) and len(old.seen + new.seen) >= 60, "not all came", wait)
    assert sorted(old.seen + new.seen) == sorted(expected), "lost or doubled in a hand-over"
    new.close()


def _step(members: Sequence[Member], most: int | None = None) -> bool:
    for member in members:
        member.step(0.05, most)
    return True


def _no_lag(member: Member, partitions: set[Partition]) -> bool:
    lag = member.source.lag()
    assert set(lag) == partitions, "lag tells every partition held, and no other"
    return not any(lag.values())


def _ordered(seen: Seen) -> bool:
    last: dict[Partition, int] = {}
    return all(last.get(p, -1) < o and not last.update({p: o}) for p, o in seen)


def _until(done: Callable[[], object], failure: str, patience: float) -> None:
    until = time.monotonic() + patience
    while not done():
        assert time.monotonic() < until, f"{failure} within {patience:g} s"


def check_sink(
    make: Callable[[], Sink], delivered: Callable[[], Sequence[str]], *, repeats: bool = True
) -> None:
    """Check a sink; `delivered` reads the ids of all alerts that are safe at their destination.
    Without `repeats` what comes again takes the place of what is there.
    """
    sink = make()
    sink.emit(Result())
    sink.flush()
    assert list(delivered()) == [], "an empty result says nothing"
    sink.emit(example_result("one"))
    sink.emit(example_result("two"))
    sink.flush()
    assert sorted(delivered()) == ["one", "two"], "everything emitted is safe after flush"
    sink.flush()
    sink.emit(example_result("one"))
    sink.close()
    expected = ["one", "one", "two"] if repeats else ["one", "two"]
    assert sorted(delivered()) == expected, "close flushes; a repeat keeps its id"
    sink.close()
    other = make()
    other.emit(example_result("three"))
    other.flush()
    other.close()
    assert "three" in delivered(), "a new sink writes on where the last one stopped"
    assert len(delivered()) == len(expected) + 1, "a new sink keeps what is there"


def example_result(identity: str) -> Result:
    """A result whose numbers are as awkward as they come."""
    here = Partition("plant", 1)
    alert = Alert(
        here,
        7,
        identity,
        "vibration",
        "pump-ä",
        "score",
        "firing",
        "critical",
        "two of three detectors",
        1_700_000_000.25,
        1_700_000_001.0,
        {"conv_ae": math.inf, "forest": 1.5},
        {"x": 0.75, "y": 0.25},
        {"site": "north"},
    )
    score = Score(
        here, 7, "vibration", "pump-ä", "conv_ae", 1_700_000_001.0, math.nan, math.inf, {}
    )
    example, heat = np.full((1, 2, 2), 255, np.float32), np.array([[0, np.nan], [np.inf, 1]])
    seen = here, 7, identity, "vibration", "pump-ä", alert.time, "conv_ae", example
    evidence = Evidence(*seen, heat.astype(np.float32))
    return Result([score], [alert], evidence=[evidence], offsets={here: 8})
