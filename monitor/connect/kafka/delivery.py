"""Writing results to topics, each of them at least once."""

from __future__ import annotations

from collections import deque
from functools import partial

from kafka import KafkaProducer, errors

from monitor.connect.kafka.client import connection, said
from monitor.connect.kafka.outgoing import (
    PRODUCER,
    TOO_LARGE,
    InFlight,
    Message,
    TooLarge,
    discard,
    messages,
    topics_of,
)
from monitor.connect.kafka.reach import reach
from monitor.connections import Kafka, KafkaTopics
from monitor.errors import SinkError
from monitor.types import Result

_Failed = deque[tuple[Message, Exception]]
_PRODUCER = {
    **PRODUCER,
    # One refused message is the end of an idempotent producer of kafka-python 3.0.12: the others
    # are never answered. Without it order needs one request at a time, and a repeat has its id.
    "enable_idempotence": False,
    "max_in_flight_requests_per_connection": 1,
}


class KafkaSink:
    """Alerts, scores and dead letters, each to its topic; see `outgoing.messages`.

    `emit` only queues; `flush` waits until every replica in sync has everything. Where that fails
    it raises SinkError and keeps what is not safe for the next one. A topic that cannot be written
    to holds up the flush, but not the other topics. A dead letter that is too large for its topic
    is told in the log instead.

    Making one raises SinkError with the reason where no broker lets us in.
    """

    def __init__(self, broker: Kafka, topics: KafkaTopics, *, timeout: float = 10.0) -> None:
        self._addresses = ", ".join(broker.bootstrap)
        self._topics = topics
        self._timeout = timeout
        self._failed: dict[str, _Failed] = {name: deque() for name in topics_of(topics)}
        self._in_flight = InFlight()
        self._too_large = TooLarge()
        self._closed = False
        reach(broker, error=SinkError)
        try:
            self._producer = KafkaProducer(**connection(broker), **_PRODUCER)
        except errors.KafkaError as error:
            raise SinkError(f"cannot start {self._at()}: {said(error)}", retriable=True) from error

    def emit(self, result: Result) -> None:
        """Queue the messages of a result."""
        for message in messages(result, self._topics):
            self._send(message)

    def _send(self, message: Message) -> None:
        if failed := self._failed[message.topic]:
            # Wait behind what failed: sent now it would come first, or block as long as that did.
            failed.append((message, failed[0][1]))
            return
        topic, key, value, headers, _ = message
        try:
            sent = self._producer.send(topic, value=value, key=key, headers=headers)
        except errors.KafkaError as error:
            self._fail(message, error)
            return
        self._in_flight.add(sent, partial(self._fail, message))

    def _fail(self, message: Message, error: Exception) -> None:
        """Keep a message for the next `flush`; also called on the producer's thread."""
        if message.rejected is not None and isinstance(error, TOO_LARGE):
            self._too_large.add(message)
        else:
            self._failed[message.topic].append((message, error))

    def flush(self) -> None:
        """See `monitor.protocols.Sink`."""
        for failed in self._failed.values():
            for message, _ in [failed.popleft() for _ in range(len(failed))]:
                self._send(message)
        if not self._in_flight.wait(self._timeout):
            why = f"no answer within {self._timeout:g} s to what was written to"
            raise SinkError(f"{why} {', '.join(self._failed)} {self._at()}", retriable=True)
        refusals = [self._refusal(*failed[0]) for failed in self._failed.values() if failed]
        if refusals:
            # What cannot pass by itself first.
            raise min(refusals, key=lambda refusal: refusal.retriable)

    def _refusal(self, message: Message, error: Exception) -> SinkError:
        return SinkError(
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
            self._too_large.close()
            discard(self._producer)

    def _at(self) -> str:
        return f"at Kafka {self._addresses}"
