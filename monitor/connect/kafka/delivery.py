"""Writing results to topics."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import structlog
from kafka import KafkaProducer, errors

from monitor.connect.kafka.client import connection, said
from monitor.connect.kafka.reach import reach
from monitor.connect.messages import alert_message, score_message
from monitor.connections import Kafka, KafkaTopics
from monitor.errors import SinkError
from monitor.types import Rejected, Result

log = structlog.get_logger()

_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_PRODUCER = {
    "acks": "all",
    # One refused message is the end of an idempotent producer of kafka-python 3.0.12: the others
    # are never answered. Without it order needs one request at a time, and a repeat has its id.
    "enable_idempotence": False,
    "max_in_flight_requests_per_connection": 1,
    "linger_ms": 10,
    "batch_size": 256 * 1024,
    # The broker's own limit decides what is too large.
    "max_request_size": 64 * 1024 * 1024,
    "max_block_ms": 10_000,
    "request_timeout_ms": 10_000,
    "delivery_timeout_ms": 30_000,
    "bootstrap_timeout_ms": 10_000,
    "metrics_enabled": False,
}


class _Message(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    rejected: Rejected | None = None


class KafkaSink:
    """Alerts, scores and dead letters, each to its topic; the key is the sensor's name.

    A dead letter is the rejected record as it came, key, value and headers, with headers `reason`,
    `detail`, `stream`, `topic`, `partition` and `offset` added; one that is too large for its topic
    is told in the log instead. `emit` only queues; `flush` waits until every replica in sync has
    everything. Where that fails it raises SinkError and keeps what is not safe for the next one.

    Making one raises SinkError with the reason where no broker lets us in.
    """

    def __init__(self, broker: Kafka, topics: KafkaTopics, *, timeout: float = 10.0) -> None:
        self._addresses = ", ".join(broker.bootstrap)
        self._topics = topics
        self._timeout = timeout
        self._failed: deque[tuple[_Message, Exception]] = deque()
        self._open: set[int] = set()
        self._numbers = 0
        self._settled = threading.Event()
        self._closed = False
        reach(broker, error=SinkError)
        try:
            self._producer = KafkaProducer(**connection(broker), **_PRODUCER)
        except errors.KafkaError as error:
            raise SinkError(f"cannot start {self._at()}: {said(error)}", retriable=True) from error

    def emit(self, result: Result) -> None:
        """Queue the messages of a result."""
        for message in self._messages(result):
            self._send(message)

    def _messages(self, result: Result) -> Iterator[_Message]:
        topics = self._topics
        for alert in result.alerts:
            yield _Message(topics.alerts, alert.sensor.encode(), alert_message(alert), [])
        if topics.scores:
            for score in result.scores:
                yield _Message(topics.scores, score.sensor.encode(), score_message(score), [])
        if topics.dead_letters:
            for rejected in result.rejected:
                yield _dead_letter(topics.dead_letters, rejected)

    def _send(self, message: _Message) -> None:
        if self._failed:
            # Wait behind what failed: sent now it would come first, or block as long as that did.
            self._failed.append((message, self._failed[0][1]))
            return
        topic, key, value, headers, _ = message
        try:
            sent = self._producer.send(topic, value=value, key=key, headers=headers)
        except errors.KafkaError as error:
            self._fail(message, error)
            return
        self._numbers += 1
        self._open.add(self._numbers)
        sent.add_callback(partial(self._settle, self._numbers))
        sent.add_errback(partial(self._refused, self._numbers, message))

    # The next three are called on the producer's thread.

    def _settle(self, number: int, _: object = None) -> None:
        self._open.discard(number)
        if not self._open:
            self._settled.set()

    def _refused(self, number: int, message: _Message, error: Exception) -> None:
        self._fail(message, error)
        self._settle(number)

    def _fail(self, message: _Message, error: Exception) -> None:
        """Keep a message for the next `flush`."""
        if message.rejected is not None and isinstance(error, _TOO_LARGE):
            _tell_too_large(message.rejected)
        else:
            self._failed.append((message, error))

    def flush(self) -> None:
        """See `monitor.types.Sink`."""
        for message, _ in [self._failed.popleft() for _ in range(len(self._failed))]:
            self._send(message)
        self._wait()
        if self._failed:
            message, error = self._failed[0]
            raise SinkError(
                f"cannot write to {message.topic} {self._at()}: {said(error)}",
                retriable=isinstance(error, errors.RetriableError),
            )

    def _wait(self) -> None:
        # Not the producer's own flush: it fails after a batch was split, answered or not.
        until = time.monotonic() + self._timeout
        while self._open:
            if not self._settled.wait(max(0.0, until - time.monotonic())):
                topics = self._topics
                names = [x for x in (topics.alerts, topics.scores, topics.dead_letters) if x]
                why = f"no answer within {self._timeout:g} s to what was written to"
                raise SinkError(f"{why} {', '.join(names)} {self._at()}", retriable=True)
            self._settled.clear()

    def close(self) -> None:
        """Flush and close; more than once does no harm."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush()
        finally:
            _close(self._producer)

    def _at(self) -> str:
        return f"at Kafka {self._addresses}"


def _close(producer: KafkaProducer) -> None:
    try:
        producer.close(timeout=1.0)
    except errors.KafkaError:
        # It gives up at its first message without an answer, and leaves its thread running; there
        # is no public way to make it drop what is left.
        producer._sender.force_close()
        producer.close(timeout=1.0)


def _tell_too_large(rejected: Rejected) -> None:
    record = rejected.record
    log.warning(
        "dead_letter_too_large",
        size=len(record.value),
        reason=rejected.reason,
        **record.partition._asdict(),
        offset=record.offset,
    )


def _dead_letter(topic: str, rejected: Rejected) -> _Message:
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
    return _Message(topic, record.key, record.value, headers, rejected)
