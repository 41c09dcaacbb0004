"""Simulated machines as recordings: a file for each, and all faults in labels.jsonl."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from monitor.errors import ConfigError
from monitor.stream.codec import encode_audio
from simulators.faults import Fault
from simulators.fleet import Fleet
from simulators.play import label

LABELS_FILE = "labels.jsonl"
SOUNDS = (".wav", ".flac")


def record(fleet: Fleet, begin: float, end: float, folder: Path, suffix: str) -> list[Path]:
    """Write `<folder>/<sensor><suffix>` with the columns time (s), the channels, anomaly (0 or 1)
    and fault, and return the paths.

    Rows in which nothing is measured are left out. `suffix` is `.csv` or `.parquet`; what is heard
    may be `.wav` or `.flac` too, with the time at which it begins in the file's name.
    """
    if suffix not in (".csv", ".parquet", *SOUNDS):
        known = ("csv", "parquet", *(sound.removeprefix(".") for sound in SOUNDS))
        raise ConfigError(f"format {suffix.removeprefix('.')!r}: valid are {', '.join(known)}")
    write = _heard if suffix in SOUNDS else _one
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [write(fleet, sensor, (begin, end), folder, suffix) for sensor in fleet.sensors]
        lines = [label(fault) for fault in fleet.faults if fault.touches(begin, end)]
        (folder / LABELS_FILE).write_bytes(b"".join(line + b"\n" for line in lines))
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from error
    return paths


def _one(fleet: Fleet, sensor: str, span: tuple[float, float], folder: Path, suffix: str) -> Path:
    samples = fleet.chunk(sensor, *span)
    time = samples.start + np.arange(samples.data.shape[1]) / fleet.rate
    frame = pd.DataFrame(dict(zip(fleet.channels, samples.data, strict=True)))
    frame.insert(0, "time", time)
    frame["anomaly"] = fleet.labels(sensor, *span)
    frame["fault"] = _kinds([f for f in fleet.faults if f.sensor == sensor], frame["time"])
    frame = frame.dropna(subset=list(fleet.channels), how="all")
    path = folder / f"{sensor}{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


def _heard(fleet: Fleet, sensor: str, span: tuple[float, float], folder: Path, suffix: str) -> Path:
    if len(fleet.channels) != 1 or span[0] != int(span[0]):
        raise ConfigError(
            f"format {suffix.removeprefix('.')!r}: {sensor} from {span[0]:g} s on with channels "
            f"{', '.join(fleet.channels)}; valid are machines that are heard, from a full second on"
        )
    began = datetime.fromtimestamp(span[0], UTC).strftime("%Y%m%d_%H%M%S")
    path = folder / f"{sensor}_{began}{suffix}"
    data = fleet.chunk(sensor, *span).data
    path.write_bytes(encode_audio(data, fleet.rate, suffix.removeprefix(".").upper()))
    return path


def _kinds(faults: list[Fault], time: pd.Series[float]) -> pd.Series[str]:
    kinds = pd.Series("", index=time.index, dtype=str)
    for fault in faults:
        kinds[(time >= fault.start) & (time < fault.end)] = fault.kind
    return kinds
