"""A recording of normal operation -> a configuration to begin with."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from monitor.config import parse
from monitor.connect.recording.reading import SUFFIXES
from monitor.errors import ConfigError
from monitor.offline.figures import write_figures
from monitor.offline.suggest import THRESHOLD, Suggestion, suggest

_MOST_FILES = 16


def run(
    paths: Sequence[Path],
    out: Path,
    *,
    name: str | None = None,
    channels: Sequence[str] = (),
    time_column: str | None = None,
    force: bool = False,
    json_file: Path | None = None,
) -> None:
    """The command: look at recordings, write the file, and say what comes next.

    Raises ConfigError for recordings that cannot be used, and where the file is there already.
    """
    if out.exists() and not force:
        raise ConfigError(f"{out}: is there already; name another file, or give --force")
    files = _files(paths)
    found = suggest(files[:_MOST_FILES], channels, time_column)
    text = configuration(found, name or _name_of(paths[0]))
    parse(text, str(out))
    out.write_text(text, encoding="utf-8")
    if json_file:
        write_figures(json_file, asdict(found))
    told = " ".join(map(str, paths))
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[green]{out}[/green]: {told_suggestion(found)}")
    console.print(f"next: monitor train {out} {told}")
    console.print(f"then: monitor evaluate {out} RECORDINGS, or monitor run {out}")


def configuration(found: Suggestion, name: str) -> str:
    """The YAML text for a stream of this name."""
    channels = ", ".join(_quoted(channel) for channel in found.channels)
    length, hop = _seconds(found.samples / found.rate), _seconds(found.hop / found.rate)
    threshold = ", ".join(f"{key}: {value}" for key, value in THRESHOLD.items())
    seconds = max(found.samples / found.rate, 1.0)
    return f"""\
# Suggested by `monitor init` from a recording; `monitor check FILE` shows every other setting.
source:
  kafka: {{bootstrap: [127.0.0.1:9092], group: monitor}}
models: models
streams:
  {name}:
    topics: [{name}.samples]
    # {told_suggestion(found)}
    window: {{length: {length}, hop: {hop}, rate: {found.rate:.12g}, channels: [{channels}]}}
    models:
      - match: "*"
        use: ["ensemble:{name}@production"]
    threshold: {{{threshold}}}   # as many false alarms as asked for, whatever drifts
    alert:
      silence: {_seconds(10 * seconds)}
      # budget: 2 per week   # alerts of a sensor where nothing is wrong; thresholds follow
sinks: [log]
"""


def told_suggestion(found: Suggestion) -> str:
    """One line about what was found."""
    many = f"{len(found.channels)} channels at {found.rate:.6g} Hz"
    why = "no oscillation stands out"
    if found.period:
        why = f"most channels repeat every {found.period / found.rate:.3g} s"
    return f"{many}; {why}, so windows have {found.samples} samples"


def _files(paths: Sequence[Path]) -> list[Path]:
    """Tables among what is named; arrays without column names suggest nothing."""
    tables = [suffix for suffix in SUFFIXES if suffix != ".npy"]
    found = [
        file
        for path in paths
        for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
        if not path.is_dir() or file.suffix.lower() in tables
    ]
    if not found:
        raise ConfigError(
            f"{', '.join(map(str, paths))}: holds no recording to look at; valid endings: "
            f"{', '.join(tables)}"
        )
    return found


def _name_of(path: Path) -> str:
    """The stream is called as the file or folder, in letters that a topic may have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", path.resolve().stem).strip("-_") or "machines"


def _quoted(channel: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", channel)
    yaml_word = channel.lower() in ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
    return channel if plain and not yaml_word else json.dumps(channel, ensure_ascii=False)


def _seconds(value: float) -> str:
    return f"{value:.12g}s"
