"""What a recording suggests for its stream: channels, rate, and how long a window should be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import detrend, find_peaks, welch

from monitor.connect.recording.table import LABELS, SENSOR, read_frame
from monitor.connect.recording.times import NAMES, time_of, told_columns
from monitor.errors import ConfigError

NOT_CHANNELS = {*LABELS, SENSOR, *NAMES, "changepoint", "fault", "is_anomaly", "class", "target"}
# What keeps the rate of false alarms near the nominal one under drift, spikes and lasting faults
# alike (docs/thresholds.md); the level itself is the stream's own.
THRESHOLD: Mapping[str, Any] = {
    "tail": "pareto",
    "rate_step": 0.1,
    "outliers": "left_out",
    "cap": 4.0,
}
SHORTEST, LONGEST, AT_LEAST_SECONDS = 24, 512, 1.0
PERIODS = 4
_MOST_ROWS = 200_000
_SEGMENT = 1024
_STANDS_OUT = 30.0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`rate` in Hz; `samples` of a window and `hop` samples from one to the next; `period` is that
    of the oscillation that most channels show, in samples, or None where none stands out.
    """

    channels: tuple[str, ...]
    rate: float
    samples: int
    hop: int
    period: float | None


def suggest(
    paths: Sequence[Path], channels: Sequence[str] = (), time_column: str | None = None
) -> Suggestion:
    """Look at recordings with columns (CSV, Parquet) of one kind of machine.

    Raises ConfigError where they have no channel in common or their rates differ.
    """
    frames = {path: read_frame(path)[:_MOST_ROWS] for path in paths}
    found = tuple(channels) or _channels(frames)
    series, rates = [], {}
    for path, frame in frames.items():
        _check_columns(path, frame, found)
        time = time_of(path, frame.drop(columns=list(found)), time_column)
        rates[path] = _rate(path, frame, time)
        series += [frame[name].to_numpy(np.float64, na_value=np.nan) for name in found]
    rate = _one_rate(rates)
    period = _period(series)
    samples = window_samples(rate, period)
    return Suggestion(found, rate, samples, hop_samples(rate, samples), period)


def window_samples(rate: float, period: float | None) -> int:
    """Four periods of the strongest oscillation, and at least a second, in whole eights of samples;
    never under SHORTEST, which says too little, nor over LONGEST, which is slow to show a change.
    """
    wanted = max(PERIODS * (period or 0.0), min(AT_LEAST_SECONDS * rate, LONGEST / 4), SHORTEST)
    return min(8 * math.ceil(wanted / 8), LONGEST)


def hop_samples(rate: float, samples: int) -> int:
    """Half a second, and at most a quarter of a window: how soon a change can be told."""
    return int(min(max(round(rate / 2), 1), samples // 4))


def _channels(frames: dict[Path, pd.DataFrame]) -> tuple[str, ...]:
    """The columns of numbers that all have, in the order of the first, and that are no labels."""
    first, *others = frames.values()
    found = [
        str(name)
        for name in first.columns
        if pd.api.types.is_numeric_dtype(first[name])
        and not pd.api.types.is_bool_dtype(first[name])
        and first[name].notna().any()
        and str(name).lower() not in NOT_CHANNELS
        and all(name in other.columns for other in others)
    ]
    if not found:
        path = next(iter(frames))
        raise ConfigError(
            f"{path}: has no column of numbers that is no time and no label, or not in common with "
            f"the other files; its columns: {told_columns(first)}; name some by --channels"
        )
    return tuple(found)


def _check_columns(path: Path, frame: pd.DataFrame, channels: Sequence[str]) -> None:
    if missing := [name for name in channels if name not in frame.columns]:
        raise ConfigError(
            f"{path}: has no channel {', '.join(map(repr, missing))}; its columns: "
            f"{told_columns(frame)}"
        )


def _rate(path: Path, frame: pd.DataFrame, time: NDArray[np.float64]) -> float:
    """Samples a second, by the usual step of one sensor; as a round number where it is near one."""
    if SENSOR in frame.columns:
        time = time[(frame[SENSOR] == frame[SENSOR].iloc[0]).to_numpy()]
    steps = np.diff(time)
    if not len(steps) or not np.median(steps) > 0:
        raise ConfigError(f"{path}: has too few rows, or a time that does not rise: no rate")
    step = float(np.median(steps))
    rounded = round(step) if step >= 1 else 1 / round(1 / step)
    return 1 / (rounded if abs(rounded / step - 1) < 0.01 else float(f"{step:.4g}"))


def _one_rate(rates: dict[Path, float]) -> float:
    slow, fast = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    if rates[fast] > 1.2 * rates[slow]:
        raise ConfigError(
            f"{fast} was sampled at {rates[fast]:g} Hz, {slow} at {rates[slow]:g} Hz; give the "
            "recordings of one rate"
        )
    return rates[slow]


def _period(series: Sequence[NDArray[np.float64]]) -> float | None:
    """The median of the channels' strongest periods, in samples; None where most have none.

    A peak counts where its power is thirty times that of the valleys beside it: noise that grows
    towards low frequencies has no such peak. Periods of which a window would hold fewer than
    PERIODS are drift, which windows are not made for.
    """
    periods = []
    for values in series:
        known = values[np.isfinite(values)]
        if len(known) < 4 * SHORTEST or np.ptp(known) == 0:
            periods.append(0.0)
            continue
        size = min(_SEGMENT, len(known) // 4)
        frequency, power = welch(detrend(known), nperseg=size)
        height = np.log(power + 1e-12 * power.max())
        peaks, shape = find_peaks(height, prominence=math.log(_STANDS_OUT))
        slowest = PERIODS / LONGEST
        highest = peaks[np.argsort(-shape["prominences"])]
        usable = highest[frequency[highest] > slowest]
        periods.append(1 / float(frequency[usable[0]]) if len(usable) else 0.0)
    return float(np.median(periods)) or None if periods else None
