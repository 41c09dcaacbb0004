"""`python -m tests.soak --seconds 600 --json soak.json`: what `make soak` runs.

A real broker, one `monitor run` with deep, statistical and learning detectors, and machines that
come and go. It is sent as much as it reads, which is the highest rate that it can sustain: the lag
is kept at about two seconds. After a warm-up memory, descriptors and threads must not grow.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, median_high
from typing import Annotated

import typer
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.broker.broker import Broker
from tests.kafka.processes import Running, running, write_config
from tests.soak import setting
from tests.soak.gauge import Usage, growth, open_files, resident_mib, threads
from tests.soak.load import Load, Population

MOST_GROWTH = 0.01
FEWEST = 100  # windows on their way, whatever the rate; fewer a second are no load
SECONDS_BEHIND = 2.0
WARM_UP = 0.3


@dataclass(frozen=True)
class Found:
    """The figures of a run; memory in MiB, over the time after the warm-up."""

    seconds: float
    windows: int
    windows_per_second: float
    refused: int
    largest_lag: int
    resident_first: float
    resident_last: float
    growth: float
    resident: tuple[float, ...]  # of each tenth of the time
    files: tuple[int, int]
    threads: tuple[int, int]
    sensors_ever: int
    sensors_remembered: tuple[int, int]
    series: tuple[int, int]
    gone_still_shown: int

    @property
    def is_steady(self) -> bool:
        """Whether it worked all the while, nothing grows, and nobody who is gone is shown."""
        steady = self.files[0] == self.files[1] and self.threads[0] == self.threads[1]
        worked = self.windows > FEWEST * self.seconds and not self.refused
        return worked and self.growth < MOST_GROWTH and steady and not self.gone_still_shown


def main(
    seconds: Annotated[float, typer.Option(help="How long, warm-up included.")] = 600.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
    sensors: Annotated[int, typer.Option(help="Machines that are there at a time.")] = 500,
) -> None:
    """Run the soak test, print its figures; exit status 1 where something grows.

    Example: python -m tests.soak --seconds 600 --json soak.json
    """
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        found = soak(Path(folder), seconds, sensors)
    Console().print(_table(found))
    if json_file:
        json_file.write_text(json.dumps(asdict(found) | {"steady": found.is_steady}, indent=2))
    sys.exit(0 if found.is_steady else 1)


def soak(folder: Path, seconds: float, sensors: int) -> Found:
    """One run in a folder that is empty."""
    population = Population(sensors, leaving=sensors / setting.STAY)
    with _broker(folder / "kafka") as broker:
        config = write_config(folder / "soak.yaml", setting.settings(broker.address, folder))
        setting.learn(config)
        with running(config) as process:
            process.wait_until_ready()
            with Load(broker.address, setting.TOPIC, population) as load:
                used = list(_watch(process, load, seconds))
                shown = _shown(process)
                found = _figures(used, load, shown)
            process.end()
    return found


@contextmanager
def _broker(directory: Path) -> Iterator[Broker]:
    broker = Broker(directory)
    broker.start()
    try:
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        # What was read is of no use: the disk must not fill up.
        kept = {"retention.bytes": str(256 << 20), "segment.bytes": str(64 << 20)}
        names = (setting.TOPIC, setting.ALERTS, setting.SCORES)
        admin.create_topics([NewTopic(name, 4, 1, topic_configs=kept) for name in names])
        admin.close()
        yield broker
    finally:
        broker.stop()


def _watch(process: Running, load: Load, seconds: float) -> Iterator[Usage]:
    """A look every second, and as much more to do as the process can take."""
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("warming up", total=None)
        began, before = time.monotonic(), _look(process, 0.0)
        while (second := time.monotonic() - began) < seconds:
            used = _look(process, second)
            rate = (used.processed - before.processed) / max(used.second - before.second, 0.5)
            load.allowed = load.sent + max(0, round(max(FEWEST, rate * SECONDS_BEHIND)) - used.lag)
            state = f"{rate:,.0f} windows/s, lag {used.lag:,}, {used.resident:,.0f} MiB"
            bar.update(task, description=state)
            before = used
            yield used
            time.sleep(max(0.0, 1.0 - (time.monotonic() - began - second)))


def _look(process: Running, second: float) -> Usage:
    pid = process.process.pid
    scored = process.metric("monitor_windows_processed_total")
    return Usage(
        second=second,
        resident=resident_mib(pid),
        files=open_files(pid),
        threads=threads(pid),
        lag=int(sum(process.metric("monitor_consumer_lag_records").values())),
        processed=int(sum(n for labels, n in scored.items() if "scored" in labels)),
        sensors=int(sum(process.metric("monitor_sensors").values())),
        series=len(process.metric("monitor_anomaly_score")),
    )


def _shown(process: Running) -> set[str]:
    """The sensors that have series."""
    series = process.metric("monitor_last_seen_timestamp_seconds")
    return {labels.split('sensor="')[1].split('"')[0] for labels in series}


def _figures(used: list[Usage], load: Load, shown: set[str]) -> Found:
    after = [each for each in used if each.second >= used[-1].second * WARM_UP]
    first, last = after[0], after[-1]
    seconds, windows = last.second - first.second, last.processed - first.processed
    # Whoever left longer ago than the time to live, and a reserve for what was still on its way.
    gone = load.population.ever - 4 * load.population.size
    return Found(
        seconds=round(seconds, 1),
        windows=windows,
        windows_per_second=round(windows / seconds, 1),
        refused=load.refused,
        largest_lag=max(each.lag for each in after),
        resident_first=round(first.resident, 1),
        resident_last=round(last.resident, 1),
        growth=round(growth(after), 5),
        resident=tuple(round(median(tenth), 1) for tenth in _tenths([u.resident for u in after])),
        files=_ends([each.files for each in after]),
        threads=_ends([each.threads for each in after]),
        sensors_ever=load.population.ever,
        sensors_remembered=(first.sensors, max(each.sensors for each in after)),
        series=(first.series, max(each.series for each in after)),
        gone_still_shown=sum(int(name.split("-")[1]) < gone for name in shown),
    )


def _tenths(numbers: Sequence[float]) -> Sequence[Sequence[float]]:
    size = max(len(numbers) // 10, 1)
    return [numbers[at : at + size] for at in range(0, len(numbers) - size + 1, size)]


def _ends(numbers: Sequence[int]) -> tuple[int, int]:
    """The usual number in the first tenth and in the last: a file that is just being written, or a
    browser that is just asking, is no growth.
    """
    count = max(3, len(numbers) // 10)
    return int(median_high(numbers[:count])), int(median_high(numbers[-count:]))


def _table(found: Found) -> Table:
    table = Table("figure", "value", title="Soak")
    table.columns[1].justify = "right"
    for name, value in asdict(found).items():
        shown = " -> ".join(map(str, value)) if isinstance(value, tuple) else f"{value:,}"
        table.add_row(name.replace("_", " "), shown)
    return table


if __name__ == "__main__":
    typer.run(main)
