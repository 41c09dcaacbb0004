"""Writing results to topics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import structlog
from kafka import KafkaProducer, errors

from monitor.connect.kafka.client import connection, said
from monitor.connect.kafka.reach import reach
from monitor.connect.messages import alert_message, score_message
from monitor.errors import SinkError
from monitor.settings import Kafka, KafkaTopics
from monitor.types import Rejected, Result

log = structlog.get_logger()

_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_PRODUCER = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 10,
    "batch_size": 256 * 1024,
    # The broker's own limit decides what is too large.
    "max_request_size": 64 * 1024 * 1024,
    "max_block_ms": 10_000,
    "request_timeout_ms": 10_000,
    "delivery_timeout_ms": 30_000,
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
    is told in the log instead. `emit` only queues; `flush` waits until every replica has everything
    and raises SinkError if one has not. What failed is kept and sent again by the next `flush`.

    Making one raises SinkError with the reason where no broker lets us in.
    """

    def __init__(self, broker: Kafka, topics: KafkaTopics, *, timeout: float = 10.0) -> None:
        self._addresses = ", ".join(broker.bootstrap)
        self._topics = topics
        self._timeout = timeout
        self._failed: deque[tuple[_Message, Exception]] = deque()
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
        else:
            sent.add_errback(partial(self._fail, message))

    def _fail(self, message: _Message, error: Exception) -> None:
        """Keep a message for the next `flush`; called on the producer's thread too."""
        if message.rejected is None or not isinstance(error, _TOO_LARGE):
            self._failed.append((message, error))
            return
        record = message.rejected.record
        log.warning(
            "dead_letter_too_large",
            size=len(record.value),
            reason=message.rejected.reason,
            **record.partition._asdict(),
            offset=record.offset,
        )

    def flush(self) -> None:
        """See `monitor.types.Sink`."""
        for message, _ in [self._failed.popleft() for _ in range(len(self._failed))]:
            self._send(message)
        try:
            self._producer.flush(timeout=self._timeout)
        except errors.KafkaTimeoutError:
            names = ", ".join(sorted(self._names()))
            why = f"no answer within {self._timeout:g} s to what was written to {names}"
            raise SinkError(f"{why} {self._at()}", retriable=True) from None
        if self._failed:
            message, error = self._failed[0]
            raise SinkError(
                f"cannot write to {message.topic} {self._at()}: {said(error)}",
                retriable=isinstance(error, errors.RetriableError),
            )

    def close(self) -> None:
        """Flush and close; more than once does no harm."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush()
        finally:
            self._producer.close(timeout=self._timeout)

    def _names(self) -> set[str]:
        topics = self._topics
        return {name for name in (topics.alerts, topics.scores, topics.dead_letters) if name}

    def _at(self) -> str:
        return f"at Kafka {self._addresses}"


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
