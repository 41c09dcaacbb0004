"""librdkafka's mock cluster: brokers inside this process that answer as they are told to.

It comes with the package confluent-kafka, whose own interface does not reach it; so its C functions
are called (rdkafka_mock.h).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from importlib.metadata import files


class Request(IntEnum):
    """Kinds of request, by their number in Kafka's protocol."""

    FETCH = 1
    LIST_OFFSETS = 2
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14


class Mistake(IntEnum):
    """What a broker may answer instead, by its number in Kafka's protocol."""

    OFFSET_OUT_OF_RANGE = 1
    NOT_LEADER_FOR_PARTITION = 6
    REQUEST_TIMED_OUT = 7
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    ILLEGAL_GENERATION = 22
    UNKNOWN_MEMBER_ID = 25
    REBALANCE_IN_PROGRESS = 27


class MockCluster:
    """Some brokers on loopback."""

    def __init__(self, library: ctypes.CDLL, cluster: ctypes.c_void_p, brokers: int) -> None:
        self._library, self._cluster, self._brokers = library, cluster, brokers
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, ctypes.c_int32(0))
        library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        self.addresses: list[str] = (
            library.rd_kafka_mock_cluster_bootstraps(cluster).decode().split(",")
        )

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic, its partitions spread over the brokers."""
        failed = self._library.rd_kafka_mock_topic_create(
            self._cluster, topic.encode(), partitions, self._brokers
        )
        assert not failed, f"librdkafka answers {failed}"

    def fail(self, request: Request, mistakes: Sequence[Mistake]) -> None:
        """The next requests of a kind get these answers, one each; those after them go well."""
        numbers = (ctypes.c_int * len(mistakes))(*mistakes)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(mistakes)), numbers
        )

    def delay(self, seconds: float) -> None:
        """Every broker takes so long for every answer."""
        for broker in range(1, self._brokers + 1):
            self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, int(seconds * 1000))

    def move_coordinator(self, group: str, broker: int) -> None:
        """Another broker looks after a group from now on."""
        self._library.rd_kafka_mock_coordinator_set(
            self._cluster, b"group", group.encode(), ctypes.c_int32(broker)
        )

    def move_leader(self, topic: str, partition: int, broker: int) -> None:
        """Another broker leads a partition from now on."""
        self._library.rd_kafka_mock_partition_set_leader(
            self._cluster, topic.encode(), ctypes.c_int32(partition), ctypes.c_int32(broker)
        )


@contextmanager
def mock_cluster(brokers: int = 3) -> Iterator[MockCluster]:
    """A fresh cluster."""
    library = _library()
    reason = ctypes.create_string_buffer(512)
    settings = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(settings, b"log_level", b"0", reason, ctypes.c_size_t(512))
    producer = 0
    client = ctypes.c_void_p(library.rd_kafka_new(producer, settings, reason, ctypes.c_size_t(512)))
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(client, brokers))
    try:
        yield MockCluster(library, cluster, brokers)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)


def _library() -> ctypes.CDLL:
    (found,) = [f for f in files("confluent-kafka") or () if f.name.startswith("librdkafka-")]
    library = ctypes.CDLL(str(found.locate()))
    for name in ("conf_new", "new", "mock_cluster_new"):
        getattr(library, f"rd_kafka_{name}").restype = ctypes.c_void_p
    return library
