"""Recordings through the same pipeline and the same loop as live, as fast as they go."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from monitor import journal
from monitor.connect.memory import MemoryLog
from monitor.connect.recording.player import as_recorded, records
from monitor.connect.recording.sink import RecordingSink
from monitor.connect.recording.source import RecordedSource
from monitor.connect.sinks import AtLeastOnce
from monitor.errors import ConfigError
from monitor.offline.dataset import Recorded, read_recorded
from monitor.offline.figures import write_figures
from monitor.protocols import Sink
from monitor.runner import Pace, Runner
from monitor.settings import Config
from monitor.stream.rehearse import rehearse
from monitor.types import Record, Result
from monitor.wiring import ForgetfulSnapshots, build_middle

PARTITIONS = 1  # all sensors in one: then a round judges many at once
SUFFIXES = ("parquet", "csv")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay. `flagged` counts the scores over the threshold of each detector,
    `rejected` the records of each reason; `seconds` are those on the clock.
    """

    recordings: int
    records: int
    windows: int
    windows_incomplete: int
    scores: int
    flagged: dict[str, int]
    alerts: int
    alerts_open: int
    notices: int
    rejected: dict[str, int]
    seconds: float
    windows_per_second: float


def run(
    config: Config,
    paths: Sequence[Path],
    out: Path,
    *,
    suffix: str = "parquet",
    time_column: str | None = None,
    json_file: Path | None = None,
) -> None:
    """The command: replay files into the folder `out`, and print what came of it."""
    journal.configure(json=False, quiet=True)
    recorded = read_recorded(config, paths, time_column)
    found = replay(config, recorded, out, suffix=suffix, progress=True)
    Console().print(_table(found))
    Console().print(f"scores and alerts: {out}/scores.{suffix}, {out}/alerts.{suffix}")
    if json_file:
        write_figures(json_file, asdict(found))


def replay(
    config: Config,
    recorded: Recorded,
    out: Path,
    *,
    suffix: str = "parquet",
    progress: bool = False,
) -> Replayed:
    """Write `scores` and `alerts` of all recordings into the folder `out`, as Parquet or CSV.

    Raises ConfigError for another ending or a folder that cannot be made, ModelError where a
    model is missing.
    """
    if suffix not in SUFFIXES:
        raise ConfigError(f"format {suffix!r} is not known; valid are {', '.join(SUFFIXES)}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be made a folder: {error.strerror}") from error
    sink = RecordingSink(out / f"scores.{suffix}", out / f"alerts.{suffix}")
    return play(config, recorded, sink, progress=progress)


def play(config: Config, recorded: Recorded, sink: Sink, *, progress: bool = False) -> Replayed:
    """Run the recordings of each stream through the live loop and into a sink.

    The results are those of the live process: how records are grouped into polls changes nothing,
    and time is that of the recordings. Nothing is kept but what the sink keeps.
    """
    config = _apart(config)
    middle = build_middle(config)
    rehearse(middle.pipeline)
    with _bar(recorded, shown=progress) as advance:
        log = MemoryLog(config.topics(), PARTITIONS)
        source = RecordedSource(log, _feed(config, recorded, advance), time.perf_counter, 0)
        tally = Tally()
        delivery = AtLeastOnce([sink, tally], source)
        pace = Pace(view_every=float("inf"), patience=0, live=False)
        parts = source, middle.pipeline, delivery, ForgetfulSnapshots()
        runner = Runner(*parts, time.perf_counter, pace)
        source.on_end = runner.stop
        began = time.perf_counter()
        runner.run()
    counts = middle.pipeline.counts
    return tally.told(recorded, counts, time.perf_counter() - began)


class Tally:
    """A sink that counts."""

    def __init__(self) -> None:
        self.scores: Counter[str] = Counter()
        self.flagged: Counter[str] = Counter()
        self.alerts: dict[str, bool] = {}  # id -> whether it is open
        self.rejected: Counter[str] = Counter()
        self.notices = 0

    def emit(self, result: Result) -> None:
        self.scores.update(score.detector for score in result.scores)
        self.flagged.update(score.detector for score in result.scores if score.value > 1)
        self.alerts.update({alert.id: alert.phase == "firing" for alert in result.alerts})
        self.rejected.update(rejected.reason for rejected in result.rejected)
        self.notices += len(result.notices)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def told(
        self, recorded: Recorded, counts: Counter[tuple[str, ...]], seconds: float
    ) -> Replayed:
        """The sums; `counts` are the pipeline's."""
        windows = _sum(counts, "windows_processed", "scored")
        return Replayed(
            recordings=sum(map(len, recorded.values())),
            records=_sum(counts, "messages"),
            windows=windows,
            windows_incomplete=_sum(counts, "windows_processed", "incomplete"),
            scores=self.scores.total(),
            flagged={detector: self.flagged[detector] for detector in sorted(self.scores)},
            alerts=len(self.alerts),
            alerts_open=sum(self.alerts.values()),
            notices=self.notices,
            rejected=dict(self.rejected),
            seconds=round(seconds, 3),
            windows_per_second=round(windows / seconds, 1),
        )


def _sum(counts: Counter[tuple[str, ...]], name: str, outcome: str | None = None) -> int:
    """Over all streams."""
    return sum(n for key, n in counts.items() if key[0] == name and outcome in (None, key[-1]))


def _apart(config: Config) -> Config:
    """Binary messages, and a topic for each stream alone: a recording reaches its own only."""
    first = [as_recorded(stream).topics[0] for stream in config.streams.values()]
    topics = first if len(set(first)) == len(first) else list(config.streams)
    streams = {
        name: as_recorded(stream).model_copy(update={"topics": [topic]})
        for (name, stream), topic in zip(config.streams.items(), topics, strict=True)
    }
    return config.model_copy(update={"streams": streams})


def _feed(config: Config, recorded: Recorded, advance: Callable[[int], None]) -> Iterator[Record]:
    """The records of all streams in the order of time; tells the bytes of each one."""
    each = (records(found, config.streams[name], PARTITIONS) for name, found in recorded.items())
    for record in heapq.merge(*each, key=lambda record: record.time):
        advance(len(record.value))
        yield record


@contextmanager
def _bar(recorded: Recorded, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar over the bytes of the recordings, for a person at a terminal."""
    total = sum(recording.data.nbytes for each in recorded.values() for recording in each)
    console = Console(stderr=True)
    hidden = not (shown and console.is_terminal)
    with Progress(console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("replaying", total=total)
        yield lambda size: bar.advance(task, size)


def _table(found: Replayed) -> Table:
    table = Table("figure", "value", title="Replay", box=SIMPLE_HEAD, show_edge=False)
    table.columns[1].justify = "right"
    for name, value in asdict(found).items():
        rows = value if isinstance(value, dict) else {"": value}
        for part, number in rows.items():
            shown = f"{number:,.1f}" if isinstance(number, float) else f"{number:,}"
            table.add_row(f"{name.replace('_', ' ')} {part}".strip(), shown)
    return table
