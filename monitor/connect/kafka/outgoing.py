"""What a result becomes in Kafka, and what is known of messages that are on their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import structlog
from kafka import KafkaProducer, errors

from monitor.connect.messages import alert_message, score_message
from monitor.connections import KafkaTopics
from monitor.types import Clock, Rejected, Result

log = structlog.get_logger()

TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
# What both deliveries ask of kafka-python's producer.
PRODUCER = {
    "acks": "all",
    "linger_ms": 10,
    "batch_size": 256 * 1024,
    # The broker's own limit decides what is too large.
    "max_request_size": 64 * 1024 * 1024,
    "max_block_ms": 5_000,
    "request_timeout_ms": 10_000,
    "delivery_timeout_ms": 30_000,
    "bootstrap_timeout_ms": 10_000,
    "metrics_enabled": False,
}
_ENDING = 2.0


class Message(NamedTuple):
    """One record to write; `rejected` is what a dead letter is made of."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    rejected: Rejected | None = None

    @property
    def size(self) -> int:
        """Bytes of all that is ours; the log adds a few dozen."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key or b"") + len(self.value) + headers


def topics_of(topics: KafkaTopics) -> list[str]:
    """Every topic that is written to, once."""
    names = [topics.alerts, topics.scores, topics.dead_letters]
    return list(dict.fromkeys(name for name in names if name))


def messages(result: Result, topics: KafkaTopics) -> Iterator[Message]:
    """Alerts, scores and dead letters, each for its topic if it has one; the key is the sensor's
    name.

    A dead letter is the rejected record as it came, key, value and headers, with headers `reason`,
    `detail`, `stream`, `topic`, `partition` and `offset` added.
    """
    for alert in result.alerts:
        yield Message(topics.alerts, alert.sensor.encode(), alert_message(alert), [])
    if topics.scores:
        for score in result.scores:
            yield Message(topics.scores, score.sensor.encode(), score_message(score), [])
    if topics.dead_letters:
        for rejected in result.rejected:
            yield _dead_letter(topics.dead_letters, rejected)


def _dead_letter(topic: str, rejected: Rejected) -> Message:
    record = rejected.record
    added = {
        "reason": rejected.reason,
        "detail": rejected.detail,
        "stream": rejected.stream,
        "topic": record.partition.topic,
        "partition": str(record.partition.number),
        "offset": str(record.offset),
    }
    headers = [*record.headers, *((name, value.encode()) for name, value in added.items())]
    return Message(topic, record.key, record.value, headers, rejected)


class InFlight:
    """How many messages are without an answer; answers come on the producer's thread.

    Not the producer's own flush: it fails after a batch was split, answered or not.
    """

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._numbers = 0
        self._settled = threading.Event()

    def add(self, sent: Any, refused: Callable[[Exception], None]) -> None:
        """Wait for this one too; `refused` is called, on the producer's thread, if it fails."""
        self._numbers += 1
        self._open.add(self._numbers)
        sent.add_callback(partial(self._settle, self._numbers))
        sent.add_errback(partial(self._fail, self._numbers, refused))

    def _settle(self, number: int, _: object = None) -> None:
        self._open.discard(number)
        if not self._open:
            self._settled.set()

    def _fail(self, number: int, refused: Callable[[Exception], None], error: Exception) -> None:
        refused(error)
        self._settle(number)

    def wait(self, timeout: float) -> bool:
        """Until everything is answered, or the seconds are over; which of the two."""
        until = time.monotonic() + timeout
        while self._open:
            if not self._settled.wait(max(0.0, until - time.monotonic())):
                return False
            self._settled.clear()
        return True


class TooLarge:
    """Tells of dead letters that are larger than their topic allows: the first at once, further
    ones as a sum, at most once in `quiet` seconds and at the end.
    """

    def __init__(self, *, quiet: float = 60.0, clock: Clock = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._due = float("-inf")
        self._lock = threading.Lock()
        self._unsaid: list[Message] = []
        self._count = 0

    def add(self, letter: Message) -> None:
        """Called on any thread."""
        with self._lock:
            self._count += 1
            self._unsaid = [letter]
            if self._clock() >= self._due:
                self._tell()

    def close(self) -> None:
        """Tell what is left."""
        with self._lock:
            if self._count:
                self._tell()

    def _tell(self) -> None:
        (letter,) = self._unsaid
        assert letter.rejected is not None, "only a dead letter may be left out"
        record = letter.rejected.record
        log.warning(
            "dead_letter_too_large",
            dead_letters=letter.topic,
            count=self._count,
            size=letter.size,
            reason=letter.rejected.reason,
            **record.partition._asdict(),
            offset=record.offset,
            hint="still in its own topic; raise max.message.bytes of the dead letters' topic",
        )
        self._count, self._unsaid = 0, []
        self._due = self._clock() + self._quiet


def discard(producer: KafkaProducer) -> None:
    """End a producer without sending what is left."""
    # There is no public way to make it drop that: `close` alone gives up at its first message
    # without an answer, and leaves its thread running.
    producer._sender.force_close()
    producer._sender.join(_ENDING)
    with suppress(errors.KafkaError):
        producer.close(timeout=1.0)
