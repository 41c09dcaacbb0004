"""What the producer sends: numbered messages of sensors, with everything that producers do wrong.

Two streams. In `windows` each message is a ready window, so it is known what must come of it; in
`samples` windows are cut from runs of samples, so a partition also remembers what is half done.
The same seed gives the same messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from monitor.stream.codec import encode_float32
from monitor.types import Array, Samples

Stream = Literal["windows", "samples"]
Kind = Literal["good", "again", "late", "poison"]

STREAMS: tuple[Stream, ...] = ("windows", "samples")
CHANNELS = ("x", "y")
RATE = 0.25
SIZE = 16
STEP = SIZE / RATE  # seconds of event time from one message of a sensor to its next
START = 2_208_988_800.0
# Silence is also found where time passes and no record comes. That depends on the moment, so here
# it never is: ages are multiples of STEP, and no pause lasts as long as from 7 of them to this.
SILENCE = 7.8 * STEP
_QUIET = 6  # first steps of a sensor in which all is well
_EVENTS = ("again", "late", "poison", "skipped", "fault", "silent")
_CHANCES = (0.01, 0.01, 0.02, 0.01, 0.012, 0.002)
_FAULT, _SILENT = 8, 24  # steps


class Message(NamedTuple):
    """One message; `step` counts the messages of its sensor, `reason` is that of a poisonous one.

    `number` is unique and stands in the message's header, so it is found again wherever it lands.
    """

    number: int
    stream: Stream
    sensor: str
    partition: int
    step: int
    kind: Kind
    value: bytes
    reason: str = ""

    @property
    def time(self) -> float:
        """Event time, which is also the log's."""
        return START + self.step * STEP


@dataclass(frozen=True)
class Fleet:
    """How many sensors each stream has, over how many partitions of its topic."""

    seed: int
    windows: int = 12
    samples: int = 6
    partitions: int = 4

    def sensors(self, stream: Stream) -> list[str]:
        """Their names."""
        count = self.windows if stream == "windows" else self.samples
        return [f"{stream}-{number}" for number in range(count)]

    def messages(self) -> Iterator[Message]:
        """For ever, all sensors in turn; numbered as they come."""
        lines = [
            _Line(self, stream, place)
            for stream in STREAMS
            for place in range(len(self.sensors(stream)))
        ]
        number = step = 0
        while True:
            for line in lines:
                for message in line.at(step):
                    yield message._replace(number=number)
                    number += 1
            step += 1

    def normal(self, stream: Stream, sensor: str, steps: int) -> Array:
        """`(C, n)`: what a sensor measures in the time before `START`, without any fault."""
        line = _Line(self, stream, self.sensors(stream).index(sensor))
        return np.concatenate([line.data(step) for step in range(-steps, 0)], axis=1)


class _Line:
    """One sensor."""

    def __init__(self, fleet: Fleet, stream: Stream, place: int) -> None:
        self._stream, self._sensor = stream, f"{stream}-{place}"
        self._partition = place % fleet.partitions
        self._source = (fleet.seed, STREAMS.index(stream), place)
        self._random = np.random.default_rng(self._source)
        self._phase = self._random.uniform(0.0, 6.0, (2, 1))
        self._faulty = self._silent = 0

    def at(self, step: int) -> list[Message]:
        """What is sent at a step: mostly one message, sometimes none or two."""
        event = self._event(step)
        if self._silent:
            self._silent -= 1
            return []
        self._faulty -= bool(self._faulty)
        good = self._good(step)
        if event == "again":
            return [good, good._replace(kind="again")]
        if event == "late":
            return [good, self._good(step - 3)._replace(kind="late")]
        if event == "poison":
            return [good, self._poison(good)]
        return [] if event == "skipped" else [good]

    def _event(self, step: int) -> str:
        dice, more = self._random.random(2)
        if step < _QUIET:
            return ""
        event = next((e for e, c in zip(_EVENTS, np.cumsum(_CHANCES), strict=True) if dice < c), "")
        if event == "fault":
            self._faulty = 4 + round(_FAULT * more)
        if event == "silent":
            self._silent = round(_SILENT * (1 + more) / 2)
        return event

    def _good(self, step: int) -> Message:
        samples = Samples(self._sensor, START + step * STEP, self.data(step))
        value = encode_float32(samples)
        return Message(0, self._stream, self._sensor, self._partition, step, "good", value)

    def data(self, step: int) -> Array:
        """`(C, n)` of one step; a fault is a strong and quick vibration."""
        noise = np.random.default_rng((*self._source, step + 1_000_000)).standard_normal((2, SIZE))
        turns = 2 * np.pi * (step * SIZE + np.arange(SIZE))
        data = np.sin(0.022 * turns + self._phase) + 0.2 * noise
        if self._faulty:
            data += 3 * np.sin(0.23 * turns)
        return data.astype(np.float32)

    def _poison(self, good: Message) -> Message:
        value = good.value
        ways = {
            "empty": b"",
            "truncated": value[:-3],
            "trailing": value + b"more",
            "bad_magic": b"XX" + value[2:],
            "bad_time": value[:16] + np.float64(-1e300).tobytes() + value[24:],
        }
        reason = list(ways)[int(self._random.integers(len(ways)))]
        return good._replace(kind="poison", value=ways[reason], reason=reason)
