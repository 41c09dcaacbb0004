"""How a process joins its consumer group, and why it may not stay."""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog
from kafka import KafkaConsumer, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.structs import MemberState

from monitor.connect.kafka.client import connection, said
from monitor.connect.kafka.handover import Attendant
from monitor.connect.kafka.inflation import bound_inflation
from monitor.connect.kafka.odd_headers import tolerate_odd_headers
from monitor.connections import Kafka

log = structlog.get_logger()

# What tells that the group has changed without us; the next poll joins it again.
MEMBERSHIP = (
    errors.RebalanceInProgressError,
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
)
# Both leave a partition where it was if they can, so that its snapshots stay near.
_ASSIGNORS = {"cooperative": CooperativeStickyAssignor, "eager": StickyPartitionAssignor}
# Few large answers instead of many small ones: the client's CPU is the limit, not the broker.
_FETCH = {
    "fetch_min_bytes": 64 * 1024,
    "fetch_max_wait_ms": 50,
    "fetch_max_bytes": 64 * 1024 * 1024,
    "max_partition_fetch_bytes": 4 * 1024 * 1024,
}


def make_consumer(settings: Kafka, attendant: Attendant) -> KafkaConsumer:
    """A consumer whose hand-overs the attendant serves; KafkaError where no broker lets it in."""
    tolerate_odd_headers()
    bound_inflation()
    return KafkaConsumer(
        **connection(settings),
        **_FETCH,
        kafka_client=attendant.client,
        group_id=settings.group,
        group_instance_id=settings.instance,
        session_timeout_ms=int(settings.session_timeout * 1000),
        # Heartbeats also bring the news that others join or leave.
        heartbeat_interval_ms=int(min(settings.session_timeout / 4, 1.0) * 1000),
        max_poll_interval_ms=int(settings.max_poll_interval * 1000),
        max_poll_records=settings.max_poll_records,
        partition_assignment_strategy=[_ASSIGNORS[settings.assignor]],
        isolation_level="read_committed",
        enable_auto_commit=False,
        # An offset that is gone is told, not skipped in silence: see places.py.
        auto_offset_reset="none",
        allow_auto_create_topics=False,
        metadata_max_age_ms=5000,
        metrics_enabled=False,
    )


def subscribe(consumer: KafkaConsumer, attendant: Attendant, topics: Sequence[str]) -> None:
    """Ask for topics, and for all that match the patterns among them; what is missing is told."""
    named = [topic for topic in topics if not topic.startswith("^")]
    if len(named) == len(topics):
        consumer.subscribe(named, listener=attendant.listener)
    else:
        consumer.subscribe(pattern=any_of(topics), listener=attendant.listener)
    # In this order, or the group's leader finds its first assignment outdated and joins again.
    for topic in named:
        if not consumer.partitions_for_topic(topic):
            log.warning("topic_missing", topic=topic, hint="read as soon as it is created")


def any_of(topics: Sequence[str]) -> str:
    """One regular expression for the whole names of all; those that begin with `^` are patterns."""
    each = (f"(?:{topic})" if topic.startswith("^") else re.escape(topic) for topic in topics)
    return rf"(?:{'|'.join(each)})\Z"


def is_joining(consumer: KafkaConsumer) -> bool:
    """Whether this member has yet to be told its share; if so, the next poll goes on with that.

    kafka-python 3.0.12 must be told to: where new topics or partitions are why it joins, it takes
    them for done once it has asked. If that poll ends before the answer comes, the answer is never
    read, heartbeats rest, and the group throws the member out.
    """
    if consumer.group_metadata().state is MemberState.STABLE:
        return False
    consumer._coordinator.request_rejoin()
    return True


def is_fenced(consumer: KafkaConsumer) -> bool:
    """Whether another process has taken this one's instance.

    kafka-python 3.0.12 tells that to nobody, but stops the heartbeats of a member that has joined
    and knows of no reason to join again.
    """
    group = consumer._coordinator
    return bool(group.stable() and not group.need_rejoin() and not group._heartbeat_enabled)


def reason(error: errors.KafkaError, settings: Kafka) -> str:
    """What went wrong, and what to change where it is a setting."""
    if isinstance(error, errors.FencedInstanceIdError):
        return (
            f"another process has joined as instance {settings.instance!r} and taken the "
            "partitions; each process needs an instance of its own"
        )
    if isinstance(error, errors.InconsistentGroupProtocolError):
        return (
            f"the other members do not use assignor {settings.assignor!r}; it must be the same "
            "for all, so stop them all to change it"
        )
    if isinstance(error, errors.InvalidSessionTimeoutError):
        return (
            f"session_timeout {settings.session_timeout:g} s is not between the broker's "
            "group.min.session.timeout.ms and group.max.session.timeout.ms"
        )
    return said(error)
