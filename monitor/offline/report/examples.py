"""Which windows a report shows, and the windows themselves: cut again, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.connect.recording.player import chunks
from monitor.connect.recording.reading import Recording
from monitor.features.front import front
from monitor.offline.dataset import by_sensor
from monitor.offline.evaluate import Piece
from monitor.settings import StreamConfig
from monitor.stream.window import Windower
from monitor.types import Array

CHUNKS = 64  # of a second: what is cut at once
MOST_BYTES = 2**26
_MOST_POINTS = 600

Place = tuple[str, int]  # sensor, and the window's last sample on the grid of the rate


class Rows(NamedTuple):
    """What one detector said of the windows of some sensors: `(N,)` each."""

    sensor: NDArray[np.str_]
    ends: NDArray[np.float64]
    truth: NDArray[np.int8]
    raw: Array
    value: Array

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Some of them, in that order."""
        return Rows._make(column[rows] for column in self)

    def places(self, rate: float) -> list[Place]:
        """Where each window ends."""
        ends = np.rint(self.ends * rate).astype(np.int64).tolist()
        return list(zip(self.sensor.tolist(), ends, strict=True))


def rows_of(pieces: Sequence[Piece], detector: str, sensors: set[str]) -> Rows:
    """Every window of these sensors that the detector has a score for."""
    parts = [
        Rows(
            np.full(len(piece.ends), piece.sensor),
            piece.ends,
            piece.truth,
            piece.raw[:, piece.detectors.index(detector)],
            piece.value[:, piece.detectors.index(detector)],
        )
        for piece in pieces
        if detector in piece.detectors and piece.sensor in sensors
    ]
    if not parts:
        none = np.empty(0, np.float32)
        return Rows(np.empty(0, np.str_), np.empty(0), np.empty(0, np.int8), none, none)
    whole = Rows._make(np.concatenate(column) for column in zip(*parts, strict=True))
    return whole.take(np.flatnonzero(np.isfinite(whole.raw)))


def chosen(rows: Rows, count: int, apart: float) -> Iterator[tuple[str, Rows]]:
    """A few windows of each kind there is, with what the kind is called; those of one sensor are
    at least `apart` seconds from each other.
    """
    normal, anomalous = (np.flatnonzero(rows.truth == truth) for truth in (0, 1))
    loud = np.argsort(-rows.raw, kind="stable")
    usual = np.median(rows.raw) if len(loud) else 0
    middle = np.argsort(np.abs(rows.raw - usual), kind="stable")
    if not len(anomalous):
        kinds = {"highest scores": loud, "usual scores": middle}
    else:
        kinds = {
            "anomalous, highest scores": loud[np.isin(loud, anomalous)],
            "anomalous, lowest scores": loud[np.isin(loud, anomalous)][::-1],
            "normal, highest scores": loud[np.isin(loud, normal)],
            "normal, usual scores": middle[np.isin(middle, normal)],
        }
    for kind, order in kinds.items():
        found = _spread(rows, order, count, apart)
        if len(found):
            yield kind, rows.take(found)


def evenly(rows: Rows, size: int) -> Rows:
    """As many as make a figure of points, and fit into MOST_BYTES of `size` bytes each: anomalous
    ones up to a half, all evenly spaced.
    """
    most = max(min(_MOST_POINTS, MOST_BYTES // max(size, 1)), 2)
    anomalous = np.flatnonzero(rows.truth == 1)
    others = np.flatnonzero(rows.truth != 1)
    first = _every(anomalous, max(most // 2, most - len(others)))
    return rows.take(np.sort(np.concatenate([first, _every(others, most - len(first))])))


def cut(
    recordings: Sequence[Recording], stream: StreamConfig, wanted: set[Place]
) -> Mapping[Place, Array]:
    """The windows at these places as the models are given them, `(C, T)`; one that is not found
    is left out. Only CHUNKS seconds of windows are held besides them.
    """
    found: dict[Place, Array] = {}
    made = front(stream.window)
    for sensor, own in by_sensor(recordings).items():
        places = {place for name, place in wanted if name == sensor}
        for windows, ends in _windows(own, stream) if places else ():
            for row in np.flatnonzero(np.isin(ends, list(places))).tolist():
                found[sensor, int(ends[row])] = np.array(made(windows[row : row + 1])[0])
    return found


def _windows(
    recordings: Sequence[Recording], stream: StreamConfig
) -> Iterator[tuple[Array, NDArray[np.int64]]]:
    """All windows of a sensor as the pipeline cuts them, and where they end."""
    window = stream.window
    windower = Windower(window, stream.event_time)
    each = chunks(recordings, window)
    while runs := list(islice(each, CHUNKS)):
        made = windower.push([0] * len(runs), runs)
        ends = made.starts * window.rate + window.samples
        yield made.data, np.rint(ends).astype(np.int64)


def _spread(rows: Rows, order: NDArray[np.int64], count: int, apart: float) -> NDArray[np.int64]:
    """The first in an order that are not next to one taken before."""
    found: list[int] = []
    for row in order.tolist():
        taken = np.array(found, np.int64)
        near = np.abs(rows.ends[taken] - rows.ends[row]) < apart
        if not (near & (rows.sensor[taken] == rows.sensor[row])).any():
            found.append(row)
        if len(found) == count:
            break
    return np.array(found, np.int64)


def _every(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
