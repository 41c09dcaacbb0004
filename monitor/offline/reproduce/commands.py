"""`monitor reproduce`: a published benchmark each. Commands import what they need when they run."""

from __future__ import annotations

from enum import StrEnum
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
ReportFile = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Write histograms, curves and examples as HTML."),
]


@app.callback()
def root() -> None:
    """Run a published benchmark with the product; its table beside the published one."""


@app.command(epilog="Example: monitor reproduce nab --json nab.json --scores scores/")
def nab(
    data: Data = None, json: JsonFile = None, scores: Scores = None, report: ReportFile = None
) -> None:
    """The Numenta Anomaly Benchmark: 58 series of one number each; a minute or two."""
    from monitor.offline.reproduce import nab_report as work

    work.run(data, json_file=json, scores=scores, report=report)


@app.command(epilog="Example: monitor reproduce skab --json skab.json --scores scores/")
def skab(
    data: Data = None, json: JsonFile = None, scores: Scores = None, report: ReportFile = None
) -> None:
    """The Skoltech Anomaly Benchmark: 34 runs of a water circulation testbed; about two minutes."""
    from monitor.offline.reproduce import skab_report as work

    work.run(data, json_file=json, scores=scores, report=report)


@app.command(epilog="Example: monitor reproduce mnist --json mnist.json --report mnist.html")
def mnist(
    data: Data = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many trainings of each net.")] = 3,
    json: JsonFile = None,
    scores: Scores = None,
    report: ReportFile = None,
) -> None:
    """MNIST: autoencoders that have seen only 1s, judged on 1s and 9s; two or three minutes."""
    from monitor.offline.reproduce import mnist as work

    work.run(data, work.Options(seeds, json, scores, report))


@app.command(epilog="Example: monitor reproduce esc10 --detector deep_gaussian --json esc10.json")
def esc10(
    data: Data = None,
    detector: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many splits of the clips.")] = 10,
    split: Annotated[
        str, typer.Option(help="What is not on both sides: a source, or only a clip.")
    ] = "source",
    json: JsonFile = None,
    scores: Scores = None,
) -> None:
    """ESC-10: helicopters as the machine, chainsaws, rain and dogs as foreign sounds; minutes."""
    from monitor.offline.reproduce import esc10 as work

    work.run(data, work.Options(seeds, detector or (), split, json, scores))


@app.command(epilog="Example: monitor reproduce fashion --json fashion.json --scores scores/")
def fashion(
    data: Data = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many splits and trainings.")] = 10,
    detector: Annotated[str, typer.Option(help="l2_softmax or adacos.")] = "l2_softmax",
    json: JsonFile = None,
    scores: Scores = None,
) -> None:
    """Fashion-MNIST: sneakers are normal, ten ankle boots are known; three or four minutes."""
    from monitor.offline.reproduce import fashion as work

    work.run(data, work.Options(seeds, detector, json, scores))


@app.command(epilog="Example: monitor reproduce attributes --report faces.html")
def attributes(
    seeds: Annotated[int, typer.Option(min=1, help="How many trainings of each net.")] = 3,
    json: JsonFile = None,
    scores: Scores = None,
    report: ReportFile = None,
) -> None:
    """Drawn faces: autoencoders that have seen none with glasses find the glasses."""
    from monitor.offline.reproduce import attributes as work
    from monitor.offline.reproduce.mnist import Options

    work.run(Options(seeds, json, scores, report))


class On(StrEnum):
    """What methods are compared on."""

    images = "images"
    windows = "windows"


@app.command(epilog="Example: monitor reproduce methods --detector padim --detector knn --every 2")
def methods(
    data: Data = None,
    on: Annotated[On, typer.Option(help="What they learn from and are judged on.")] = On.images,
    detector: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be repeated.")
    ] = None,
    every: Annotated[
        int, typer.Option(min=1, help="Take only each so-manieth image, or recording.")
    ] = 1,
    json: JsonFile = None,
    scores: Scores = None,
) -> None:
    """Every trained detector on pictures: a simulated conveyor, and shoes of Fashion-MNIST; or on
    windows of SKAB, of simulated faults and of NAB. Nets take their time.
    """
    if on == On.images:
        from monitor.offline.reproduce import image_methods as work

        work.run(data, work.Options(tuple(detector or ()), every, json, scores))
        return
    from monitor.offline.reproduce import methods as of_windows

    of_windows.run(data, detectors=detector or (), every=every, json_file=json, scores=scores)
