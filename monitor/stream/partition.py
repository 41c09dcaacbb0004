"""All that is remembered about one partition, its clock and its lanes: what a hand-off moves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.arrays import put_under, under
from monitor.errors import DecodeError, StateError
from monitor.settings import StreamConfig
from monitor.stream.columns import TIMES
from monitor.stream.event_time import Skewed, Usual, check_future, check_skew
from monitor.stream.lane import LaneSpec, LaneState
from monitor.stream.leaving import Leaving, leaving, next_check
from monitor.types import Partition, Record, Samples, State

FORMAT = 2


@dataclass(frozen=True)
class Stream:
    """A stream as the pipeline runs it: its settings and one lane for each of its rules."""

    name: str
    settings: StreamConfig
    lanes: tuple[LaneSpec, ...]


@dataclass
class Inbox:
    """Messages of one poll, in order; one entry for each run of samples. `lane` and `slot` say
    whose they are, `time` is that of the last sample and `clock` the partition's with it. `skewed`
    tells of messages, also refused ones, whose sensor's clock is ahead; `ahead` of each that was
    taken whether it is.
    """

    lane: list[int] = field(default_factory=list)
    slot: list[int] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    time: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)
    record: list[Record] = field(default_factory=list)
    ahead: list[bool] = field(default_factory=list)
    skewed: list[Skewed] = field(default_factory=list)

    def clear(self) -> None:
        """What it held is worked on."""
        for column in vars(self).values():
            column.clear()


class PartitionState:
    """Lanes in the order of the configuration; a sensor gets its place with its first message."""

    def __init__(self, partition: Partition, streams: Sequence[Stream], offset: int = 0) -> None:
        self.partition = partition
        self.lanes = [LaneState(spec) for stream in streams for spec in stream.lanes]
        self.clock = -np.inf
        self.stamped = 0.0  # the newest time stamp of the log: for records that have none
        self.usual = Usual([lane.skew for lane in self.lanes])
        self.next_offset = offset
        self._first = _first_lanes(streams)
        self._places: dict[tuple[str, str], tuple[int, int]] = {}
        self._streams = streams
        self._due = self._next_check()

    def knows(self, stream: str, sensor: str) -> bool:
        """Whether the sensor has a place here."""
        return (stream, sensor) in self._places

    def take(self, stream: Stream, record: Record, samples: Samples, inbox: Inbox) -> bool:
        """Put samples with their sensor; False where others have to leave first, see `leaving`.

        Raises DecodeError where the sensor has no place here, or its time none.
        """
        place = self._places.get((stream.name, samples.sensor))
        lane = self._lane_of(stream, samples.sensor) if place is None else place[0]
        size = samples.data.shape[1]
        last = stream.settings.window.samples if samples.whole else size - 1
        time = samples.start + last / stream.settings.window.rate
        policy = stream.settings.event_time
        stamp = record.time if record.time > 0 else self.stamped
        self.stamped = max(self.stamped, record.time)
        ahead = time - stamp if stamp > 0 else 0.0
        if ahead > policy.max_ahead:
            check_future(ahead, record, policy)
        beyond = ahead - self.usual.seconds
        skewed = beyond > policy.max_skew
        reached = time - beyond if skewed and policy.skew != "accept" else time
        self.clock = max(self.clock, reached)
        if self.clock >= self._due or (place is None and self._full(stream)):
            return False
        slot = self._admit(stream, samples.sensor, lane) if place is None else place[1]
        self.usual.hear(lane, slot, record.offset, ahead)
        if skewed:
            fresh = self.lanes[lane].skew.tell(slot)
            found = Skewed(stream.name, samples.sensor, record.offset, beyond, fresh)
            inbox.skewed.append(found)
            check_skew(found, policy)
        inbox.lane.append(lane)
        inbox.slot.append(slot)
        inbox.samples.append(samples)
        inbox.offset.append(record.offset)
        inbox.time.append(time)
        inbox.clock.append(self.clock)
        inbox.record.append(record)
        inbox.ahead.append(skewed)
        return True

    def leaving(self, stream: str, sensor: str) -> list[Leaving]:
        """Which sensors have to be forgotten before samples of this one can be taken; all that came
        before has to be worked on by then.
        """
        self._due = self._next_check()
        found = []
        for each in self._streams:
            newcomers = int(each.name == stream and not self.knows(stream, sensor))
            lanes = {place: self.lanes[place] for place in self._lanes_of(each)}
            found += leaving(each.name, lanes, each.settings.limits, self.clock, newcomers)
        return found

    def forget(self, gone: Leaving) -> None:
        """Let sensors go, with all that is known of them."""
        slots: dict[int, list[int]] = {}
        for lane, slot in gone.places:
            del self._places[gone.stream, self.lanes[lane].sensors.names[slot]]
            slots.setdefault(lane, []).append(slot)
        for lane, theirs in slots.items():
            self.lanes[lane].forget(np.array(theirs, np.int64))

    def state(self) -> State:
        """Every lane's arrays under its place, the lanes' names in that order, and the clock."""
        names = json.dumps([lane.spec.name for lane in self.lanes]).encode()
        found: State = {
            "format": np.array([FORMAT]),
            "clock": np.array([self.clock]),
            "stamped": np.array([self.stamped]),
            "lanes": np.frombuffer(names, np.uint8).copy(),
        }
        found |= put_under("usual", self.usual.state())
        for place, lane in enumerate(self.lanes):
            found |= put_under(str(place), lane.state())
        return found

    def restore(self, state: State) -> list[str]:
        """Take over what fits; returns a line for each part that does not.

        Raises StateError where the snapshot is not one of ours.
        """
        if state.get("format", np.zeros(1)).tolist() != [FORMAT]:
            raise StateError(f"snapshot of another format; this version reads {FORMAT}")
        self.clock, saved = _head(state)
        self.stamped = _time_in(state, "stamped") if "stamped" in state else 0.0
        self.usual.restore(under("usual", state))
        self._due = self._next_check()
        told = []
        for index, lane in enumerate(self.lanes):
            name = lane.spec.name
            if name not in saved:
                told.append(f"{name}: not in the snapshot, starts empty")
                continue
            arrays = under(str(saved.index(name)), state)
            told += [f"{name}: {line}" for line in lane.restore(arrays)]
            for sensor, slot in lane.sensors.slots.items():
                self._places[lane.spec.stream, sensor] = (index, slot)
        gone = sorted(set(saved) - {lane.spec.name for lane in self.lanes})
        return told + [f"{name}: no longer configured, is forgotten" for name in gone]

    def _lanes_of(self, stream: Stream) -> range:
        first = self._first[stream.name]
        return range(first, first + len(stream.lanes))

    def _full(self, stream: Stream) -> bool:
        known = sum(len(self.lanes[place].sensors) for place in self._lanes_of(stream))
        return known >= stream.settings.limits.sensors

    def _next_check(self) -> float:
        """When the clock shows next who was not heard for too long."""
        ttls = (stream.settings.limits.sensor_ttl for stream in self._streams)
        return next_check(self.clock, [ttl for ttl in ttls if ttl is not None])

    def _lane_of(self, stream: Stream, sensor: str) -> int:
        """Where a new sensor belongs. Raises DecodeError where it may not come in."""
        rule = stream.settings.rule_of(sensor)
        if rule is None:
            patterns = ", ".join(repr(spec.match) for spec in stream.lanes)
            raise DecodeError("no_rule", f"sensor {sensor!r} matches none of {patterns}")
        lane = self._first[stream.name] + rule
        if not self.lanes[lane].accepts(sensor):
            raise DecodeError("unknown_sensor", f"no model was trained on sensor {sensor!r}")
        return lane

    def _admit(self, stream: Stream, sensor: str, lane: int) -> int:
        slot = self.lanes[lane].admit(sensor)
        self._places[stream.name, sensor] = lane, slot
        return slot


def _head(state: State) -> tuple[float, list[str]]:
    """The clock and the names of the lanes in a snapshot."""
    try:
        lanes = json.loads(bytes(state["lanes"]))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise StateError(f"snapshot without clock or lanes: {error}") from error
    if not isinstance(lanes, list) or not all(isinstance(name, str) for name in lanes):
        raise StateError(f"names of lanes are {ascii(lanes)[:100]}, not a list of texts")
    return _time_in(state, "clock"), lanes


def _time_in(state: State, name: str) -> float:
    try:
        time = float(state[name].item())
    except (KeyError, ValueError, TypeError) as error:
        raise StateError(f"snapshot without clock or lanes: {name}: {error}") from error
    if not (time == -np.inf or TIMES[0] <= time <= TIMES[1]):
        raise StateError(f"the partition's {name} is {time}")
    return time


def _first_lanes(streams: Sequence[Stream]) -> Mapping[str, int]:
    """The place of each stream's first lane."""
    sizes = [len(stream.lanes) for stream in streams]
    return {s.name: sum(sizes[:i]) for i, s in enumerate(streams)}
