"""The command line. Commands import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from monitor import __version__
from monitor.errors import ConfigError, MonitorError
from monitor.offline.reproduce.commands import app as reproduce

app = typer.Typer(
    name="monitor",
    help="A streaming monitor for machines: Kafka in, anomaly scores and alerts out.",
    epilog="Begin with: monitor demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(reproduce, name="reproduce")

_LEAST_PASSWORD, _MOST_PASSWORD = 8, 1000

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML file.")]
Recordings = Annotated[
    list[Path], typer.Argument(metavar="RECORDINGS...", help="CSV, Parquet or npy, or folders.")
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here as JSON.")
]
TimeColumn = Annotated[
    str | None, typer.Option(help="The column that holds the time; found by itself if it can be.")
]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"monitor {__version__}")
        raise typer.Exit


@app.command(epilog="Example: monitor init recordings/normal.csv --out plant.yaml")
def init(
    recordings: Recordings,
    out: Annotated[Path, typer.Option(help="The configuration to write.")] = Path("monitor.yaml"),
    name: Annotated[str | None, typer.Option(help="What the stream is called.")] = None,
    channels: Annotated[str, typer.Option(help="Columns, with commas; else all numbers.")] = "",
    time_column: TimeColumn = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    json: JsonFile = None,
) -> None:
    """Suggest a configuration from a recording of normal operation."""
    from monitor.offline import init as work

    wanted = [channel.strip() for channel in channels.split(",") if channel.strip()]
    work.run(
        recordings,
        out,
        name=name,
        channels=wanted,
        time_column=time_column,
        force=force,
        json_file=json,
    )


@app.command(epilog="Example: monitor train plant.yaml recordings/normal.csv")
def train(
    config: ConfigFile,
    recordings: Recordings,
    labels: Annotated[
        Path | None,
        typer.Option(help="What operators say: CSV of sensor,start,end,label (fault or normal)."),
    ] = None,
    promote: Annotated[
        bool, typer.Option(help="Point the aliases that CONFIG names at the new versions.")
    ] = True,
    time_column: TimeColumn = None,
    json: JsonFile = None,
) -> None:
    """Train every model that CONFIG names, on recordings of normal operation."""
    from monitor.offline import train as work

    work.run(
        _load(config),
        recordings,
        labels=labels,
        promote=promote,
        time_column=time_column,
        json_file=json,
    )


@app.command(epilog="Example: monitor run plant.yaml")
def run(
    config: ConfigFile,
    port: Annotated[int | None, typer.Option(help="Overrides serve.port; 0: any free.")] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines as JSON.")] = False,
) -> None:
    """Read, score, alert and serve until stopped (Ctrl-C or SIGTERM hand over in good order)."""
    from monitor import journal, process

    journal.configure(json=log_json)
    process.run(_load(config), port)


@app.command(epilog="Example: monitor replay plant.yaml last-month/ --out found/")
def replay(
    config: ConfigFile,
    recordings: Recordings,
    out: Annotated[Path, typer.Option(help="Folder for scores and alerts.")] = Path("replay"),
    format_: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
    time_column: TimeColumn = None,
    json: JsonFile = None,
) -> None:
    """Run recordings through the same pipeline as live, as fast as it goes."""
    from monitor.offline import replay as work

    work.run(
        _load(config), recordings, out, suffix=format_, time_column=time_column, json_file=json
    )


@app.command(epilog="Example: monitor evaluate plant.yaml runs/ --labels faults.csv")
def evaluate(
    config: ConfigFile,
    recordings: Recordings,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV of sensor,start,end; else the recordings' column 'anomaly'."),
    ] = None,
    time_column: TimeColumn = None,
    json: JsonFile = None,
) -> None:
    """Compare scores and alerts with labels: AUROC, AUPRC, F1, events, delay, false alarms."""
    from monitor.offline import evaluate as work

    work.run(_load(config), recordings, labels, time_column=time_column, json_file=json)


@app.command(epilog="Example: monitor report plant.yaml runs/ --out report.html")
def report(
    config: ConfigFile,
    recordings: Recordings,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV of sensor,start,end; else the column 'anomaly', if there is one."),
    ] = None,
    max_examples: Annotated[
        int, typer.Option(min=1, max=50, help="Windows shown of each kind and model.")
    ] = 6,
    max_timelines: Annotated[
        int, typer.Option(min=0, max=1000, help="Recordings shown over time in each stream.")
    ] = 12,
    projection: Annotated[
        str, typer.Option(help="How embeddings become a plane: pca or tsne.")
    ] = "pca",
    time_column: TimeColumn = None,
    json: JsonFile = None,
) -> None:
    """One HTML file of a run: figures, curves, timelines, examples, what models make of them."""
    from monitor.offline.report import command as work

    work.run(
        _load(config),
        recordings,
        out,
        work.asked(max_examples, max_timelines, projection),
        labels=labels,
        time_column=time_column,
        json_file=json,
    )


@app.command(epilog="Example: monitor models plant.yaml --promote conv_ae:pumps@3=production")
def models(
    config: ConfigFile,
    promote: Annotated[
        str | None, typer.Option(metavar="REF=ALIAS", help="Point an alias at a version.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the model store's versions and aliases, or move an alias."""
    from monitor.offline import models as work

    work.run(_load(config), promote, as_json=json)


@app.command(epilog="Example: monitor generate plant.yaml vae:parts@production --count 64")
def generate(
    config: ConfigFile,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="DETECTOR:NAME@VERSION, or alias.")],
    count: Annotated[int, typer.Option(help="How many examples.")] = 16,
    seed: Annotated[int, typer.Option(help="Other random numbers.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for pictures and npy.")] = Path("generated"),
    json: JsonFile = None,
) -> None:
    """Draw examples from a trained model: what it has learned to be normal, to be looked at."""
    from monitor.offline import generate as work

    work.run(_load(config), model, out, work.Options(count, seed), json)


@app.command(epilog="Example: monitor check plant.yaml")
def check(
    config: ConfigFile,
    connect: Annotated[
        bool, typer.Option(help="Also load the models and reach the brokers.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the effective config.")] = False,
) -> None:
    """Check a configuration and show it with all defaults filled in; secrets stay hidden."""
    import yaml

    settings = _load(config)
    if connect:
        from monitor import process

        process.probe(settings)
    if json:
        print(settings.model_dump_json(by_alias=True, indent=2))
        return
    shown = settings.model_dump(mode="json", by_alias=True)
    print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), end="")
    Console(stderr=True).print(f"[green]{config}: valid[/green]")


@app.command(epilog="Example: monitor hash-password")
def hash_password() -> None:
    """Ask for a password, or read it from standard input: its hash, for serve.login.users."""
    from monitor import passwords

    print(passwords.hash_password(_password()))


@app.command(epilog="Example: monitor demo --seed 7 --json demo.json")
def demo(
    seconds: Annotated[float, typer.Option(help="How long to run; 0: until stopped.")] = 75.0,
    seed: Annotated[int, typer.Option(help="Another fleet and other faults.")] = 1,
    port: Annotated[
        int | None, typer.Option(help="For the page and /metrics; else 9464 or a free one.")
    ] = None,
    json: JsonFile = None,
) -> None:
    """Simulated machines stream through the embedded log; faults are injected and alerted."""
    from monitor import journal
    from monitor.offline import demo as work

    journal.configure(json=False, quiet=True)
    work.run(seconds=seconds, seed=seed, port=port, json_file=json)


@app.command(epilog="Example: monitor bench images --json bench.json")
def bench(
    what: Annotated[
        Literal["windows", "images"], typer.Argument(help="What is scored.")
    ] = "windows",
    seconds: Annotated[float, typer.Option(help="Time for each comparison.")] = 10.0,
    quick: Annotated[bool, typer.Option(help="Smaller and rougher.")] = False,
    json: JsonFile = None,
) -> None:
    """Measure microseconds per window by stage, and against a naive pipeline in the same run; or
    frames per second of the detectors of images.
    """
    if what == "images":
        from monitor.offline.bench import images

        images.run(seconds, json, quick=quick)
    else:
        from monitor.offline import bench as work

        work.run(seconds, json, quick=quick)


@app.command("false-alarms", epilog="Example: monitor false-alarms --figure false-alarms.png")
def false_alarms(
    seeds: Annotated[int, typer.Option(min=1, help="Simulations of each kind.")] = 3,
    samples: Annotated[int, typer.Option(min=1000, help="Windows of each simulation.")] = 1_000_000,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the Numenta Anomaly Benchmark, to be played too.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Write a figure here, as PNG.")] = None,
    json: JsonFile = None,
) -> None:
    """Measure how often thresholds flag what is normal, against the rate that they aim at."""
    from monitor.offline import false_alarms as work

    work.run(work.Options(seeds, samples), data, json, figure)


def main() -> None:
    """The console script: errors that are not bugs become one line and an exit code."""
    # One thread each: processes are how the product scales, and nets are small.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        app(prog_name="monitor")
    except MonitorError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)


def _password() -> str:
    """From the terminal twice, unseen; from a pipe the first line."""
    if sys.stdin.isatty():
        found = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        try:
            found = sys.stdin.buffer.readline(_MOST_PASSWORD + 2).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError("standard input: the password is not UTF-8") from None
    if not _LEAST_PASSWORD <= len(found.encode(errors="replace")) <= _MOST_PASSWORD:
        raise ConfigError(
            f"a password of {len(found)} characters; {_LEAST_PASSWORD} to {_MOST_PASSWORD} bytes "
            "are valid"
        )
    return found


def _load(path: Path) -> Any:
    """The configuration; a detector of the user's own may lie in a file beside it."""
    from monitor.config import load

    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that it hides nothing that is installed
    return load(path)
