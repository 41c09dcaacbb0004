"""`python -m tests.chaos`: scenarios against real brokers and processes, as long as asked."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import orjson
import typer
from kafka.errors import KafkaError
from rich.console import Console

from deploy.broker.broker import BrokerError, missing_tools
from deploy.broker.cluster import Cluster
from tests.chaos.outcome import Outcome, Plan
from tests.chaos.report import figures, table
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.settings import DELIVERIES, Delivery
from tests.chaos.trial import Trial

OVERHEAD, SHORTEST = 20.0, 8.0
_MODES = ("chosen", "both", *DELIVERIES)
console = Console(stderr=True, width=None if sys.stderr.isatty() else 120)
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


class Clusters:
    """Brokers of each size, started once they are needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clusters: dict[int, Cluster] = {}

    def of(self, nodes: int) -> Cluster:
        """A running cluster of so many nodes; the others are ended, since memory is scarce."""
        for size, cluster in self._clusters.items():
            if size != nodes:
                cluster.stop()
        if nodes not in self._clusters:
            self._clusters[nodes] = Cluster(self._folder / f"cluster-{nodes}", nodes)
        self._clusters[nodes].start()
        return self._clusters[nodes]

    def stop(self) -> None:
        for cluster in self._clusters.values():
            cluster.stop()


@app.command()
def main(
    seconds: Annotated[float, typer.Option(help="How long all of it may take, about.")] = 600.0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures.")] = None,
    scenario: Annotated[list[str] | None, typer.Option(help="Only this; may be repeated.")] = None,
    delivery: Annotated[str, typer.Option(help=", ".join(_MODES))] = "chosen",
    members: Annotated[int, typer.Option(min=2, help="Processes in the group.")] = 3,
    seed: Annotated[int, typer.Option(help="Other messages and other troubles.")] = 1,
    list_: Annotated[bool, typer.Option("--list", help="Name the scenarios.")] = False,
) -> None:
    """Kill, freeze and deceive processes and brokers; results must be those of a quiet run."""
    if list_:
        for name, each in SCENARIOS.items():
            print(f"{name:12} {each.about}")
        return
    names = _chosen("scenario", scenario or list(SCENARIOS), list(SCENARIOS))
    _chosen("delivery", [delivery], _MODES)
    if missing := missing_tools():
        raise typer.BadParameter(f"real brokers need {' and '.join(missing)}; not found")
    with _ended_by_signals():
        outcomes, failed = _run(_order(names, delivery), seconds, members, seed)
    said = figures(outcomes, failed, seed, members)
    if json:
        json.write_bytes(orjson.dumps(said, option=orjson.OPT_INDENT_2) + b"\n")
    console.print(table(outcomes))
    for line in failed:
        console.print(f"[red]{line}[/red]")
    sys.exit(bool(failed) or not all(outcome.is_good for outcome in outcomes))


def _chosen(what: str, asked: Sequence[str], valid: Sequence[str]) -> Sequence[str]:
    for name in asked:
        if name not in valid:
            raise typer.BadParameter(f"{what} {name!r}; valid are {', '.join(valid)}")
    return asked


def _order(names: Sequence[str], delivery: str) -> list[tuple[str, Delivery]]:
    """Those that need the same brokers together, since a cluster takes its time to start."""
    pairs = [
        (name, mode)
        for name in names
        for mode in (SCENARIOS[name].deliveries if delivery == "chosen" else DELIVERIES)
        if delivery in (mode, "chosen", "both")
    ]
    return sorted(pairs, key=lambda pair: SCENARIOS[pair[0]].nodes)


def _run(
    pairs: Sequence[tuple[str, Delivery]], seconds: float, members: int, seed: int
) -> tuple[list[Outcome], list[str]]:
    outcomes: list[Outcome] = []
    failed: list[str] = []
    until = time.monotonic() + seconds
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-brokers-"))
        clusters = Clusters(Path(folder))
        stack.callback(clusters.stop)
        overhead = OVERHEAD
        for place, (name, mode) in enumerate(pairs):
            share = (until - time.monotonic()) / (len(pairs) - place)
            lasting = max(SHORTEST, share - overhead)
            plan = Plan(name, SCENARIOS[name], mode, lasting, seed + place, members)
            began = time.monotonic()
            outcome = _tried(plan, clusters, failed)
            overhead += 0.3 * (time.monotonic() - began - lasting - overhead)
            if outcome:
                outcomes.append(outcome)
    return outcomes, failed


def _tried(plan: Plan, clusters: Clusters, failed: list[str]) -> Outcome | None:
    title = f"{plan.name}, {plan.delivery.replace('_', ' ')}"
    cluster = clusters.of(plan.scenario.nodes)
    trial = Trial(plan, cluster.addresses, cluster)
    with console.status(title) as status:
        try:
            outcome = trial.run(lambda what: status.update(f"{title}: {what}"))
        except (AssertionError, KafkaError, BrokerError, OSError) as error:
            failed.append(f"{title}: {error} (see {trial.folder})")
            console.print(f"[red]{failed[-1]}[/red]")
            return None
    _say(title, outcome)
    return outcome


def _say(title: str, outcome: Outcome) -> None:
    good = "[green]good[/green]" if outcome.is_good else f"[red]see {outcome.folder}[/red]"
    kills = sum(outcome.kills.values())
    console.print(f"{title}: {kills} kills, {outcome.records:,} records: {good}")
    for line in [*outcome.verdict.examples, *outcome.gave_up]:
        console.print(f"  {line}", markup=False, soft_wrap=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: with all that was started."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
