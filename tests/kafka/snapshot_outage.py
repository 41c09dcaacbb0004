"""Snapshots in a topic while its broker hangs, is killed, and is back with its data.

A process of its own: kafka-python leaves sockets behind where a broker does not answer.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from deploy.broker.broker import Broker
from monitor.connect.kafka.compacted import CompactedTopic
from monitor.connect.kafka.snapshots import TopicSnapshots
from monitor.connections import Kafka
from monitor.errors import MonitorError, SourceError, StateError
from monitor.types import Partition, State

HERE = Partition("plant", 3)


def state(number: int) -> State:
    """Three pieces."""
    return {"noise": np.random.default_rng(number).integers(0, 256, 1_500_000, np.uint8)}


def complaint(act: Callable[[], object]) -> MonitorError:
    """What an act that must fail says."""
    try:
        act()
    except MonitorError as told:
        return told
    raise AssertionError("it did not fail")


def while_it_hangs(snapshots: TopicSnapshots) -> None:
    """Nothing is taken for missing or damaged."""
    for ask in (lambda: snapshots.offsets(HERE), lambda: snapshots.load(HERE, 5)):
        told = complaint(ask)
        assert isinstance(told, SourceError), told
        assert told.retriable, told
        assert str(told).startswith("cannot read topic snapshots at Kafka"), told
    told = complaint(lambda: snapshots.save(HERE, 6, state(6)))
    assert isinstance(told, StateError), told
    assert str(told).startswith("cannot write to topic snapshots at Kafka"), told
    # Else every partition's snapshot would hold up the loop for as long.
    told = complaint(lambda: snapshots.save(HERE, 6, state(6)))
    assert "did not answer; not asked again for" in str(told), told


def when_it_is_back(snapshots: TopicSnapshots) -> None:
    """What was saved before is there, and saving goes on."""
    deadline = time.monotonic() + 60
    while found_after(snapshots) != [7, 5]:
        assert time.monotonic() < deadline, "it does not go on"
        with suppress(StateError):
            snapshots.save(HERE, 7, state(7))
        time.sleep(0.2)
    for offset in (7, 5):
        assert np.array_equal(snapshots.load(HERE, offset)["noise"], state(offset)["noise"])


def found_after(snapshots: TopicSnapshots) -> list[int]:
    try:
        return list(snapshots.offsets(HERE))
    except SourceError:
        return []


def main() -> None:
    """The whole story, with a broker of its own."""
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder))
        broker.start()
        try:
            topic = CompactedTopic(Kafka(bootstrap=[broker.address]), "snapshots", timeout=1.0)
            snapshots = TopicSnapshots(topic, "monitor")
            snapshots.save(HERE, 5, state(5))
            assert broker.pid
            os.kill(broker.pid, signal.SIGSTOP)
            while_it_hangs(snapshots)
            broker.kill()
            broker.start()
            when_it_is_back(snapshots)
            snapshots.close()
        finally:
            broker.kill()


if __name__ == "__main__":
    main()
