"""Sends samples to a log at a chosen rate, in order or disturbed, with the labels beside them."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgpack
import numpy as np
import orjson

from monitor.connect.memory import MemoryLog
from monitor.errors import ConfigError
from monitor.stream.codec import encode_float32
from monitor.types import Clock, Samples
from simulators.faults import Fault

Encoder = Callable[[Samples], bytes]
LONGEST_HOLE = 60.0


class Message(NamedTuple):
    """One message and the time, in the time of the data, at which it is to be sent."""

    time: float
    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Target(Protocol):
    """Where messages go."""

    def send(self, message: Message) -> None: ...

    def close(self) -> None:
        """Return once everything sent is safe. Raises SinkError."""
        ...


class MemoryTarget:
    """The embedded log; what is of a topic that it does not hold, such as labels, is left out."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def send(self, message: Message) -> None:
        if message.topic in self._log.topics:
            self._log.append(
                message.key, message.time, message.value, message.headers, message.topic
            )

    def close(self) -> None: ...


class Pace:
    """Waits until messages are due: `speed` 1 is real time, 2 twice as fast, 0 does not wait.

    Where the data has a hole of over a minute, as between two recordings, it goes on at once.
    """

    def __init__(
        self,
        speed: float,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not 0.0 <= speed < float("inf"):
            raise ConfigError(f"speed {speed:g}: 0 (do not wait), or more, is valid")
        self._speed, self._clock, self._sleep = speed, clock, sleep
        self._began: tuple[float, float] | None = None
        self._last = 0.0

    def wait(self, due: float) -> None:
        """Return when the data's time `due` has come; the first call sets the beginning."""
        if not self._speed:
            return
        if self._began is None or due - self._last > LONGEST_HOLE:
            self._began = (self._clock(), due)
        self._last = due
        left = self._began[0] + (due - self._began[1]) / self._speed - self._clock()
        if left > 0:
            self._sleep(left)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What a network does to messages; seeded. Times are in seconds of the data.

    `jitter` delays each message by up to so much; a share `late` of them comes `late_by` later;
    with `burst` messages are held back and arrive together each so many seconds.
    """

    seed: int = 0
    jitter: float = 0.0
    late: float = 0.0
    late_by: float = 5.0
    burst: float = 0.0

    def __post_init__(self) -> None:
        if min(self.jitter, self.late_by, self.burst) < 0 or not 0 <= self.late <= 1:
            raise ConfigError(
                f"jitter {self.jitter:g}, late {self.late:g}, late-by {self.late_by:g}, burst "
                f"{self.burst:g}: times of 0 or more and a share from 0 to 1 are valid"
            )

    def apply(self, messages: Iterable[Message]) -> Iterator[Message]:
        """The same messages in their new order; those that come together keep their order."""
        random = np.random.default_rng(self.seed)
        waiting: list[tuple[float, int, Message]] = []
        for number, message in enumerate(messages):
            due = self._due(message.time, random)
            heapq.heappush(waiting, (due, number, message))
            while waiting and waiting[0][0] <= message.time:
                yield _taken(waiting)
        while waiting:
            yield _taken(waiting)

    def _due(self, sent: float, random: np.random.Generator) -> float:
        delay, lot = random.uniform(0.0, 1.0, 2)
        due = sent + self.jitter * delay + (self.late_by if lot < self.late else 0.0)
        return float(np.ceil(due / self.burst) * self.burst) if self.burst else due


def _taken(waiting: list[tuple[float, int, Message]]) -> Message:
    due, _, message = heapq.heappop(waiting)
    return message._replace(time=due)


class Summary(NamedTuple):
    """What was played: counts, and the first and last time of the data (NaN where nothing was)."""

    messages: int
    bytes: int
    first: float
    last: float


def play(
    messages: Iterable[Message],
    target: Target,
    pace: Pace,
    told: Callable[[float], None] = lambda time: None,
) -> Summary:
    """Send every message when it is due, then close the target; `told` hears the time reached."""
    count, size, first, last = 0, 0, float("nan"), float("nan")
    try:
        for message in messages:
            pace.wait(message.time)
            target.send(message)
            first, last = (first if count else message.time), message.time
            count, size = count + 1, size + len(message.value)
            told(message.time)
    finally:
        target.close()
    return Summary(count, size, first, last)


def encoder(kind: str) -> Encoder:
    """How samples become a message: float32, msgpack or json. ConfigError names them."""
    encoders: dict[str, Encoder] = {"float32": encode_float32, "msgpack": _msgpack, "json": _json}
    if kind not in encoders:
        raise ConfigError(f"format {kind!r}: valid are {', '.join(encoders)}")
    return encoders[kind]


def messages(
    samples: Iterable[Samples], topic: str, rate: float, encode: Encoder
) -> Iterator[Message]:
    """Keyed by sensor, due when the last sample has been measured."""
    for part in samples:
        end = part.start + float(part.data.shape[1]) / rate
        yield Message(end, topic, part.sensor.encode(), encode(part))


def with_labels(sent: Iterable[Message], faults: Sequence[Fault], topic: str) -> Iterator[Message]:
    """Faults as JSON on a topic of their own, each when it begins, among the other messages."""
    labels = [Message(f.start, topic, f.sensor.encode(), label(f)) for f in faults]
    return heapq.merge(sent, sorted(labels), key=lambda message: message.time)


def label(fault: Fault) -> bytes:
    """One fault as a JSON object."""
    return orjson.dumps(fault)


def _json(samples: Samples) -> bytes:
    return orjson.dumps({"time": samples.start, "values": samples.data.tolist()})


def _msgpack(samples: Samples) -> bytes:
    raw = np.ascontiguousarray(samples.data, "<f4").tobytes()
    return bytes(msgpack.packb({"time": samples.start, "values": raw}))
