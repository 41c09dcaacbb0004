"""Results and consumed offsets in one transaction: to a reader each result happens exactly once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from kafka import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition, errors

from monitor.connect.kafka.client import said
from monitor.connect.kafka.outgoing import TOO_LARGE, Message, TooLarge, messages
from monitor.connect.kafka.reach import PATIENCE, reach
from monitor.connect.kafka.transactor import Transactor
from monitor.connections import Kafka, KafkaTopics
from monitor.errors import AbortedError, ConfigError, SinkError, SourceError
from monitor.protocols import Sink
from monitor.types import Partition, Result

Membership = Callable[[], ConsumerGroupMetadata]
Stamped = Callable[[Mapping[Partition, int]], Mapping[TopicPartition, OffsetAndMetadata]]


def plain(offsets: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    """Offsets as they are committed, with nothing beside the number."""
    return {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}


_LONGEST = 10.0
_ENDING = 2.0
# What no other attempt will cure.
_FINAL = (
    *TOO_LARGE,
    errors.AuthorizationError,
    errors.InvalidTopicError,
    errors.InvalidRecordError,
    errors.InvalidTimestampError,
    errors.UnsupportedVersionError,
    errors.UnsupportedForMessageFormatError,
)


class ExactlyOnce:
    """A `monitor.protocols.Delivery`: alerts, scores, dead letters and the group's offsets become
    visible together or not at all.

    A transaction begins with the first message and ends with `commit`. The broker refuses it from a
    member whose partitions have gone to somebody else, and from a process that has been replaced:
    with `broker.instance` the same instance that comes back, which aborts what was left open. After
    an AbortedError nothing of the transaction will ever be visible, or, where the broker fell
    silent at its very end, all of it is: the group's offsets say which.

    `stamped` makes of offsets what the group commits: a source may note more than the number. The
    sinks `beside` are for people, who get each result as it comes, again only after a crash.
    A dead letter that is too large for its topic is told in the log instead.

    Making one raises SinkError with the reason where no broker lets us in or transactions are
    refused, and returns when what a predecessor left open has ended.
    """

    def __init__(
        self,
        broker: Kafka,
        topics: KafkaTopics | Sequence[KafkaTopics],
        membership: Membership,
        *,
        transaction_timeout: float,
        beside: Sequence[Sink] = (),
        stamped: Stamped = plain,
    ) -> None:
        self._topics = (topics,) if isinstance(topics, KafkaTopics) else tuple(topics)
        if elsewhere := [each for each in self._topics if each.broker not in (None, broker)]:
            raise ConfigError(
                f"the topic {elsewhere[0].alerts} is on another broker than the source: leave "
                "broker out, or use delivery at_least_once"
            )
        self._broker = broker
        self._identity = f"{broker.group}-{broker.instance or uuid.uuid4().hex}"
        self._membership, self._stamped = membership, stamped
        self._timeout = transaction_timeout
        self._beside = _Beside(beside)
        self._too_large = TooLarge()
        self._smallest_refused: dict[str, int] = {}
        self._failure: SinkError | None = None
        self._closed = False
        self._transactor: Transactor | None = self._opened(PATIENCE)

    def emit(self, result: Result) -> None:
        """Put the messages into the transaction; what goes wrong is told by the next `commit`."""
        self._beside.emit(result)
        for topics in self._topics:
            for message in messages(result, topics):
                if message.rejected is not None and self._is_too_large(message):
                    self._too_large.add(message)
                elif transactor := self._ready():
                    transactor.send(message)

    def _is_too_large(self, letter: Message) -> bool:
        return letter.size >= self._smallest_refused.get(letter.topic, letter.size + 1)

    def _ready(self) -> Transactor | None:
        """The way into the transaction, unless that is lost already."""
        if self._failure is None and self._transactor is None:
            try:
                self._transactor = self._opened(0.0)
            except SinkError as error:
                self._failure = AbortedError(str(error)) if error.retriable else error
        lost = self._failure is not None or self._transactor is None or self._transactor.refused
        return None if lost else self._transactor

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Everything since the last commit becomes visible, and the group stands at the offsets.

        Raises AbortedError where all that is void, SinkError where no other attempt can help, or
        where a sink beside is not done: then the transaction stays open.
        """
        self._beside.flush()
        transactor = self._ready()
        if transactor and (offsets or transactor.is_open):
            try:
                patience = min(_LONGEST, self._timeout)
                transactor.commit(self._stamped(offsets), self._member(), patience)
            except (errors.KafkaError, SourceError) as error:
                self._failure = self._refusal("cannot commit", error)
        if failure := self._refused() or self._failure:
            self._start_over()
            raise failure

    def _member(self) -> ConsumerGroupMetadata:
        """Without a generation the broker would ask nobody's leave."""
        member = self._membership()
        if member.generation_id < 0:
            raise errors.CommitFailedError(f"not a member of group {self._broker.group!r} now")
        return member

    def _refused(self) -> SinkError | None:
        if self._transactor is None or self._transactor.refused is None:
            return None
        message, error = self._transactor.refused
        if message.rejected is None or not isinstance(error, TOO_LARGE):
            return self._refusal(f"cannot write to {message.topic}", error)
        # One aborted transaction for each new size that is found to be too large.
        self._smallest_refused[message.topic] = message.size
        return AbortedError(
            f"a dead letter of {message.size} bytes is too large for {message.topic} {self._at()}; "
            "it will be left out"
        )

    def _refusal(self, what: str, error: Exception) -> SinkError:
        line = f"{what} {self._at()}: {said(error)}"
        return SinkError(line) if isinstance(error, _FINAL) else AbortedError(line)

    def abort(self) -> bool:
        """Make everything since the last commit void; whether there was anything."""
        transactor = self._transactor
        void = self._failure is not None or (transactor is not None and transactor.is_open)
        if void:
            self._start_over()
        return void

    def _start_over(self) -> None:
        """The successor has the broker end what is open; without a broker that has to wait."""
        self._failure = None
        self._beside.again()
        if self._transactor is not None:
            self._transactor.close(0.0)
            self._transactor = None
        self._ready()
        if self._failure and self._failure.retriable:
            self._failure = None

    def _opened(self, patience: float) -> Transactor:
        reach(self._broker, patience=patience, error=SinkError)
        try:
            return Transactor(self._broker, self._identity, self._timeout)
        except errors.KafkaError as error:
            raise self._refusal("cannot begin transactions", error) from error

    def close(self) -> None:
        """Abort what is open and end; more than once does no harm."""
        if self._closed:
            return
        self._closed = True
        with ExitStack() as stack:
            stack.callback(self._beside.close)
            stack.callback(self._too_large.close)
            if self._transactor is not None:
                self._transactor.close(_ENDING)

    def _at(self) -> str:
        return f"at Kafka {', '.join(self._broker.bootstrap)}"


class _Beside:
    """Sinks that cannot take anything back: after an abort they are not told the same again."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._position: dict[Partition, int] = {}
        self._told: dict[Partition, int] = {}

    def emit(self, result: Result) -> None:
        fresh = result.since(self._told)
        for sink in self._sinks:
            sink.emit(fresh)
        self._position.update(result.offsets)
        for partition, offset in result.offsets.items():
            if offset >= self._told.get(partition, offset + 1):
                del self._told[partition]

    def again(self) -> None:
        """What follows begins where the last commit was."""
        for partition, offset in self._position.items():
            self._told[partition] = max(offset, self._told.get(partition, 0))

    def flush(self) -> None:
        for sink in self._sinks:
            sink.flush()

    def close(self) -> None:
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)
