"""What operators say of recordings, faults and false alarms, put on the windows of the sensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.connect.recording.reading import Recording
from monitor.errors import ConfigError
from monitor.offline.dataset import Recorded, SensorWindows
from monitor.offline.labels import Event, Truth, quoted, read_labels, span
from monitor.settings import Config
from monitor.windowing import Window


def read_taught(path: Path, config: Config, recorded: Recorded) -> list[Event]:
    """The labels in a file, as `read_labels` reads it, of which each must mean something here.

    Raises ConfigError for labels of a stream or sensor that was not recorded, and of a time
    outside of its recordings: a label that teaches nothing is a mistake.
    """
    events = read_labels(path)
    for row, event in enumerate(events, start=1):
        place = f"{path}: data row {row}"
        if event.stream and event.stream not in recorded:
            raise ConfigError(
                f"{place}: stream is {event.stream!r}; recorded are {quoted(recorded)}"
            )
        spans = list(_spans(event, config, recorded))
        if not spans:
            sensors = {one.sensor for each in _meant(event, recorded).values() for one in each}
            raise ConfigError(
                f"{place}: sensor is {event.sensor!r}; recorded are {quoted(sensors)}"
            )
        if not any(event.start < last and event.end >= first for first, last in spans):
            raise ConfigError(
                f"{place}: {_time(event.start)} to {_time(event.end)} lies outside of the "
                f"recordings of {event.sensor!r}, which last from {_time(min(spans)[0])} to "
                f"{_time(max(last for _, last in spans))}"
            )
    return events


def taught(
    windows: Mapping[str, SensorWindows], events: Sequence[Event], stream: str, window: Window
) -> dict[str, SensorWindows]:
    """The windows of the sensors of a stream, with labels as the events have them: 1 where any
    sample lies in a fault, 0 where all lie in one normal stretch, else as the recordings say.
    """
    told: dict[str, list[Event]] = {sensor: [] for sensor in windows}
    for event in events:
        if event.stream in ("", stream) and event.sensor in told:
            told[event.sensor].append(event)
    return {
        sensor: found._replace(labels=_labels(found, told[sensor], window))
        for sensor, found in windows.items()
    }


def _labels(found: SensorWindows, events: Iterable[Event], window: Window) -> NDArray[np.int8]:
    starts = found.ends - window.samples / window.rate
    first, labels = np.rint(starts * window.rate), found.labels.copy()
    faults = []
    for event in events:
        if event.fault:
            faults.append(event)
            continue
        begin, stop = round(event.start * window.rate), round(event.end * window.rate)
        labels[(first >= begin) & (first + window.samples <= stop)] = 0
    labels[Truth(tuple(faults)).of_windows(starts, window) == 1] = 1
    return labels


def _meant(event: Event, recorded: Recorded) -> Mapping[str, Sequence[Recording]]:
    return {event.stream: recorded[event.stream]} if event.stream else recorded


def _spans(event: Event, config: Config, recorded: Recorded) -> Iterator[tuple[float, float]]:
    for stream, recordings in _meant(event, recorded).items():
        rate = config.streams[stream].window.rate
        yield from (span(one, rate) for one in recordings if one.sensor == event.sensor)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
