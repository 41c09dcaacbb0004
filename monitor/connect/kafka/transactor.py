"""A transactional producer of kafka-python whose calls end, also where no broker answers.

kafka-python 3.0.12 waits for the ends of transactions without a limit of time, so its results are
waited for here. What fails may leave its producer in a state from which it never comes back, or in
which it takes an aborted transaction for a committed one. So nothing is repaired: after a failure
of any kind this object is discarded, and the next one with the same identity begins by having the
broker end whatever was open.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from kafka import ConsumerGroupMetadata, KafkaProducer, OffsetAndMetadata, TopicPartition, errors

from monitor.connect.kafka.client import connection
from monitor.connect.kafka.outgoing import PRODUCER, InFlight, Message, discard
from monitor.connections import Kafka

_PRODUCER = {
    **PRODUCER,
    # It waits that long for its coordinator in each transaction: 15 ms instead of 115.
    "retry_backoff_ms": 5,
    "request_timeout_ms": 5_000,
    "bootstrap_timeout_ms": 5_000,
}


class Transactor:
    """One transaction after the other, until the first failure.

    Making one ends what another with the same identity has left open, and fences it out; raises
    KafkaError where that cannot be done. `refused` is the first message that was not taken, and
    why; from then on only `close` makes sense.
    """

    def __init__(self, broker: Kafka, identity: str, timeout: float) -> None:
        self.refused: tuple[Message, Exception] | None = None
        self._in_flight = InFlight()
        self._patience = timeout
        self._open = False
        self._producer = KafkaProducer(
            **connection(broker),
            **_PRODUCER,
            transactional_id=identity,
            transaction_timeout_ms=int(timeout * 1000),
        )
        try:
            self._producer.init_transactions()
        except errors.KafkaError as error:
            discard(self._producer)
            raise self._cause(error) from None

    @property
    def is_open(self) -> bool:
        """Whether a transaction was begun and not ended."""
        return self._open

    def send(self, message: Message) -> None:
        """Put a message into the transaction; only `commit` tells what became of it."""
        topic, key, value, headers, _ = message
        try:
            self._begin()
            sent = self._producer.send(topic, value=value, key=key, headers=headers)
        except errors.KafkaError as error:
            # After a failure it refuses all that follows, maybe before it tells which one failed.
            if self._producer._transaction_manager.last_error is None:
                self._refuse(message, error)
        else:
            self._in_flight.add(sent, partial(self._refuse, message))

    def _begin(self) -> None:
        if not self._open:
            self._producer.begin_transaction()
            self._open = True

    def _refuse(self, message: Message, error: Exception) -> None:
        if self.refused is None:
            self.refused = message, error

    def commit(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        membership: ConsumerGroupMetadata,
        patience: float,
    ) -> None:
        """Make everything sent visible, and the group's offsets with it, or raise KafkaError.

        A message that was refused is an error only in `refused`: nothing is committed then. After
        `patience` seconds without an answer it is a KafkaTimeoutError, and not known which.
        """
        until = time.monotonic() + patience
        # All messages first: when one is refused later, 3.0.12 may lose the end of the transaction.
        if not self._in_flight.wait(patience):
            raise errors.KafkaTimeoutError(f"no answer within {patience:g} s")
        if self.refused is not None:
            return
        self._begin()
        manager = self._producer._transaction_manager
        try:
            if offsets:
                self._wait(manager.send_offsets_to_transaction(offsets, membership), until)
            self._wait(manager.begin_commit(), until)
        except errors.KafkaError as error:
            raise self._cause(error) from None
        self._open = False

    def _wait(self, result: Any, until: float) -> None:
        self._producer._sender.wakeup()
        if not result.wait(timeout_ms=max(0.0, until - time.monotonic()) * 1000):
            raise errors.KafkaTimeoutError("no answer to the end of the transaction")

    def _cause(self, error: errors.KafkaError) -> Exception:
        """The first failure; all that comes later only says that there was one."""
        cause: Exception | None = self._producer._transaction_manager.last_error
        return error if cause is None else cause

    def close(self, patience: float) -> None:
        """Abort what is open, if a broker answers within `patience` seconds, and end."""
        with suppress(errors.KafkaError):
            if self._open and patience > 0:
                aborted = self._producer._transaction_manager.begin_abort()
                self._wait(aborted, time.monotonic() + patience)
        discard(self._producer)
