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
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, TypeVar

from kafka import AsyncConsumerRebalanceListener, TopicPartition
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

    Where `serve` raises, the error comes out of `run`, and no later hand-over is served: whoever
    failed at one is in no state for another.
    """

    def __init__(self, serve: Callable[[Handover], None]) -> None:
        self._serve = serve
        self._failed = False
        self._loop = NetworkSelector()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="kafka-calls")
        self._events: queue.SimpleQueue[Handover | Future[Any]] = queue.SimpleQueue()
        self.listener = _Listener(self._events.put)

    @property
    def failed(self) -> bool:
        """Whether a hand-over went wrong."""
        return self._failed

    def client(self, **config: Any) -> KafkaNetClient:
        """The network client for a consumer, on a loop that this object can wake."""
        return KafkaNetClient(net=self._loop, **config)

    def run(self, call: Callable[[], T]) -> T:
        """The result of a blocking call; hand-overs that it causes are served meanwhile."""
        done = self._worker.submit(call)
        done.add_done_callback(self._events.put)
        while (event := self._events.get()) is not done:
            # An earlier call that was interrupted here leaves its future in the queue.
            if isinstance(event, Handover):
                self._answer(event)
        return done.result()

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
        self.run(self._loop.close)
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
