"""Runs the whole benchmark: train, compare, take apart, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import Progress

from monitor import journal
from monitor.detect.deep.training import one_thread
from monitor.errors import ConfigError
from monitor.offline.bench.components import compare_rivals, rivals
from monitor.offline.bench.latency import Latency, time_latency
from monitor.offline.bench.measure import Advance, Comparison, compare, interleave, settled_heap
from monitor.offline.bench.naive import HEIGHT, REMEMBERED, TREES, Naive
from monitor.offline.bench.ours import FOREST, FOREST_PARAMS, Ours
from monitor.offline.bench.report import Report
from monitor.offline.bench.stages import time_stages
from monitor.offline.bench.trained import sizes, train_nets
from monitor.offline.bench.workload import Workload
from monitor.offline.figures import write_figures

CHUNKS = (64, 8)
PEER = "naive pipeline"
COMPARED = 256


@dataclass(frozen=True)
class Options:
    """How much is done. Each side of the whole path gets about `seconds` of CPU time, in slices of
    `slice_seconds`; each part and each latency gets less.
    """

    seconds: float = 10.0
    slice_seconds: float = 1.0
    sensors: int = 1000
    pool: int = 4096
    training: int = 4096
    epochs: int = 5
    settled: int = 1000
    arrivals: int = 40_000

    @property
    def part_seconds(self) -> float:
        """For each side of a part."""
        return self.seconds / 10


QUICK = Options(2.0, 0.25, pool=1024, training=1024, epochs=2, arrivals=5000)


def run(seconds: float, json_file: Path | None = None, *, quick: bool = False) -> None:
    """The command: run, print tables, and write `json_file` where one is named.

    Raises ConfigError where that cannot be written or `seconds` makes no sense.
    """
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"--seconds is {seconds:g}; any number over 0 is valid")
    if json_file and not json_file.absolute().parent.is_dir():
        raise ConfigError(f"--json {json_file}: there is no folder {json_file.parent}")
    journal.configure(json=False, quiet=True)
    console = Console()
    base = QUICK if quick else Options()
    report = run_bench(
        replace(base, seconds=min(seconds, base.seconds if quick else seconds)), console
    )
    report.print(console)
    if json_file:
        write_figures(json_file, report.as_json())


def run_bench(options: Options, console: Console | None = None) -> Report:
    """Run everything; with a console, show how far it is. Torch is kept to one thread meanwhile."""
    with (
        one_thread(),
        TemporaryDirectory(prefix="monitor-bench-") as folder,
        Progress(console=console, transient=True, disable=console is None) as progress,
    ):
        return _Run(options, Path(folder), progress).report()


def scored(naive: Naive, windows: int) -> list[dict[str, float]]:
    """The peer's raw scores of the next windows, by detector."""
    naive.prepare(windows)()
    return list(naive.scores)[-windows:]


def difference(ours: Ours, theirs: Sequence[Mapping[str, float]]) -> float:
    """The largest relative difference to the peer's scores by the same nets, when both begin."""
    ours.prepare(len(theirs))()
    mine = [score for result in ours.newest.results for score in result.scores]
    nets = [score for score in mine if score.detector != FOREST]
    each = len(nets) // len(theirs)
    rows = [theirs[i // each] for i in range(len(nets))]
    return max(
        abs(score.raw / row[score.detector] - 1) for score, row in zip(nets, rows, strict=True)
    )


class _Run:
    """One run with its progress bar; the nets are trained when it is made."""

    def __init__(self, options: Options, store: Path, progress: Progress) -> None:
        self.options, self.store, self._progress = options, store, progress
        self._bar = progress.add_task("training nets", total=None)
        self.workload = Workload(options.sensors, options.pool)
        self.models = train_nets(self.workload, options.training, options.epochs, store)

    def report(self) -> Report:
        """Every part in turn."""
        self._begin("warming up", 1)
        naive = Naive(self.workload, self.models)
        paths = [Ours(self.workload, self.store, chunk) for chunk in CHUNKS]
        theirs = scored(naive, min(COMPARED, self.workload.sensors))
        agreement = max(difference(path, theirs) for path in paths)
        for path in paths:
            path.settle(self.options.settled)
        with settled_heap():
            return self._measured(naive, paths, agreement)

    def _measured(self, naive: Naive, paths: Sequence[Ours], agreement: float) -> Report:
        return Report(
            results=[*self._whole(naive, paths), *self._parts(paths)],
            latency=[self._latency(path) for path in paths],
            stages={path.unit: self._stages(path) for path in paths},
            work=self._work(),
            agreement=agreement,
        )

    def _whole(self, naive: Naive, paths: Sequence[Ours]) -> list[Comparison]:
        seconds, part = self.options.seconds, self.options.slice_seconds
        advance = self._begin("the whole path", (1 + len(paths)) * seconds)
        theirs, *each = interleave([naive, *paths], seconds, part, advance)
        return [
            compare(f"pipeline/batch={path.unit}", PEER, slices, theirs)
            for path, slices in zip(paths, each, strict=True)
        ]

    def _parts(self, paths: Sequence[Ours]) -> list[Comparison]:
        self._begin("preparing parts", 1)
        pairs = rivals(paths, self.models)
        seconds = self.options.part_seconds
        advance = self._begin("parts", 2 * len(pairs) * seconds)
        return compare_rivals(pairs, seconds, advance)

    def _stages(self, path: Ours) -> dict[str, float]:
        seconds = self.options.part_seconds
        advance = self._begin(f"stages, calls of {path.unit}", 3 * seconds)
        return time_stages(path, seconds, advance)

    def _latency(self, path: Ours) -> Latency:
        self._begin(f"latency, calls of {path.unit}", 1)
        return time_latency(path, self.options.arrivals)

    def _work(self) -> dict[str, Any]:
        """What each side computes for a window."""
        return {
            "nets": sizes(self.models),
            "backend": self.models[0].backend,
            "ours": {
                FOREST: {**FOREST_PARAMS, "forests": self.workload.sensors},
                "threshold": f"exact percentile of a ring of {REMEMBERED}",
            },
            "peer": {
                "path": "json.loads, nets, river, np.quantile, labels().set(); one by one",
                "nets": "the same weights, torch eager, batch 1",
                "half_space_trees": {"trees": TREES, "height": HEIGHT, "forests": 1},
                "threshold": f"numpy.quantile over a deque of {REMEMBERED}",
            },
            "sensors": self.workload.sensors,
            "window": list(self.models[0].shape),
        }

    def _begin(self, title: str, seconds: float) -> Advance:
        """Name what comes next on the bar; returns how to move it."""
        self._progress.reset(self._bar, description=title, total=seconds)
        return lambda done: self._progress.advance(self._bar, done)
