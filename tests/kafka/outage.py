"""What happens when the broker dies and comes back: scenarios with a broker of their own."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from deploy.broker.broker import Broker
from monitor.connect.kafka.delivery import KafkaSink
from monitor.connect.kafka.source import KafkaSource
from monitor.connections import Kafka, KafkaTopics
from monitor.errors import SinkError, SourceError
from monitor.testing import Member, example_result

TOPICS = KafkaTopics(alerts="alerts")


def recovery(broker: Broker) -> None:
    """A flush fails and is retriable, a commit too; once it is back, everything goes on."""
    settings = Kafka(bootstrap=[broker.address])
    sink = KafkaSink(settings, TOPICS, timeout=1.0)
    sink.emit(example_result("before"))
    sink.flush()
    reader = Member(KafkaSource(settings, ["alerts"])).start()
    read(reader, 1)
    broker.kill()
    sink.emit(example_result("meanwhile"))
    told = complaint(sink.flush)
    assert told.retriable, told
    assert "no answer within 1 s" in str(told), told
    assert broker.address in str(told), told
    assert list(reader.step(0.1)) == []
    broker.start()
    deadline = time.monotonic() + 60
    while not is_flushed(sink):
        assert time.monotonic() < deadline, "not delivered after the broker came back"
    read(reader, 2)
    reader.close()
    sink.close()


def closing(broker: Broker) -> None:
    """Closing fails in one line and leaves no thread behind."""
    before = set(threading.enumerate())
    settings = Kafka(bootstrap=[broker.address], session_timeout=6)
    sink = KafkaSink(settings, TOPICS, timeout=0.5)
    sink.emit(example_result("one"))
    deadline = time.monotonic() + 60
    while not is_flushed(sink):
        assert time.monotonic() < deadline, "not delivered to a topic that was just created"
    reader = Member(KafkaSource(settings, ["alerts"])).start()
    read(reader, 1)
    broker.kill()
    sink.emit(example_result("two"))
    assert "no answer" in str(complaint(sink.close)), "of what is not safe"
    sink.close()
    assert "cannot commit" in str(complaint(reader.close)), "of what is not committed"
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive(), thread


def complaint(act: Callable[[], object]) -> SinkError | SourceError:
    """What an act that must fail says."""
    try:
        act()
    except (SinkError, SourceError) as told:
        return told
    raise AssertionError("it did not fail")


def is_flushed(sink: KafkaSink) -> bool:
    try:
        sink.flush()
    except SinkError as told:
        if not told.retriable:
            raise
        return False
    return True


def read(reader: Member, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(reader.seen) < count:
        assert time.monotonic() < deadline, f"{len(reader.seen)} of {count} records came"
        reader.step()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        node = Broker(Path(directory))
        node.start()
        try:
            {"recovery": recovery, "closing": closing}[sys.argv[1]](node)
        finally:
            node.kill()
