"""Which column of a recording is the time, and what it says in seconds since the epoch."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitor.errors import ConfigError

NAMES = ("time", "timestamp", "datetime", "date", "ts", "t")
EARLIEST = 1e8
MOST_TOLD = 20
_PER_SECOND = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (np.inf, 1e9))


def time_of(path: Path, frame: pd.DataFrame, named: str | None) -> NDArray[np.float64]:
    """`(n,)` seconds: from the column called `named`, else from the first that can be a time.

    Dates are ISO 8601, UTC where they name no zone. Numbers are s, ms, us or ns since the epoch,
    by their magnitude; unless the column is called time or the like, only from 1973 on.
    """
    if named is not None and named not in frame.columns:
        raise ConfigError(
            f"{path}: has no time column {named!r}; its columns besides the channels: "
            f"{told_columns(frame)}"
        )
    for name in frame.columns if named is None else [named]:
        found = _seconds(frame[name], expected=named is not None or str(name).lower() in NAMES)
        if found is not None:
            return _complete(path, str(name), found)
    columns = told_columns(frame) or "none"
    raise ConfigError(
        f"{path}: no column holds ISO 8601 dates or numbers of s, ms, us or ns since the epoch "
        f"(columns besides the channels: {columns}); name one by time_column"
    )


def told_columns(frame: pd.DataFrame) -> str:
    """The names of the first columns, for a message."""
    names = [str(name)[:40] for name in frame.columns[:MOST_TOLD]]
    more = len(frame.columns) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _complete(path: Path, name: str, time: NDArray[np.float64]) -> NDArray[np.float64]:
    bad = np.flatnonzero(~np.isfinite(time))
    if len(bad):
        raise ConfigError(f"{path}: column {name!r}, data row {bad[0] + 1}: is not a time")
    return time


def _seconds(column: pd.Series[str], *, expected: bool) -> NDArray[np.float64] | None:
    """The column as seconds, NaN where a cell is none; None where it is no time at all."""
    if pd.api.types.is_bool_dtype(column) or column.isna().all():
        return None
    if pd.api.types.is_numeric_dtype(column):
        with np.errstate(invalid="ignore"):  # a NaN may be of the kind that signals
            numbers = column.to_numpy(np.float64, na_value=np.nan)
        return _epoch(numbers, expected=expected)
    if not pd.api.types.is_datetime64_any_dtype(column) and not _may_be_dates(column):
        return None
    dates = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    if dates.isna().mean() > 0.5:
        return None
    try:  # not in nanoseconds, which end in the years 1677 and 2262
        microseconds = dates.dt.as_unit("us").to_numpy("datetime64[us]").astype(np.int64)
    except pd.errors.OutOfBoundsDatetime:
        return None
    return np.where(dates.isna(), np.nan, microseconds / 1e6)


def _may_be_dates(column: pd.Series[str]) -> bool:
    """Whether all cells are text, or dates as Parquet has them; pandas stumbles over others."""
    return all(isinstance(cell, str | date) for cell in column[column.notna()])


def _epoch(values: NDArray[np.float64], *, expected: bool) -> NDArray[np.float64] | None:
    middle = abs(float(np.nanmedian(values)))
    if not math.isfinite(middle) or (not expected and middle < EARLIEST):
        return None
    return values / next(unit for limit, unit in _PER_SECOND if middle < limit)
