"""The producer: sends the fleet's messages at a steady pace and knows what was acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from kafka import KafkaProducer
from kafka.errors import KafkaError

from monitor.types import Partition
from tests.chaos.feed import Fleet, Message
from tests.chaos.settings import Topics

HEADER = "number"


class Producer:
    """Between `start` and `stop` a thread sends `speed` steps of all sensors in each second.

    `sent` is every message by its number; `acknowledged` the numbers that every replica in sync
    has, as far as is known.
    """

    def __init__(
        self, bootstrap: Sequence[str], topics: Topics, fleet: Fleet, speed: float
    ) -> None:
        self.sent: dict[int, Message] = {}
        self.acknowledged: set[int] = set()
        self.refused: dict[int, str] = {}
        self._ends: dict[Partition, int] = {}
        self._topics, self._fleet, self._speed = topics, fleet, speed
        self._producer = KafkaProducer(
            bootstrap_servers=list(bootstrap),
            acks="all",
            linger_ms=5,
            max_block_ms=60_000,
            request_timeout_ms=5_000,
            reconnect_backoff_max_ms=500,
            delivery_timeout_ms=120_000,
        )
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no more, and wait for every answer."""
        self._enough.set()
        self._thread.join()
        self._producer.flush(timeout=130)
        self._producer.close()

    def abandon(self) -> None:
        """Send no more, and wait for nothing: a broker may be away."""
        self._enough.set()
        with suppress(KafkaError):
            self._producer.close(timeout=1)

    def ends(self) -> dict[Partition, int]:
        """What is acknowledged of each partition, as the offset that follows."""
        return dict(self._ends)

    def _run(self) -> None:
        began = time.monotonic()
        for message in self._fleet.messages():
            due = began + message.step / self._speed
            if self._enough.wait(max(0.0, due - time.monotonic())):
                return
            self._send(message)

    def _send(self, message: Message) -> None:
        self.sent[message.number] = message
        try:
            future = self._producer.send(
                self._topics.read(message.stream),
                value=message.value,
                key=message.sensor.encode(),
                headers=[(HEADER, b"%d" % message.number)],
                partition=message.partition,
                timestamp_ms=round(message.time * 1000),
            )
        except KafkaError as error:
            self.refused[message.number] = str(error)
            return
        future.add_callback(partial(self._answered, message.number))
        future.add_errback(partial(self._refused, message.number))

    # On the producer's thread.

    def _answered(self, number: int, where: object) -> None:
        self.acknowledged.add(number)
        place = Partition(where.topic, where.partition)  # type: ignore[attr-defined]
        self._ends[place] = max(self._ends.get(place, 0), where.offset + 1)  # type: ignore[attr-defined]

    def _refused(self, number: int, error: Exception) -> None:
        self.refused[number] = str(error)
