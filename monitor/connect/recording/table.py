"""One file -> checked columns: time, channels, labels, sensors. Every refusal is one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monitor.connect.recording.times import time_of, told_columns
from monitor.errors import ConfigError, DecodeError
from monitor.stream.codec.naming import checked
from monitor.types import Array
from monitor.windowing import Window

LABELS = ("anomaly", "label")
SENSOR = "sensor"
DELIMITERS = (",", ";", "\t")
# What numpy and pandas raise, besides ValueError, for files that are damaged.
_DAMAGED = (
    EOFError,
    MemoryError,
    OverflowError,
    RecursionError,
    SyntaxError,
    TokenError,
    TypeError,
)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The columns of a file: `(n,)`, `(C, n)`, `(n,)` and the sensor's name in each row."""

    time: NDArray[np.float64]
    data: Array
    channels: tuple[str, ...]
    labels: NDArray[np.int8] | None = None
    sensors: tuple[str, ...] | None = None

    def by_sensor(self) -> Iterator[tuple[str | None, Table]]:
        """The rows of each sensor, in the order in which they first occur."""
        if self.sensors is None:
            yield None, self
            return
        names = np.array(self.sensors, dtype=object)
        for name in dict.fromkeys(self.sensors):
            rows = np.flatnonzero(names == name)
            labels = None if self.labels is None else self.labels[rows]
            data = np.ascontiguousarray(self.data[:, rows])
            yield name, Table(self.time[rows], data, self.channels, labels)


def read_table(path: Path, window: Window, time_column: str | None = None) -> Table:
    """Read one file by its ending. Raises ConfigError for whatever cannot be used."""
    if path.suffix.lower() == ".npy":
        with _told(path):
            return _array(path, window)
    return _table(path, read_frame(path), window, time_column)


def read_frame(path: Path) -> pd.DataFrame:
    """A CSV or Parquet file with all its columns. Raises ConfigError as `read_table`."""
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": _csv, ".parquet": _parquet}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ConfigError(
            f"{path}: the ending {path.suffix!r} is not known; valid are .csv, .npy, .parquet"
        )
    with _told(path):
        frame = readers[suffix](path)
    check_distinct(path, frame)
    if not len(frame):
        raise ConfigError(f"{path}: holds no rows")
    return frame


def check_distinct(path: Path, frame: pd.DataFrame) -> None:
    """Raises ConfigError where two columns have one name."""
    if twice := frame.columns[frame.columns.duplicated()].tolist():
        raise ConfigError(f"{path}: two of its columns are called {twice[0]!r}")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, pa.ArrowException, *_DAMAGED) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{path}: cannot be read: {why[:300]}") from error


def _csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig") as file:
        head = file.readline()
    delimiter = max(DELIMITERS, key=head.count)
    frame = pd.read_csv(
        path, sep=delimiter, encoding="utf-8-sig", skipinitialspace=True, low_memory=False
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than its header")
    return frame.rename(columns=lambda name: str(name).strip())


def _parquet(path: Path) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(path).to_pandas(ignore_metadata=True)
    return frame


def _array(path: Path, window: Window) -> Table:
    """`(C, n)` or `(n, C)`, or `(n,)` of one channel; time starts at 0 and runs at the rate."""
    # Not read but mapped: what a damaged head claims takes no memory. Nor is an archive opened.
    data: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    count = len(window.channels)
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "fiu" or not data.size:
        raise ConfigError(f"{path}: holds no array of numbers")
    if data.ndim == 1:
        data = data[None, :]
    if data.ndim != 2 or count not in data.shape:
        raise ConfigError(
            f"{path}: has shape {data.shape}; the {count} channels of the stream need "
            f"({count}, n) or (n, {count})"
        )
    data = data if data.shape[0] == count else data.T
    time = np.arange(data.shape[1]) / window.rate
    return Table(time, _float32(data), tuple(window.channels))


def _table(path: Path, frame: pd.DataFrame, window: Window, time_column: str | None) -> Table:
    channels = tuple(window.channels)
    offered = [str(name) for name in frame.columns if str(name).lower() not in LABELS]
    if missing := [name for name in channels if name not in offered]:
        raise ConfigError(
            f"{path}: has no channel {', '.join(map(repr, missing[:20]))}; its columns: "
            f"{told_columns(frame)}"
        )
    time = time_of(path, frame.drop(columns=list(channels)), time_column)
    data = np.stack([_float32(_numbers(path, frame[name])) for name in channels])
    return Table(time, data, channels, _labels(path, frame), _sensors(path, frame))


def _numbers(path: Path, column: pd.Series[float]) -> NDArray[np.float64]:
    """The cells as numbers; empty ones are NaN."""
    found = pd.to_numeric(column, errors="coerce")
    bad = np.flatnonzero(found.isna() & column.notna())
    if len(bad):
        raise ConfigError(
            f"{path}: column {column.name!r}, data row {bad[0] + 1}: "
            f"{str(column.iloc[bad[0]])[:60]!r} is not a number"
        )
    with np.errstate(invalid="ignore"):  # a NaN may be of the kind that signals
        return found.to_numpy(np.float64, na_value=np.nan)


def _float32(values: NDArray[Any]) -> Array:
    """What is too large for it becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(values, np.float32, order="C")


def _labels(path: Path, frame: pd.DataFrame) -> NDArray[np.int8] | None:
    """1 where positive, 0 where zero, -1 where negative or empty."""
    for name in frame.columns:
        if str(name).lower() in LABELS:
            values = _numbers(path, frame[name])
            return np.where(values > 0, 1, np.where(values == 0, 0, -1)).astype(np.int8)
    return None


def _sensors(path: Path, frame: pd.DataFrame) -> tuple[str, ...] | None:
    if SENSOR not in frame.columns:
        return None
    column = frame[SENSOR]
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        raise ConfigError(f"{path}: column {SENSOR!r}, data row {row + 1}: names no sensor")
    names = tuple(column.astype(str))
    for row, name in enumerate(names):
        try:
            checked(name)
        except DecodeError as error:
            raise ConfigError(f"{path}: column {SENSOR!r}, data row {row + 1}: {error}") from error
    return names
