"""Hand-overs of partitions, brought from kafka-python's I/O thread to the caller's own.

kafka-python calls its rebalance listener on its I/O thread, in the middle of `poll` or `close`, and
a listener must not block there, or heartbeats stop. So the client's blocking calls run on a worker
thread, and the caller's thread attends to hand-overs until the call returns:

    caller   run ... waits ... serve(revoked) ...... waits ...... serve(assigned) ... result
    worker       consumer.poll ........................................................ |
    I/O              listener awaits the answer      joins     listener awaits the answer

While the listener waits, heartbeats go on, however long the work takes.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, TypeVar

from kafka import AsyncConsumerRebalanceListener, TopicPartition
from kafka.cluster import ClusterMetadata
from kafka.future import Future as KafkaFuture
from kafka.net.compat import KafkaNetClient
from kafka.net.selector import NetworkSelector

from monitor.types import Partition

T = TypeVar("T")
Kind = Literal["assigned", "revoked", "lost"]


class Handover(NamedTuple):
    """Partitions that come or go; the client goes on once `answered` is set."""

    kind: Kind
    partitions: list[Partition]
    answered: KafkaFuture


class Attendant:
    """Runs a client's blocking calls elsewhere and `serve`, which answers hand-overs, here.

    Where `serve` raises, the error comes out of `attend`, and no later hand-over is served: whoever
    failed at one is in no state for another.
    """

    def __init__(self, serve: Callable[[Handover], None]) -> None:
        self._serve = serve
        self._failed = False
        self._loop = NetworkSelector()
        self._cluster: ClusterMetadata | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="kafka-calls")
        self._events: queue.SimpleQueue[Handover | Future[Any]] = queue.SimpleQueue()
        self.listener = _Listener(self._events.put)

    @property
    def failed(self) -> bool:
        """Whether a hand-over went wrong."""
        return self._failed

    @property
    def cluster(self) -> ClusterMetadata:
        """What the client knows of the cluster's topics."""
        assert self._cluster is not None, "the consumer has been made"
        return self._cluster

    def client(self, **config: Any) -> KafkaNetClient:
        """The network client for a consumer, on a loop that this object can wake."""
        client = KafkaNetClient(net=self._loop, **config)
        # kafka-python 3.0 takes the consumer's setting but does not bring it here, and so would
        # create a topic whose name has a typing error.
        self._cluster = client.cluster
        self._cluster.config["allow_auto_create_topics"] = config["allow_auto_create_topics"]
        return client

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Start a blocking call; the one before it is waited for."""
        done = self._worker.submit(call)
        done.add_done_callback(self._events.put)
        return done

    def attend(self, done: Future[Any], timeout: float | None = None) -> bool:
        """Serve hand-overs until the call is done, or the seconds are over; which of the two."""
        until = None if timeout is None else time.monotonic() + timeout
        while not done.done():
            left = None if until is None else max(0.0, until - time.monotonic())
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                return False
            # The futures are there to wake us; those of earlier calls may still come, too.
            if isinstance(event, Handover):
                self._answer(event)
        return True

    def _answer(self, handover: Handover) -> None:
        try:
            if handover.partitions and not self._failed:
                self._failed = True
                self._serve(handover)
                self._failed = False
        finally:
            self._loop.call_soon_threadsafe(lambda: handover.answered.success(None))

    def stop(self) -> None:
        """Wait for the last call, serving nothing any more, and end the threads."""
        self._failed = True
        self.attend(self.submit(self._loop.close))
        self._worker.shutdown()


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, tell: Callable[[Handover], None]) -> None:
        self._tell = tell

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._answer("assigned", assigned)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._answer("revoked", revoked)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        # The library's own would treat what is lost as revoked: a zombie saving its state.
        await self._answer("lost", lost)

    async def _answer(self, kind: Kind, partitions: Iterable[TopicPartition]) -> None:
        answered = KafkaFuture()
        self._tell(Handover(kind, sorted(Partition(*tp) for tp in partitions), answered))
        await answered
