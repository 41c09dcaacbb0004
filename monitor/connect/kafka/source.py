"""Reading topics as a member of a consumer group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import ConsumerGroupMetadata, MemberState

from monitor.connect.kafka.client import connection, said
from monitor.connect.kafka.handover import Attendant, Handover
from monitor.connect.kafka.reach import reach
from monitor.connections import Kafka
from monitor.errors import SourceError
from monitor.types import Owner, Partition, Record

log = structlog.get_logger()

Batches = dict[TopicPartition, list[Any]]

_REQUEST = 10.0
_PAUSE = 0.1
_JOINING = 0.25
_MEMBERSHIP = (
    errors.RebalanceInProgressError,
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
)
# Few large answers instead of many small ones: the client's CPU is the limit, not the broker.
_FETCH = {
    "fetch_min_bytes": 64 * 1024,
    "fetch_max_wait_ms": 50,
    "fetch_max_bytes": 64 * 1024 * 1024,
    "max_partition_fetch_bytes": 4 * 1024 * 1024,
}


class KafkaSource:
    """The records of some topics, shared with the other members of the group.

    When members come or go only the partitions that move are handed over (cooperative sticky); the
    others are not interrupted. A topic that does not exist yet is waited for. Records of open or
    aborted transactions are not seen.

    `start` raises SourceError with the reason where no broker lets us in. An error that the owner
    raises in a hand-over comes out of `poll` or `close`; after that only `close` is left.
    """

    def __init__(self, settings: Kafka, topics: Sequence[str]) -> None:
        self._settings = settings
        self._topics = sorted(set(topics))
        self._held: dict[Partition, TopicPartition] = {}
        self._ends: dict[Partition, int] = {}
        self._attendant: Attendant | None = None
        self._consumer: Any = None
        self._owner: Owner | None = None
        self._fetch: Future[Batches] | None = None
        self._closing = False

    def start(self, owner: Owner) -> None:
        """Join the group; the partitions come with the polls that follow."""
        reach(self._settings)
        self._owner = owner
        self._attendant = Attendant(self._serve)
        with self._translated("cannot start"):
            try:
                self._consumer = self._make(self._attendant)
            finally:
                if self._consumer is None:
                    self._attendant.stop()
        self._consumer.subscribe(self._topics, listener=self._attendant.listener)
        # In this order, or the group's leader finds its first assignment outdated and joins again.
        for topic in self._topics:
            if not self._consumer.partitions_for_topic(topic):
                log.warning("topic_missing", topic=topic, hint="read as soon as it is created")

    def _make(self, attendant: Attendant) -> KafkaConsumer:
        session = self._settings.session_timeout
        return KafkaConsumer(
            **connection(self._settings),
            **_FETCH,
            kafka_client=attendant.client,
            group_id=self._settings.group,
            session_timeout_ms=int(session * 1000),
            # Heartbeats also bring the news that others join or leave.
            heartbeat_interval_ms=int(min(session / 4, 1.0) * 1000),
            max_poll_records=self._settings.max_poll_records,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            isolation_level="read_committed",
            enable_auto_commit=False,
            # An offset that is gone is told, not skipped in silence: see _step_into_range.
            auto_offset_reset="none",
            allow_auto_create_topics=False,
            metadata_max_age_ms=5000,
            metrics_enabled=False,
        )

    def poll(self, timeout: float) -> list[Record]:
        """See `monitor.types.Source`; SourceError where the broker refuses to be read."""
        consumer, attendant = self._open()
        if attendant.failed:
            raise SourceError("a hand-over of partitions has failed; close this source")
        if self._fetch is None:
            self._fetch = attendant.submit(lambda: self._fetched(consumer, timeout))
        if not attendant.attend(self._fetch, timeout + _JOINING):
            return []
        done, self._fetch = self._fetch, None
        with self._translated("cannot read"):
            try:
                batches = done.result()
            except errors.OffsetOutOfRangeError as error:
                self._step_into_range(error.args[0])
                return []
            except (errors.RetriableError, *_MEMBERSHIP) as error:
                log.warning("poll_failed", reason=said(error), hint="goes on by itself")
                time.sleep(min(max(timeout, 0.0), _PAUSE))
                return []
        return [record for tp, batch in batches.items() for record in _records(tp, batch)]

    def _fetched(self, consumer: KafkaConsumer, timeout: float) -> Batches:
        """Records, or none after `timeout`; but joining the group is seen through to its end.

        A join that ends while nobody polls is thrown away by kafka-python 3.0.12, which then joins
        anew and so makes all others join anew: two members can go on like that for ever.
        """
        milliseconds = max(0, int(timeout * 1000))
        batches: Batches = consumer.poll(timeout_ms=milliseconds)
        until = time.monotonic() + _REQUEST
        while not batches and not self._closing and time.monotonic() < until:
            if consumer.group_metadata().state is MemberState.STABLE:
                break
            batches = consumer.poll(timeout_ms=int(_JOINING * 1000))
        return batches

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Have the group remember where to read on; returns once it does.

        Raises SourceError with `retriable` where the group is just changing or the broker is away:
        then nothing is remembered, and the next `poll` sorts out who owns what.
        """
        consumer, _ = self._open()
        if strange := [partition for partition in offsets if partition not in self._held]:
            raise SourceError(f"cannot commit {strange[0]}: not held by this member")
        wanted = {self._held[p]: OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
        with self._translated("cannot commit"):
            consumer.commit(wanted, timeout_ms=_REQUEST * 1000)

    def membership(self) -> ConsumerGroupMetadata:
        """Who this member is in its group now: with it a transaction that commits offsets is refused
        once somebody else owns the partitions. Needs no request.
        """
        consumer, _ = self._open()
        return consumer.group_metadata()

    def lag(self) -> dict[Partition, int]:
        """See `monitor.types.Source`; needs no request.

        While the group is changing nothing is known to be at the high-water mark.
        """
        consumer, _ = self._open()
        if self._fetch is not None:
            return dict.fromkeys(self._held, 1)
        with self._translated("cannot tell the lag"):
            return {p: self._behind(consumer, p, tp) for p, tp in self._held.items()}

    def _behind(self, consumer: KafkaConsumer, partition: Partition, tp: TopicPartition) -> int:
        fetched = consumer.highwater(tp)  # None before the first fetch
        end = self._ends[partition] if fetched is None else int(fetched)
        return max(0, end - int(consumer.position(tp, timeout_ms=0)))

    def close(self) -> None:
        """Hand all partitions over and leave the group; more than once does no harm."""
        if self._consumer is None:
            return
        consumer, attendant = self._open()
        self._closing = True
        leave = partial(consumer.close, autocommit=False, timeout_ms=_REQUEST * 1000)
        with self._translated("cannot leave the group"):
            try:
                left = attendant.submit(leave)
                attendant.attend(left)
                left.result()
            finally:
                self._consumer = None
                attendant.stop()

    def _open(self) -> tuple[KafkaConsumer, Attendant]:
        if self._consumer is None or self._attendant is None:
            raise SourceError("this source is not started, or closed")
        return self._consumer, self._attendant

    def _serve(self, handover: Handover) -> None:
        """Tell the owner; on the caller's thread, while the client waits."""
        log.info(handover.kind, partitions=[f"{p.topic}/{p.number}" for p in handover.partitions])
        assert self._owner is not None, "the owner is set before the first poll"
        if handover.kind == "assigned":
            self._assign(self._owner, handover.partitions)
            return
        if handover.kind == "revoked":
            self._owner.revoked(handover.partitions)
        else:
            self._owner.lost(handover.partitions)
        for partition in handover.partitions:
            self._held.pop(partition, None)

    def _assign(self, owner: Owner, partitions: Sequence[Partition]) -> None:
        consumer, _ = self._open()
        self._held.update((p, TopicPartition(*p)) for p in partitions)
        with self._translated("cannot find where to read on"):
            ranges = self._ranges([self._held[p] for p in partitions])
            committed = {p: self._committed(p, ranges[p]) for p in partitions}
        wanted = {**committed, **owner.assigned(committed)}
        for partition in partitions:
            start = _into(ranges[partition], partition, wanted[partition])
            consumer.seek(self._held[partition], start)

    def _ranges(self, tps: Sequence[TopicPartition]) -> dict[Partition, range]:
        """The offsets that the log still has, or will give next."""
        consumer, _ = self._open()
        firsts = consumer.beginning_offsets(list(tps), timeout_ms=_REQUEST * 1000)
        ends = consumer.end_offsets(list(tps), timeout_ms=_REQUEST * 1000)
        self._ends.update((Partition(*tp), end) for tp, end in ends.items())
        return {Partition(*tp): range(firsts[tp], ends[tp] + 1) for tp in tps}

    def _committed(self, partition: Partition, valid: range) -> int:
        consumer, _ = self._open()
        offset = consumer.committed(self._held[partition], timeout_ms=_REQUEST * 1000)
        if offset is None:
            return valid[0] if self._settings.start == "earliest" else valid[-1]
        return _into(valid, partition, offset)

    def _step_into_range(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Go on where the log goes on, after it has dropped what was to be read next."""
        consumer, _ = self._open()
        ranges = self._ranges(list(offsets))
        for tp, offset in offsets.items():
            partition = Partition(*tp)
            consumer.seek(tp, _into(ranges[partition], partition, offset))

    @contextmanager
    def _translated(self, failure: str) -> Iterator[None]:
        try:
            yield
        except errors.KafkaError as error:
            where = f"{', '.join(self._topics)} of group {self._settings.group!r}"
            addresses = ", ".join(self._settings.bootstrap)
            raise SourceError(
                f"{failure}: {where} at Kafka {addresses}: {said(error)}",
                retriable=error.retriable or isinstance(error, _MEMBERSHIP),
            ) from error


def _into(valid: range, partition: Partition, offset: int) -> int:
    """The offset, or the nearest one that the log has; what is skipped is told."""
    if offset < valid[0]:
        log.warning("records_expired", **partition._asdict(), lost=valid[0] - offset)
    elif offset > valid[-1]:
        # Only a topic that was deleted and made again, or an unclean election, goes backwards.
        log.warning("log_is_shorter", **partition._asdict(), expected=offset, end=valid[-1])
        return valid[0]
    return max(offset, valid[0])


def _records(tp: TopicPartition, batch: Sequence[Any]) -> list[Record]:
    partition = Partition(tp.topic, tp.partition)
    return [
        Record(
            partition,
            message.offset,
            message.key,
            message.timestamp / 1000,
            message.value or b"",
            tuple((name, value or b"") for name, value in message.headers),
        )
        for message in batch
    ]
