"""Machines that come and go, sent as fast as they are read.

How many messages may be on their way is said from outside, so the rate is what the reader can do.

Event time is a multiple of the wall's: all machines send a window for each `length` of it, so the
rate of messages is that of the time, and a sensor's time to live passes as fast.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from kafka import KafkaProducer

from monitor.stream.codec import encode_float32
from monitor.types import Samples

START = 1_767_225_600.0
CHANNELS = ("x", "y", "z")
SAMPLES = 64
RATE = 64.0
LENGTH = SAMPLES / RATE
_SHAPES = 512
_REST = 0.02


@dataclass
class Population:
    """Who is there: `size` machines, of which the oldest give way to new ones all the time."""

    size: int
    leaving: float  # machines for each second of event time

    def __post_init__(self) -> None:
        self.present = deque(f"machine-{number}" for number in range(self.size))
        self.ever = self.size
        self._due = 0.0

    def pass_time(self, seconds: float) -> None:
        """Let the oldest leave and others come."""
        self._due += seconds * self.leaving
        while self._due >= 1:
            self._due -= 1
            self.present.popleft()
            self.present.append(f"machine-{self.ever}")
            self.ever += 1


class Load:
    """Sends in a thread of its own, until `sent` windows are `allowed`."""

    def __init__(self, address: str, topic: str, population: Population) -> None:
        self.allowed, self.sent, self.refused = 0, 0, 0
        self.population = population
        self._topic = topic
        self._producer = KafkaProducer(
            bootstrap_servers=address, acks="all", linger_ms=20, batch_size=256 * 1024
        )
        random = np.random.default_rng(7)
        shape = (_SHAPES, len(CHANNELS), SAMPLES)
        self._data = random.standard_normal(shape).astype(np.float32)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send, name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._enough.set()
        self._thread.join(60)
        self._producer.close(timeout=30)

    def _send(self) -> None:
        start = START
        while True:
            for sensor in list(self.population.present):
                while self.sent >= self.allowed:
                    if self._enough.wait(_REST):
                        return
                self._one(sensor, start)
            if self._enough.is_set():
                return
            start += LENGTH
            self.population.pass_time(LENGTH)

    def _one(self, sensor: str, start: float) -> None:
        data = self._data[self.sent % _SHAPES]
        value = encode_float32(Samples(sensor, start, data, whole=True))
        sent = self._producer.send(self._topic, key=sensor.encode(), value=value)
        sent.add_errback(self._count_refused)
        self.sent += 1

    def _count_refused(self, error: BaseException) -> None:
        self.refused += 1
