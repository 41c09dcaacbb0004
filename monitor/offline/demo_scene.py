"""What the demo simulates: machines that are measured, one that is heard, and a camera."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Protocol

import numpy as np

from monitor.connect.recording.reading import Recording
from monitor.offline.dataset import SensorWindows, windows_of
from monitor.settings import Config, StreamConfig
from monitor.stream.codec import encode_float32, make_codec
from monitor.types import Partition, Record, Samples
from monitor.windowing import CameraConfig
from simulators.cameras import Cameras, encoded
from simulators.faults import Fault
from simulators.fleet import Fleet, Plan

TRAINING = 240.0  # seconds of normal operation to learn from
HISTORY = 150.0  # seconds in the log before the demo looks
SHORTEST = 30.0
SPEED = 4.0
ENDLESS = 7 * 86400.0
MACHINES = {"rotors": ("rotor", 6), "motors": ("motor", 1)}  # of which kind, and how many
_CALM = 15.0  # seconds without new faults at the end: the last alerts are raised and resolved
_SPACING = {"rotors": 240.0, "motors": 90.0, "conveyor": 90.0}  # seconds for each fault of a sensor


class Part(Protocol):
    """What is simulated of one stream."""

    @property
    def sensors(self) -> tuple[str, ...]: ...

    @property
    def faults(self) -> tuple[Fault, ...]: ...

    def normal(self, stream: StreamConfig) -> Mapping[str, SensorWindows]:
        """What the models of the stream learn from."""
        ...

    def records(self, topic: str, begin: float, end: float) -> Iterator[Record]:
        """The messages between two times, in order; the log gives them partition and offset."""
        ...


@dataclass(frozen=True)
class Scene:
    """What is simulated, by the name of its stream: from `begin` to `live` it is in the log when
    the demo starts, up to `end` it comes as time passes (event time).
    """

    parts: Mapping[str, Part]
    begin: float
    live: float
    end: float

    @property
    def faults(self) -> list[Fault]:
        """All that is to go wrong, in the order of time."""
        found = (fault for part in self.parts.values() for fault in part.faults)
        return sorted(found, key=attrgetter("start"))

    def normal(self, config: Config) -> dict[str, Mapping[str, SensorWindows]]:
        """What the models learn from."""
        return {name: part.normal(config.streams[name]) for name, part in self.parts.items()}

    def records(self, config: Config) -> Iterator[Record]:
        """What all of them send, in the order of time."""
        sent = (
            part.records(config.streams[name].topics[0], self.begin, self.end)
            for name, part in self.parts.items()
        )
        return heapq.merge(*sent, key=attrgetter("time"))


def stage(config: Config, seed: int, seconds: float) -> Scene:
    """A part for each stream of the demo's configuration. Another seed: other machines, other
    faults. Event time ends about now; with 0 `seconds` it goes on for days.
    """
    lasting = max(seconds, SHORTEST) * SPEED if seconds else ENDLESS
    live = float(round(time.time())) - (lasting if seconds else 0)
    begin = live - HISTORY
    parts: dict[str, Part] = {}
    for name, stream in config.streams.items():
        plan = Plan(per_machine=max(1, int(lasting // _SPACING[name])))
        span = live, live + lasting - _CALM, plan
        window, start = stream.window, begin - TRAINING
        if isinstance(window, CameraConfig):
            cameras = Cameras(seed=seed, size=window.size, rate=window.rate, start=start)
            parts[name] = Filmed(cameras.with_faults(*span))
        else:
            kind, count = MACHINES[name]
            fleet = Fleet(seed=seed, count=count, kind=kind, rate=window.rate, start=start)
            parts[name] = Measured(fleet.with_faults(*span))
    return Scene(parts, begin, live, live + lasting)


@dataclass(frozen=True)
class Measured:
    """Machines whose samples come in messages of half a second."""

    fleet: Fleet

    @property
    def sensors(self) -> tuple[str, ...]:
        return self.fleet.sensors

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self.fleet.faults

    def normal(self, stream: StreamConfig) -> Mapping[str, SensorWindows]:
        """See `Part`."""
        return windows_of([self._recorded(sensor) for sensor in self.sensors], stream)

    def records(self, topic: str, begin: float, end: float) -> Iterator[Record]:
        """See `Part`."""
        for samples in self.fleet.samples(begin, end):
            last = samples.start + samples.data.shape[1] / self.fleet.rate
            yield _record(topic, samples.sensor, last, encode_float32(samples))

    def _recorded(self, sensor: str) -> Recording:
        fleet = self.fleet
        data = fleet.chunk(sensor, fleet.start, fleet.start + TRAINING).data
        times = fleet.start + np.arange(data.shape[1]) / fleet.rate
        return Recording(sensor, times, data, fleet.channels, None, Path("simulated"))


@dataclass(frozen=True)
class Filmed:
    """Cameras that send each frame as JPEG."""

    cameras: Cameras

    @property
    def sensors(self) -> tuple[str, ...]:
        return self.cameras.sensors

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self.cameras.faults

    def normal(self, stream: StreamConfig) -> Mapping[str, SensorWindows]:
        """As it arrives: JPEG loses a little."""
        codec, start = make_codec(stream), self.cameras.start
        found: dict[str, list[Samples]] = {}
        for record in self.records(stream.topics[0], start, start + TRAINING):
            for frame in codec.decode(record):
                found.setdefault(frame.sensor, []).append(frame)
        return {sensor: _frames(frames, stream) for sensor, frames in found.items()}

    def records(self, topic: str, begin: float, end: float) -> Iterator[Record]:
        """See `Part`."""
        for shot in self.cameras.frames(begin, end):
            yield _record(topic, shot.sensor, shot.time, encoded(shot.picture))


def _frames(frames: list[Samples], stream: StreamConfig) -> SensorWindows:
    ends = np.array([frame.start for frame in frames]) + stream.window.length
    normal = np.zeros(len(frames), np.int8)
    return SensorWindows(np.stack([frame.data for frame in frames]), ends, normal)


def _record(topic: str, sensor: str, time: float, value: bytes) -> Record:
    return Record(Partition(topic, 0), 0, sensor.encode(), time, value)
