"""`monitor reproduce`: a published benchmark each. Commands import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Run a published benchmark with the product; its table beside the published one.",
    no_args_is_help=True,
)

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The folder that holds the data sets' folders; else MONITOR_DATA, or a download.",
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here as JSON.")
]
Scores = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Write every score here as CSV: item, label, detector, score."
    ),
]


@app.callback()
def root() -> None:
    """Run a published benchmark with the product; its table beside the published one."""


@app.command(epilog="Example: monitor reproduce nab --json nab.json --scores scores/")
def nab(data: Data = None, json: JsonFile = None, scores: Scores = None) -> None:
    """The Numenta Anomaly Benchmark: 58 series of one number each; a minute or two."""
    from monitor.offline.reproduce import nab_report as work

    work.run(data, json_file=json, scores=scores)


@app.command(epilog="Example: monitor reproduce skab --json skab.json --scores scores/")
def skab(data: Data = None, json: JsonFile = None, scores: Scores = None) -> None:
    """The Skoltech Anomaly Benchmark: 34 runs of a water circulation testbed; about two minutes."""
    from monitor.offline.reproduce import skab_report as work

    work.run(data, json_file=json, scores=scores)


@app.command(epilog="Example: monitor reproduce methods --detector pca --detector knn --every 4")
def methods(
    data: Data = None,
    detector: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be repeated.")
    ] = None,
    every: Annotated[
        int, typer.Option(min=1, help="Take only each so-manieth recording of SKAB and NAB.")
    ] = 1,
    json: JsonFile = None,
) -> None:
    """Every trained detector on SKAB, on simulated faults and on NAB; nets take their time."""
    from monitor.offline.reproduce import methods as work

    work.run(data, detectors=detector or (), every=every, json_file=json)
