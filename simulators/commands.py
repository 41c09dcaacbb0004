"""What the commands do; `__main__.py` reads the arguments and imports this when it needs it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from monitor.connect.recording.player import chunks
from monitor.connect.recording.reading import SUFFIXES
from monitor.errors import ConfigError
from monitor.types import Samples
from simulators import files
from simulators.cameras import Cameras
from simulators.faults import Fault
from simulators.fleet import Fleet, Plan
from simulators.parts import frame_messages, record_parts
from simulators.play import (
    Disturbance,
    Message,
    Pace,
    Summary,
    Target,
    encoder,
    messages,
    play,
    with_labels,
)
from simulators.record import record


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where and how to send: what the commands that play have in common."""

    topic: str
    connect: Callable[[], Target]
    format: str
    speed: float
    labels_topic: str | None
    disturbance: Disturbance
    as_json: bool

    def send(
        self,
        samples: Iterable[Samples],
        faults: Sequence[Fault],
        rate: float,
        span: tuple[float, float],
    ) -> Summary:
        """Play to the end, with a progress bar over the `span`; the labels go beside."""
        return self.deliver(messages(samples, self.topic, rate, encoder(self.format)), faults, span)

    def deliver(
        self, made: Iterable[Message], faults: Sequence[Fault], span: tuple[float, float]
    ) -> Summary:
        """The same for messages that are made already."""
        pace, sent = Pace(self.speed), self.disturbance.apply(made)
        if self.labels_topic != "":
            sent = with_labels(sent, faults, self.labels_topic or f"{self.topic}.labels")
        target = self.connect()
        with _progress(f"playing into {self.topic}", *span) as told:
            return play(sent, target, pace, told)

    def tell(self, summary: Summary, **more: Any) -> None:
        """The end of a command, for a person or as JSON."""
        span = summary.last - summary.first
        facts = {
            "topic": self.topic,
            "messages": summary.messages,
            "bytes": summary.bytes,
            "seconds": 0.0 if math.isnan(span) else span,
            **more,
        }
        _tell(facts, as_json=self.as_json)


def play_files(
    paths: Sequence[Path],
    outlet: Outlet,
    channels: Sequence[str],
    rate: float | None,
    time_column: str | None,
) -> None:
    """`play`: recordings into a topic."""
    stream = files.stream_of(_first_in(paths), outlet.topic, channels, rate, time_column)
    recordings, faults = files.read(paths, stream, time_column)
    first, last = min(r.time[0] for r in recordings), max(r.time[-1] for r in recordings)
    parts = chunks(recordings, stream.window)
    summary = outlet.send(parts, faults, stream.window.rate, (float(first), float(last)))
    outlet.tell(summary, sensors=len(recordings), faults=len(faults))


def play_machines(fleet: Fleet, seconds: float, outlet: Outlet) -> None:
    """`machines`: a simulated fleet into a topic."""
    span = (fleet.start, fleet.start + seconds)
    summary = outlet.send(fleet.samples(*span), fleet.faults, fleet.rate, span)
    outlet.tell(summary, sensors=fleet.count, faults=len(fleet.faults))


def record_machines(
    fleet: Fleet, seconds: float, folder: Path, suffix: str, *, as_json: bool
) -> None:
    """`record`: a simulated fleet into files."""
    paths = record(fleet, fleet.start, fleet.start + seconds, folder, suffix)
    _tell(
        {"files": len(paths), "folder": str(folder), "faults": len(fleet.faults)}, as_json=as_json
    )


def play_cameras(cameras: Cameras, seconds: float, outlet: Outlet) -> None:
    """`cameras`: what simulated cameras see into a topic, as JPEG files."""
    span = (cameras.start, cameras.start + seconds)
    sent = frame_messages(cameras.frames(*span), outlet.topic)
    summary = outlet.deliver(sent, cameras.faults, span)
    outlet.tell(summary, sensors=cameras.count, faults=len(cameras.faults))


def inspect_parts(cameras: Cameras, folder: Path, good: int, faulty: int, *, as_json: bool) -> None:
    """`inspect`: good and faulty parts as a data set for inspection."""
    count = record_parts(cameras, folder, good, faulty)
    _tell({"pictures": count, "folder": str(folder)}, as_json=as_json)


def cameras_of(cameras: Cameras, seconds: float, per_camera: int, severity: float) -> Cameras:
    """The cameras with so many faults of each planned within their first `seconds`."""
    _check_seconds(seconds)
    if not per_camera:
        return cameras
    plan = Plan(per_machine=per_camera, severity=severity)
    return cameras.with_faults(cameras.start, cameras.start + seconds, plan)


def fleet_of(fleet: Fleet, seconds: float, per_machine: int, severity: float) -> Fleet:
    """The fleet with so many faults on each machine planned within its first `seconds`."""
    _check_seconds(seconds)
    if not per_machine:
        return fleet
    plan = Plan(per_machine=per_machine, severity=severity)
    return fleet.with_faults(fleet.start, fleet.start + seconds, plan)


def _check_seconds(seconds: float) -> None:
    if seconds <= 0:
        raise ConfigError(f"seconds {seconds:g}: more than 0 is valid")


def _first_in(paths: Sequence[Path]) -> Path:
    """The first file; in a folder the first that can be a recording."""
    path = paths[0]
    if not path.is_dir():
        return path
    inside = (file for file in sorted(path.rglob("*")) if file.suffix.lower() in SUFFIXES)
    found = next(inside, None)
    if found is None:
        raise ConfigError(f"{path}: holds no recording; valid endings: {', '.join(SUFFIXES)}")
    return found


def _tell(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        typer.echo("  ".join(f"{name} {_shown(value)}" for name, value in facts.items()))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


@contextmanager
def _progress(title: str, begin: float, end: float) -> Iterator[Callable[[float], None]]:
    """A bar on the error stream that counts seconds of the data."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console, hidden = Console(stderr=True), not sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(title, total=end - begin)
        yield lambda reached: bar.update(task, completed=reached - begin)
