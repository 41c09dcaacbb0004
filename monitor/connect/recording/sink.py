"""Scores and alerts as files: CSV or Parquet, by the ending of the name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from monitor.errors import ConfigError, SinkError
from monitor.types import Alert, Result, Score

BUFFERED = 65_536
_TEXT, _NUMBER, _WHOLE = pa.string(), pa.float64(), pa.int64()
_SCORE_COLUMNS = {
    "id": _TEXT,
    "stream": _TEXT,
    "sensor": _TEXT,
    "detector": _TEXT,
    "time": _NUMBER,
    "raw": _NUMBER,
    "threshold": _NUMBER,
    "value": _NUMBER,
    "labels": _TEXT,
    "topic": _TEXT,
    "partition": _WHOLE,
    "offset": _WHOLE,
}
_ALERT_COLUMNS = {
    "id": _TEXT,
    "stream": _TEXT,
    "sensor": _TEXT,
    "rule": _TEXT,
    "phase": _TEXT,
    "severity": _TEXT,
    "reason": _TEXT,
    "opened": _NUMBER,
    "time": _NUMBER,
    "scores": _TEXT,
    "channels": _TEXT,
    "labels": _TEXT,
    "topic": _TEXT,
    "partition": _WHOLE,
    "offset": _WHOLE,
}


class RecordingSink:
    """Writes what the pipeline finds into two files, either of which may be left out.

    For replays, which start over after a crash: a CSV file grows with each `flush`, a Parquet
    file can be read once closed. Files that are there already are replaced.
    """

    def __init__(self, scores: Path | None, alerts: Path | None) -> None:
        self._scores = None if scores is None else _File(scores, _SCORE_COLUMNS)
        self._alerts = None if alerts is None else _File(alerts, _ALERT_COLUMNS)

    def emit(self, result: Result) -> None:
        """Keep the scores and alerts until there are enough to write, or `flush`."""
        if self._scores is not None:
            self._scores.add(_score_row(score) for score in result.scores)
        if self._alerts is not None:
            self._alerts.add(_alert_row(alert) for alert in result.alerts)

    def flush(self) -> None:
        """Put CSV rows on the disk. Raises SinkError where the disk refuses."""
        for file in (self._scores, self._alerts):
            if file is not None:
                file.flush()

    def close(self) -> None:
        """Write the rest and finish the files; may be called again."""
        for file in (self._scores, self._alerts):
            if file is not None:
                file.close()


class _File:
    """Rows of fixed columns, written in batches."""

    def __init__(self, path: Path, columns: dict[str, pa.DataType]) -> None:
        writers = {".csv": pacsv.CSVWriter, ".parquet": pq.ParquetWriter}
        if path.suffix.lower() not in writers:
            raise ConfigError(
                f"{path}: the ending {path.suffix!r} is not known; valid are .csv, .parquet"
            )
        self._path, self._schema = path, pa.schema(list(columns.items()))
        self._rows: list[tuple[Any, ...]] = []
        self._grows = path.suffix.lower() == ".csv"
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
        self._writer = writers[path.suffix.lower()](self._file, self._schema)

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._rows += rows
        if len(self._rows) >= BUFFERED:
            self._write()

    def flush(self) -> None:
        if self._grows:
            self._write()

    def close(self) -> None:
        if self._file.closed:
            return
        self._write()
        with self._disk():
            self._writer.close()
            self._file.close()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        with self._disk():
            if rows:
                columns = [list(column) for column in zip(*rows, strict=True)]
                self._writer.write_table(pa.table(columns, schema=self._schema))
            self._file.flush()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """A disk that refuses once ends the file: it could not be continued without a hole."""
        if self._file.closed:
            raise SinkError(f"{self._path}: is closed")
        try:
            yield
        except OSError as error:
            for end in (self._writer, self._file):
                with suppress(OSError, ValueError):
                    end.close()
            raise SinkError(f"{self._path}: cannot be written: {error.strerror}") from error


def _score_row(score: Score) -> tuple[Any, ...]:
    return (
        *(score.id, score.stream, score.sensor, score.detector, score.time),
        *(score.raw, score.threshold, score.value, _json(score.labels)),
        *(*score.partition, score.offset),
    )


def _alert_row(alert: Alert) -> tuple[Any, ...]:
    return (
        *(alert.id, alert.stream, alert.sensor, alert.rule, alert.phase, alert.severity),
        *(alert.reason, alert.opened, alert.time, _json(alert.scores), _json(alert.channels)),
        *(_json(alert.labels), *alert.partition, alert.offset),
    )


def _json(value: object) -> str:
    return json.dumps(value, default=_plain, sort_keys=True)


def _plain(value: Any) -> object:
    return dict(value) if isinstance(value, Mapping) else float(value)
