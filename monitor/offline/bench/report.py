"""What a run of the benchmark found, as JSON and as tables."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from monitor import __version__
from monitor.offline.bench.latency import Latency
from monitor.offline.bench.measure import Comparison

CLOCK = (
    "CPU time of the process (time.process_time); sides in turns in one run; a ratio is the "
    "median over adjacent pairs of slices; one thread"
)
PACKAGES = (
    "numpy",
    "numba",
    "torch",
    "onnxruntime",
    "river",
    "prometheus-client",
    "orjson",
)


@dataclass(frozen=True)
class Report:
    """Everything one run found. `agreement` is the largest relative difference between the two
    sides' scores of the same windows by the same nets.
    """

    results: Sequence[Comparison]
    stages: Mapping[int, Mapping[str, float]]
    latency: Sequence[Latency]
    work: Mapping[str, Any]
    agreement: float

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "results": [asdict(result) for result in self.results],
            "stages_us": {f"batch={chunk}": dict(us) for chunk, us in self.stages.items()},
            "windows_per_second": self._rates(),
            "latency": [latency._asdict() for latency in self.latency],
            "agreement": self.agreement,
            "work": dict(self.work),
            "clock": CLOCK,
            "machine": machine(),
            "versions": versions(),
        }

    def print(self, console: Console) -> None:
        """Tables for people."""
        console.print(_compared(self.results), _staged(self.stages))
        for name, rate in self._rates().items():
            console.print(f"{name}: {rate:,.0f} windows/s on one core")
        for found in self.latency:
            console.print(
                f"Latency with calls of {found.chunk} at {found.load:.0%} load "
                f"({found.arrivals_per_second:,.0f} windows/s): "
                f"p50 {found.p50_ms:.2f} ms, p99 {found.p99_ms:.2f} ms"
            )
        console.print(f"Same nets, same windows: scores differ by {self.agreement:.1e} at most.")
        console.print(f"[dim]Clock: {CLOCK}. {machine()['cpu']}.[/dim]")

    def _rates(self) -> dict[str, float]:
        return {r.name: 1e6 / r.ours_us for r in self.results if r.name.startswith("pipeline/")}


def machine() -> dict[str, Any]:
    """What this ran on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load_average": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Of this package, Python and every library that does a part of the work."""
    found = {"monitor": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _compared(results: Sequence[Comparison]) -> Table:
    table = Table(title="Ours against peers, µs of CPU time per window", box=SIMPLE_HEAD)
    table.add_column("what", no_wrap=True)
    table.add_column("peer", no_wrap=True)
    for column in ("ours", "peer's", "ratio"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in results:
        ratio = f"[bold]{r.ratio:.1f}[/bold]"
        table.add_row(r.name, r.peer, f"{r.ours_us:.2f}", f"{r.peer_us:.1f}", ratio)
    return table


def _staged(stages: Mapping[int, Mapping[str, float]]) -> Table:
    table = Table(title="Our path by stage, µs of CPU time per window", box=SIMPLE_HEAD)
    table.add_column("stage")
    for chunk in stages:
        table.add_column(f"calls of {chunk}", justify="right")
    for name in next(iter(stages.values()), {}):
        style = "bold" if name == "total" else None
        cells = [f"{us[name]:.2f}" for us in stages.values()]
        table.add_row(name, *cells, style=style)
    return table
