"""Results into the log and into files, and the delivery that is at least once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from monitor.connect.messages import (
    alert_message,
    iso,
    notice_message,
    rejected_message,
    score_message,
)
from monitor.connections import JsonLines
from monitor.errors import SinkError
from monitor.protocols import Sink, Source
from monitor.types import Alert, Clock, Partition, Rejected, Result


class AtLeastOnce:
    """Every result reaches every sink before its offset is committed.

    After a crash between the two, results come again with the same ids. `commit` raises SinkError
    or SourceError; then nothing is committed and it may be called again.
    """

    def __init__(self, sinks: Sequence[Sink], source: Source) -> None:
        self._sinks = tuple(sinks)
        self._source = source

    def emit(self, result: Result) -> None:
        """Give the result to all sinks; they need not be done with it yet."""
        for sink in self._sinks:
            sink.emit(result)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """First all sinks are done, then the offsets are committed."""
        for sink in self._sinks:
            sink.flush()
        if offsets:
            self._source.commit(offsets)

    def abort(self) -> bool:
        """Nothing to take back: what is out already comes again, with the same ids."""
        return False

    def close(self) -> None:
        """Close every sink, also when one of them fails."""
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)


class LogSink:
    """Alerts and notices as one log line each; rejected records counted by reason.

    The first record of a stream and reason is told at once, further ones as a sum, at most once in
    `quiet` seconds and when the sink is closed.
    """

    def __init__(self, *, quiet: float = 60.0, clock: Clock = time.monotonic) -> None:
        self._log = structlog.get_logger()
        self._quiet = quiet
        self._clock = clock
        self._due: dict[tuple[str, str], float] = {}
        self._unsaid: dict[tuple[str, str], tuple[int, Rejected]] = {}

    def emit(self, result: Result) -> None:
        """Write the lines."""
        for alert in result.alerts:
            say = self._log.warning if alert.phase == "firing" else self._log.info
            say("alert", **_alert_fields(alert))
        for notice in result.notices:
            self._log.warning(
                notice.kind, stream=notice.stream, sensor=notice.sensor, detail=notice.detail
            )
        for rejected in result.rejected:
            self._count(rejected)

    def flush(self) -> None:
        """Tell the sums that are due."""
        now = self._clock()
        for kind in [kind for kind in self._unsaid if now >= self._due[kind]]:
            self._tell(kind)

    def close(self) -> None:
        """Tell the sums that are left."""
        for kind in list(self._unsaid):
            self._tell(kind)

    def _count(self, rejected: Rejected) -> None:
        kind = rejected.stream, rejected.reason
        count, _ = self._unsaid.get(kind, (0, rejected))
        self._unsaid[kind] = count + 1, rejected
        if self._clock() >= self._due.get(kind, float("-inf")):
            self._tell(kind)

    def _tell(self, kind: tuple[str, str]) -> None:
        count, last = self._unsaid.pop(kind)
        self._due[kind] = self._clock() + self._quiet
        self._log.warning(
            "rejected",
            stream=last.stream,
            reason=last.reason,
            count=count,
            topic=last.record.partition.topic,
            partition=last.record.partition.number,
            last_offset=last.record.offset,
            detail=last.detail,
        )


def _alert_fields(alert: Alert) -> dict[str, Any]:
    """What a person wants to read in one line, with the three most telling channels."""
    channels = sorted(alert.channels.items(), key=lambda item: -item[1])
    return {
        "phase": alert.phase,
        "severity": alert.severity,
        "stream": alert.stream,
        "sensor": alert.sensor,
        "labels": dict(alert.labels),
        "reason": alert.reason,
        "opened": iso(alert.opened),
        "at": iso(alert.time),
        "scores": {name: round(float(value), 3) for name, value in alert.scores.items()},
        "channels": {name: round(float(share), 3) for name, share in channels[:3]},
        "id": alert.id,
    }


class JsonLinesSink:
    """Everything as one JSON object a line, appended to a file: see docs/messages-out.md.

    `flush` returns once all lines are on the disk. Where the disk is full or the file cannot be
    written it raises SinkError, keeps the lines, and tries them again with the next `flush`. A line
    that a crash cut short is ended first, so no other is lost to it.
    """

    _BUFFER = 1 << 20

    def __init__(self, settings: JsonLines) -> None:
        self._path = settings.path
        self._scores = settings.scores
        self._pending = bytearray()
        self._file: int | None = None
        with self._translated():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o644)
            if _is_cut_short(self._path):
                self._pending += b"\n"

    def emit(self, result: Result) -> None:
        """Add the lines; many are written at once, few by the next `flush`."""
        for line in self._lines(result):
            self._pending += line
            self._pending += b"\n"
        if len(self._pending) > self._BUFFER:
            with suppress(SinkError):  # the lines are kept, and flush tells
                self._write()

    def _lines(self, result: Result) -> Iterator[bytes]:
        yield from map(alert_message, result.alerts)
        if self._scores:
            yield from map(score_message, result.scores)
        yield from map(rejected_message, result.rejected)
        yield from map(notice_message, result.notices)

    def flush(self) -> None:
        """See `monitor.protocols.Sink`."""
        self._write(then=os.fsync)

    def close(self) -> None:
        """Flush and close; more than once does no harm."""
        if self._file is None:
            return
        try:
            self.flush()
        finally:
            os.close(self._file)
            self._file = None

    def _write(self, then: Callable[[int], None] = lambda file: None) -> None:
        if self._file is None:
            raise SinkError(f"{self._path} is closed")
        with self._translated():
            while self._pending:
                written = os.write(self._file, self._pending)
                del self._pending[:written]
            then(self._file)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror or str(error)
            raise SinkError(f"cannot write {self._path}: {why}", retriable=True) from error


def _is_cut_short(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
