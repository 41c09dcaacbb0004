"""`python -m tests.fuzz --payloads 1000000 --json fuzz.json`: what `make fuzz` runs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, NamedTuple

import orjson
import typer
from rich.console import Console

from tests.fuzz import guided
from tests.fuzz.report import faults, figures, table
from tests.fuzz.targets import TARGETS
from tests.fuzz.trial import Found

GUIDED_PART = 0.1
LONGEST_HOURS = 2
console = Console(stderr=True, width=None if sys.stderr.isatty() else 120)
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


class Task(NamedTuple):
    """One target, how often, and whether by coverage."""

    name: str
    payloads: int
    guided: bool = False


@app.command()
def main(
    payloads: Annotated[int, typer.Option(help="How many in all, about.")] = 1_000_000,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures.")] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"{', '.join(TARGETS)}.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Targets at a time.")] = 2,
    seed: Annotated[int, typer.Option(help="Other payloads.")] = 1,
) -> None:
    """Feed every reader with hostile payloads; exit status 1 where one fails."""
    names = only or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        raise typer.BadParameter(f"{unknown[0]!r} is no reader; valid are {', '.join(TARGETS)}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processes) as pool:
        tasks = plan(names, payloads)
        found = list(pool.map(lambda task: run(task, seed, Path(folder)), tasks))
    if json:
        said = figures(found, seed, time.monotonic() - began)
        json.write_bytes(orjson.dumps(said, option=orjson.OPT_INDENT_2) + b"\n")
    console.print(table(found))
    for line in faults(found):
        console.print(f"[red]{line}[/red]", markup=True, soft_wrap=True)
    sys.exit(bool(faults(found)))


def plan(names: Sequence[str], payloads: int) -> list[Task]:
    """Each target with its share; of those that can be guided a part by coverage."""
    parts = sum(TARGETS[name].share for name in names)
    tasks = []
    for name in names:
        count = -(-payloads * TARGETS[name].share // parts)
        by_coverage = int(count * GUIDED_PART) * (TARGETS[name].guided and guided.available())
        tasks.append(Task(name, count - by_coverage))
        if by_coverage:
            tasks.append(Task(name, by_coverage, guided=True))
    return tasks


def run(task: Task, seed: int, folder: Path) -> Found:
    """A target in a process of its own."""
    file = folder / f"{task.name}-{task.guided}.json"
    words = [task.name, str(task.payloads), str(seed), str(file), *["guided"] * task.guided]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.worker", *words],
        capture_output=True,
        timeout=3600 * LONGEST_HOURS,
        check=False,
    )
    if ended.returncode or not file.exists():
        lost = Found(task.name)
        lost.faults[f"the process ended with {ended.returncode}"] = ended.stderr[-2000:].decode()
        return lost
    found = Found.of_json(orjson.loads(file.read_bytes()))
    console.print(f"{found.name}: {found.payloads:,}, {len(found.faults)} faults", highlight=False)
    return found


if __name__ == "__main__":
    app()
