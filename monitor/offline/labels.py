"""What really happened: labelled events, from the recordings themselves or from a file beside them.

Times are rounded to the grid of the stream, as the windower rounds those of samples.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitor.connect.recording.reading import Recording
from monitor.connect.recording.table import check_distinct
from monitor.connect.recording.times import time_of, told_columns
from monitor.errors import ConfigError
from monitor.windowing import Window

COLUMNS = ("sensor", "start", "end")
WORDS = ("fault", "normal")
_TEXTS = ("sensor", "kind", "label", "stream")


class Event(NamedTuple):
    """Something that went wrong with a sensor, from `start` up to `end`; `kind` may be empty.

    With `fault=False` somebody says that nothing did. An empty `stream` is any.
    """

    sensor: str
    start: float
    end: float
    kind: str = ""
    fault: bool = True
    stream: str = ""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of one recording: its events by start, and stretches that nobody judged."""

    events: tuple[Event, ...] = ()
    unknown: tuple[tuple[float, float], ...] = ()

    def of_windows(self, starts: NDArray[np.float64], window: Window) -> NDArray[np.int8]:
        """`(N,) -> (N,)`: 1 where any sample of the window lies in an event, else -1 where any
        lies in an unknown stretch, else 0.
        """
        first = np.rint(starts * window.rate)
        found = np.zeros(len(starts), np.int8)
        for start, end in self.unknown:
            found[_touched(first, start, end, window)] = -1
        for event in self.events:
            found[_touched(first, event.start, event.end, window)] = 1
        return found


def truth_in(recording: Recording, rate: float) -> Truth:
    """What the recording's own label column says; all unknown where there is none."""
    if recording.labels is None:
        return Truth(unknown=(span(recording, rate),))
    events = (Event(recording.sensor, a, b) for a, b in recording.anomalies(1 / rate))
    return Truth(tuple(events), tuple(_stretches(recording.labels == -1, recording.time, rate)))


def truth_from(events: Iterable[Event], recording: Recording, rate: float) -> Truth:
    """What a list of events says of a recording: all other time is normal.

    An event that begins before the recording, or ends after it, is cut to what was recorded.
    """
    first, last = span(recording, rate)
    mine = (e for e in events if e.sensor == recording.sensor and e.fault)
    own = (e for e in mine if e.start < last and (e.end > first or e.start >= first))
    cut = (e._replace(start=max(e.start, first), end=min(e.end, last)) for e in own)
    return Truth(tuple(sorted(cut, key=lambda event: event.start)))


def span(recording: Recording, rate: float) -> tuple[float, float]:
    """When a recording begins and ends; its last sample lasts one period."""
    return float(recording.time[0]), float(recording.time[-1]) + 1 / rate


def read_labels(path: Path) -> list[Event]:
    """Read a file of events, CSV, JSON (a list) or JSON lines: sensor, start, end, and where they
    are given kind, stream, and label (`fault`, also where it is left out, or `normal`).

    Times are ISO 8601, UTC where they name no zone, or numbers of s, ms, us or ns since the
    epoch. Raises ConfigError for whatever cannot be used.
    """
    try:
        frame = _READERS.get(path.suffix.lower(), _csv)(path)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    frame.columns = frame.columns.map(lambda name: str(name).strip())
    check_distinct(path, frame)
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise ConfigError(
            f"{path}: has no column {', '.join(map(repr, missing))}; labels need sensor, start, "
            f"end and may have kind, label, stream; its columns: {told_columns(frame)}"
        )
    return _events(path, frame) if len(frame) else []


def _csv(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(
        path, dtype=dict.fromkeys(_TEXTS, str), encoding="utf-8-sig", compression=None
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than its header")
    return frame


def _json_lines(path: Path) -> pd.DataFrame:
    return _rows([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])


def _json(path: Path) -> pd.DataFrame:
    return _rows(json.loads(path.read_text(encoding="utf-8")))


def _rows(rows: object) -> pd.DataFrame:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line, or an item of the list, is not an object")
    return pd.DataFrame(rows, columns=None if rows else COLUMNS)


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {".json": _json, ".jsonl": _json_lines}


def _events(path: Path, frame: pd.DataFrame) -> list[Event]:
    start, end = time_of(path, frame, "start"), time_of(path, frame, "end")
    unnamed, backwards = frame["sensor"].isna().to_numpy(), end < start
    for bad, what in ((unnamed, "names no sensor"), (backwards, "ends before it starts")):
        if bad.any():
            raise ConfigError(f"{path}: data row {int(np.argmax(bad)) + 1}: {what}")
    words = _texts(frame, "label", WORDS[0])
    if strange := [row for row, word in enumerate(words) if word not in WORDS]:
        raise ConfigError(
            f"{path}: data row {strange[0] + 1}: label is {words[strange[0]]!r}; valid are "
            f"{', '.join(WORDS)}"
        )
    sensors, kinds = frame["sensor"].astype(str), _texts(frame, "kind")
    times, fault = (start.tolist(), end.tolist()), (word == WORDS[0] for word in words)
    rows = zip(sensors, *times, kinds, fault, _texts(frame, "stream"), strict=True)
    return [Event(*row) for row in rows]


def _texts(frame: pd.DataFrame, column: str, usual: str = "") -> list[str]:
    if column not in frame:
        return [usual] * len(frame)
    return [str(text).strip() for text in frame[column].fillna(usual)]


def check_sensors(path: Path, events: Sequence[Event], sensors: Iterable[str]) -> None:
    """Raises ConfigError where events are told, but none of a sensor that was recorded."""
    recorded, told = set(sensors), {event.sensor for event in events}
    if told and not told & recorded:
        raise ConfigError(
            f"{path}: labels only {quoted(told)}, and recorded are {quoted(recorded)}; sensors are "
            "called as their files, or as the column 'sensor' says"
        )


def quoted(names: Iterable[str]) -> str:
    """At most five names for a message, and how many more there are."""
    found = sorted(set(names))
    shown = ", ".join(map(repr, found[:5]))
    return f"{shown} and {len(found) - 5} more" if len(found) > 5 else shown


def _touched(
    first: NDArray[np.float64], start: float, end: float, window: Window
) -> NDArray[np.bool_]:
    """Which windows, by their first sample's place, share a sample with a stretch of time; one
    without a duration has one sample.
    """
    begin = round(start * window.rate)
    stop = max(begin + 1, round(end * window.rate))
    touched: NDArray[np.bool_] = (first < stop) & (first + window.samples > begin)
    return touched


def _stretches(
    mask: NDArray[np.bool_], time: NDArray[np.float64], rate: float
) -> list[tuple[float, float]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    pairs = edges.reshape(-1, 2).tolist()
    return [(float(time[a]), float(time[b - 1]) + 1 / rate) for a, b in pairs]
