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
from kafka.structs import ConsumerGroupMetadata

from monitor.connect.kafka.client import said
from monitor.connect.kafka.handover import Attendant, Handover
from monitor.connect.kafka.joining import (
    MEMBERSHIP,
    is_fenced,
    is_joining,
    make_consumer,
    reason,
    subscribe,
)
from monitor.connect.kafka.places import Place, Places
from monitor.connect.kafka.reach import reach
from monitor.connections import Kafka
from monitor.errors import SourceError
from monitor.protocols import Owner
from monitor.types import Partition, Record

log = structlog.get_logger()

Batches = dict[TopicPartition, list[Any]]

_REQUEST = 10.0
_PAUSE = 0.1
_JOINING = 0.25


class KafkaSource:
    """The records of some topics, shared with the other members of the group.

    A topic that begins with `^` is a pattern of whole names. What does not exist yet is waited for.
    Records of open or aborted transactions are not seen. While the caller is busy, however long,
    heartbeats go on: only one that does not poll for `max_poll_interval` is expelled.

    `start` raises SourceError with the reason where no broker lets us in. An error that the owner
    raises in a hand-over comes out of `poll` or `close`; after that only `close` is left. A
    partition that the owner forgot, to `rewind` it, may still be revoked or lost: the owner is
    told, and has nothing to do.
    """

    def __init__(self, settings: Kafka, topics: Sequence[str]) -> None:
        self._settings = settings
        self._topics = sorted(set(topics))
        self._held: set[Partition] = set()
        self._rewound: set[Partition] = set()
        self._attendant: Attendant | None = None
        self._consumer: Any = None
        self._owner: Owner | None = None
        self._fetch: Future[Batches] | None = None
        self._fenced = self._closing = False

    def start(self, owner: Owner) -> None:
        """Join the group; the partitions come with the polls that follow."""
        reach(self._settings)
        self._owner = owner
        self._attendant = Attendant(self._serve)
        with self._translated("cannot start"):
            try:
                self._consumer = make_consumer(self._settings, self._attendant)
            finally:
                if self._consumer is None:
                    self._attendant.stop()
        self._places = Places(self._consumer, self._attendant.cluster, self._settings.start)
        subscribe(self._consumer, self._attendant, self._topics)

    def poll(self, timeout: float, most: int | None = None) -> list[Record]:
        """See `monitor.protocols.Source`; SourceError where the broker refuses to be read."""
        consumer, attendant = self._open()
        if attendant.failed:
            raise SourceError("a hand-over of partitions has failed; close this source")
        late = self._fetch is not None
        if self._fetch is None:
            self._reopen()
            self._fetch = attendant.submit(partial(self._fetched, consumer, timeout, most))
        if not attendant.attend(self._fetch, timeout + _JOINING):
            return []
        void = set(self._rewound)
        if late:
            self._reopen()
        done, self._fetch = self._fetch, None
        batches = self._batches(done, timeout)
        return self._taken(batches, void | self._rewound, most)

    def rewind(self, partitions: Sequence[Partition]) -> None:
        """See `monitor.protocols.Source`; what is not held any more is passed over."""
        self._rewound.update(self._held.intersection(partitions))

    def _batches(self, done: Future[Batches], timeout: float) -> Batches:
        with self._translated("cannot read"):
            try:
                return done.result()
            except errors.OffsetOutOfRangeError as error:
                gone = {Partition(*tp): offset for tp, offset in error.args[0].items()}
                self._go_on(self._places.out_of_range(gone))
            except errors.LogTruncationError as error:
                ends = {Partition(*tp): p and p.offset for tp, p in error.divergent_offsets.items()}
                self._go_on(self._places.taken_back(ends))
            except (errors.RetriableError, *MEMBERSHIP) as error:
                log.warning("poll_failed", reason=said(error), hint="goes on by itself")
                time.sleep(min(max(timeout, 0.0), _PAUSE))
        return {}

    def _taken(self, batches: Batches, void: set[Partition], most: int | None) -> list[Record]:
        """At most so many records, none of them void; the others are fetched again, such as those
        of partitions that were assigned while nothing was to be read.
        """
        taken: list[Record] = []
        for tp, batch in batches.items():
            if Partition(*tp) in void:
                continue
            room = len(batch) if most is None else max(0, most - len(taken))
            taken += _records(tp, batch[:room])
            if room < len(batch):
                self._consumer.seek(tp, batch[room].offset)
        return taken

    def _fetched(self, consumer: KafkaConsumer, timeout: float, most: int | None) -> Batches:
        """What one call of the client gives; with `most` 0 all that is held rests meanwhile."""
        limit = min(most or self._settings.max_poll_records, self._settings.max_poll_records)
        if most == 0:
            consumer.pause(*consumer.assignment())
        try:
            return self._joined(consumer, timeout, limit)
        finally:
            if most == 0:
                resting = {Partition(*tp): tp for tp in consumer.paused()}
                consumer.resume(*(tp for p, tp in resting.items() if p not in self._rewound))

    def _joined(self, consumer: KafkaConsumer, timeout: float, limit: int) -> Batches:
        """Records, or none after `timeout`; but joining the group is seen through to its end.

        A join that ends while nobody polls is thrown away by kafka-python 3.0.12, which then joins
        anew and so makes all others join anew: two members can go on like that for ever.
        """
        batches: Batches = consumer.poll(max(0, int(timeout * 1000)), limit)
        until = time.monotonic() + _REQUEST
        while is_joining(consumer) and not self._closing and time.monotonic() < until:
            if batches:
                break
            batches = consumer.poll(int(_JOINING * 1000), limit)
        if self._settings.instance and is_fenced(consumer):
            raise errors.FencedInstanceIdError
        return batches

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Have the group remember where to read on; returns once it does.

        Raises SourceError with `retriable` where the group is just changing or the broker is away:
        then nothing is remembered, and the next `poll` sorts out who owns what.
        """
        consumer, _ = self._open()
        if strange := [partition for partition in offsets if partition not in self._held]:
            raise SourceError(f"cannot commit {strange[0]}: not held by this member")
        with self._translated("cannot commit"):
            consumer.commit(self._places.stamped(offsets), timeout_ms=_REQUEST * 1000)

    def membership(self) -> ConsumerGroupMetadata:
        """Who this member is in its group now: with it a transaction that commits offsets is
        refused once somebody else owns the partitions. Needs no request.
        """
        consumer, _ = self._open()
        return consumer.group_metadata()

    def stamped(self, offsets: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Offsets as this group commits them, for a transaction."""
        self._open()
        return self._places.stamped(offsets)

    def lag(self) -> dict[Partition, int]:
        """See `monitor.protocols.Source`; needs no request.

        While the group is changing nothing is known to be at the high-water mark.
        """
        self._open()
        if self._fetch is not None:
            return dict.fromkeys(self._held, 1)
        with self._translated("cannot tell the lag"):
            return {p: 1 if p in self._rewound else self._places.behind(p) for p in self._held}

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
        kind, partitions = handover.kind, handover.partitions
        if kind == "revoked" and self._fenced:
            kind = "lost"
        log.info(kind, partitions=[f"{p.topic}/{p.number}" for p in partitions])
        assert self._owner is not None, "the owner is set before the first poll"
        if kind == "assigned":
            self._held.update(partitions)
            self._find(partitions)
            return
        self._owner.revoked(partitions) if kind == "revoked" else self._owner.lost(partitions)
        self._held.difference_update(partitions)
        self._rewound.difference_update(partitions)

    def _reopen(self) -> None:
        """Begin anew with what was rewound, or has become another log; nothing is fetched now."""
        if self._rewound:
            self._find(sorted(self._rewound))
        with self._translated("cannot find where to read on"):
            self._go_on(self._places.remade(self._held - self._rewound))

    def _find(self, partitions: Sequence[Partition]) -> None:
        """Open partitions where the group stands, or, where that cannot be told now, later."""
        try:
            with self._translated("cannot find where to read on"):
                places = self._places.find(partitions)
        except SourceError as error:
            if not error.retriable:
                raise
            log.warning("position_unknown", reason=str(error), hint="goes on by itself")
            self._rest(partitions)
            return
        self._rewound.difference_update(partitions)
        self._give(places)

    def _rest(self, partitions: Sequence[Partition]) -> None:
        self._rewound.update(partitions)
        for tp in (TopicPartition(*partition) for partition in partitions):
            # Any offset will do: without one the client itself would ask where to begin.
            self._consumer.seek(tp, 0)
            self._consumer.pause(tp)

    def _go_on(self, places: Sequence[Place]) -> None:
        """Read on where the log has moved under the reader. What was learnt from records that are
        no more is void, and forgotten.
        """
        assert self._owner is not None
        for place in places:
            if place.partition not in self._held:
                continue
            if place.notice and place.notice.kind == "log_is_shorter":
                self._owner.lost([place.partition])
                self._give([place])
            else:
                self._move(place)

    def _give(self, places: Sequence[Place]) -> None:
        assert self._owner is not None
        wanted = self._owner.assigned({place.partition: place.offset for place in places})
        for place in places:
            self._move(place.at(wanted.get(place.partition, place.offset)))

    def _move(self, place: Place) -> None:
        assert self._owner is not None
        tp = TopicPartition(*place.partition)
        self._consumer.seek(tp, place.offset)
        self._consumer.resume(tp)
        if place.notice:
            told = place.notice
            log.warning(told.kind, **place.partition._asdict(), at=told.offset, detail=told.detail)
            self._owner.note(told)

    @contextmanager
    def _translated(self, failure: str) -> Iterator[None]:
        try:
            yield
        except errors.KafkaError as error:
            self._fenced |= isinstance(error, errors.FencedInstanceIdError)
            where = f"{', '.join(self._topics)} of group {self._settings.group!r}"
            addresses = ", ".join(self._settings.bootstrap)
            raise SourceError(
                f"{failure}: {where} at Kafka {addresses}: {reason(error, self._settings)}",
                retriable=error.retriable or isinstance(error, MEMBERSHIP),
            ) from error


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
