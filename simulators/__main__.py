"""`python -m simulators`: plays recordings or simulated machines into Kafka, or writes them."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Topic = Annotated[str, typer.Option(help="Topic to write to.")]
Bootstrap = Annotated[
    str | None,
    typer.Option(
        help="Addresses of Kafka, host:port[,host:port...].", show_default="localhost:9092"
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="A configuration of the monitor: play into its source.kafka, with its security.",
    ),
]
Format = Annotated[str, typer.Option("--format", help="float32, msgpack or json.")]
Speed = Annotated[float, typer.Option(help="1 is real time, 0 as fast as it goes.")]
LabelsTopic = Annotated[
    str | None, typer.Option(help="Topic for the labels; '' for none.", show_default="TOPIC.labels")
]
Disturb = Annotated[
    str,
    typer.Option(help="What goes wrong on the way, as jitter=0.2,late=0.01,late_by=5,burst=1."),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same of everything.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Kind = Annotated[str, typer.Option(help="rotor or pump; heard: motor, blower or valve.")]
Machines = Annotated[int, typer.Option(min=1, help="How many machines.")]
Seconds = Annotated[float, typer.Option(help="Length, in time of the data.")]
Rate = Annotated[float, typer.Option(help="Samples per second; 64 or more, for sound 8000.")]
Faults = Annotated[int, typer.Option(min=0, help="Faults of each machine; each needs 65 s.")]
Severity = Annotated[float, typer.Option(min=0.0, help="Size of the faults; 1 is clearly visible.")]
Start = Annotated[
    float | None, typer.Option(help="Time of the first sample, s since 1970.", show_default="now")
]


@app.callback()
def main() -> None:
    """Make and play data: machines with labelled faults, recordings at a chosen rate."""


@app.command()
def play(
    files: Annotated[list[Path], typer.Argument(help="CSV, Parquet or npy files, or folders.")],
    topic: Topic,
    bootstrap: Bootstrap = None,
    config: ConfigFile = None,
    form: Format = "float32",
    speed: Speed = 1.0,
    labels_topic: LabelsTopic = None,
    channels: Annotated[
        str, typer.Option(help="Columns to send, commas between.", show_default="all of numbers")
    ] = "",
    rate: Annotated[
        float | None, typer.Option(help="Samples per second.", show_default="as in the first file")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(help="Column of the times.", show_default="found by itself")
    ] = None,
    disturb: Disturb = "",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Play recordings into a Kafka topic, one message for each second of each sensor.

    Example: python -m simulators play valve1/0.csv valve1/1.csv --topic skab --speed 60
    """
    from simulators import commands
    from simulators.kafka_target import kafka_target

    outlet = commands.Outlet(
        topic=topic,
        connect=lambda: kafka_target(bootstrap, config),
        format=form,
        speed=speed,
        labels_topic=labels_topic,
        disturbance=_disturbance(disturb, seed),
        as_json=as_json,
    )
    names = [name.strip() for name in channels.split(",") if name.strip()]
    commands.play_files(files, outlet, names, rate, time_column)


@app.command()
def machines(
    topic: Topic,
    bootstrap: Bootstrap = None,
    config: ConfigFile = None,
    form: Format = "float32",
    speed: Speed = 1.0,
    labels_topic: LabelsTopic = None,
    kind: Kind = "rotor",
    count: Annotated[int, typer.Option("--machines", min=1, help="How many machines.")] = 6,
    seconds: Seconds = 300.0,
    rate: Rate = 128.0,
    faults: Faults = 1,
    severity: Severity = 1.0,
    start: Start = None,
    disturb: Disturb = "",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Play simulated machines with faults into a Kafka topic.

    Example: python -m simulators machines --topic plant --machines 8 --seconds 600 --speed 10

    Into a cluster with TLS and a login: add --config monitor.yaml
    """
    from simulators import commands
    from simulators.kafka_target import kafka_target

    outlet = commands.Outlet(
        topic=topic,
        connect=lambda: kafka_target(bootstrap, config),
        format=form,
        speed=speed,
        labels_topic=labels_topic,
        disturbance=_disturbance(disturb, seed),
        as_json=as_json,
    )
    fleet = _fleet(kind=kind, count=count, seed=seed, rate=rate, start=_start(start))
    commands.play_machines(commands.fleet_of(fleet, seconds, faults, severity), seconds, outlet)


@app.command()
def record(
    folder: Annotated[Path, typer.Argument(help="Folder to write into; it is made if absent.")],
    form: Annotated[str, typer.Option("--format", help="csv or parquet; wav or flac.")] = "csv",
    kind: Kind = "rotor",
    count: Annotated[int, typer.Option("--machines", min=1, help="How many machines.")] = 6,
    seconds: Seconds = 90.0,
    rate: Rate = 128.0,
    faults: Faults = 0,
    severity: Severity = 1.0,
    start: Start = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Write simulated machines as recordings with labels, to train on or to evaluate with.

    Example: python -m simulators record normal/ --seconds 90 --seed 7
    """
    from simulators import commands

    fleet = _fleet(kind=kind, count=count, seed=seed, rate=rate, start=_start(start))
    fleet = commands.fleet_of(fleet, seconds, faults, severity)
    commands.record_machines(fleet, seconds, folder, f".{form}", as_json=as_json)


@app.command()
def cameras(
    topic: Topic,
    bootstrap: Bootstrap = None,
    config: ConfigFile = None,
    speed: Speed = 1.0,
    labels_topic: LabelsTopic = None,
    count: Annotated[int, typer.Option("--cameras", min=1, help="How many cameras.")] = 2,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Pixels of a side.")] = 224,
    seconds: Seconds = 300.0,
    rate: Annotated[float, typer.Option(help="Frames per second of each camera.")] = 1.0,
    faults: Annotated[int, typer.Option(min=0, help="Faults of each camera; each needs 65 s.")] = 1,
    severity: Severity = 1.0,
    start: Start = None,
    disturb: Disturb = "",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Play simulated cameras over conveyors into a Kafka topic, as JPEG files.

    Example: python -m simulators cameras --topic belt --cameras 2 --seconds 600 --speed 10
    """
    from simulators import commands
    from simulators.cameras import Cameras
    from simulators.kafka_target import kafka_target

    outlet = commands.Outlet(
        topic=topic,
        connect=lambda: kafka_target(bootstrap, config),
        format="image",
        speed=speed,
        labels_topic=labels_topic,
        disturbance=_disturbance(disturb, seed),
        as_json=as_json,
    )
    made = Cameras(seed, count, (size, size), rate, _start(start))
    commands.play_cameras(commands.cameras_of(made, seconds, faults, severity), seconds, outlet)


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder to write into; it is made if absent.")],
    good: Annotated[int, typer.Option(min=1, help="Good parts to learn from.")] = 200,
    faulty: Annotated[int, typer.Option(min=1, help="Parts with each fault; as many good.")] = 20,
    count: Annotated[int, typer.Option("--cameras", min=1, help="How many cameras.")] = 1,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Pixels of a side.")] = 224,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Write pictures of good and faulty parts with masks, in the usual layout of such data sets.

    Example: python -m simulators inspect parts/ --good 200 --faulty 20 --size 128
    """
    from simulators import commands
    from simulators.cameras import Cameras

    made = Cameras(seed, count, (size, size))
    commands.inspect_parts(made, folder, good, faulty, as_json=as_json)


def _fleet(**options: Any) -> Any:
    from simulators.fleet import Fleet

    return Fleet(**options)


def _start(start: float | None) -> float:
    """The given time, or the last full second."""
    return float(math.floor(time.time())) if start is None else start


def _disturbance(text: str, seed: int) -> Any:
    """Parse `jitter=0.2,late=0.01`."""
    from monitor.errors import ConfigError
    from simulators.play import Disturbance

    valid = ("jitter", "late", "late_by", "burst")
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ConfigError(f"disturb {part!r}: {value!r} is not a number") from None
        if name not in valid:
            raise ConfigError(f"disturb {part!r}: valid are {', '.join(valid)}")
    return Disturbance(seed=seed, **found)


def run() -> None:
    """The command line; a mistake is one line and exit code 2, a failure one line and 1."""
    from monitor.errors import MonitorError

    try:
        app()
    except MonitorError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    run()
