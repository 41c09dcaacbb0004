"""The model store as a table, and its aliases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from monitor.connect.store import Entry, ModelStore
from monitor.errors import ConfigError
from monitor.notation import reference
from monitor.settings import Config


def run(config: Config, promote: str | None, *, as_json: bool) -> None:
    """The command: move an alias if asked to, then list every version."""
    store = ModelStore(config.models)
    if promote:
        _promote(store, promote)
    entries = store.list()
    if as_json:
        print(json.dumps([_plain(entry) for entry in entries], indent=2))
    else:
        Console().print(_table(entries, str(config.models)))


def _promote(store: ModelStore, wish: str) -> None:
    """`conv_ae:pumps@3=production`; ConfigError where it is of another form."""
    text, _, alias = wish.partition("=")
    try:
        wanted = reference(text)
    except ValueError as error:
        raise ConfigError(f"--promote {wish!r}: {error}") from error
    if not alias or not wanted.model:
        raise ConfigError(f"--promote {wish!r}: write it as conv_ae:NAME@VERSION=ALIAS")
    store.point(wanted, alias)


def _plain(entry: Entry) -> dict[str, object]:
    """All but the calibration, which is 256 numbers."""
    found = asdict(entry.manifest) | {"aliases": list(entry.aliases)}
    del found["calibration"]
    return found


def _table(entries: Sequence[Entry], place: str) -> Table:
    table = Table(title=f"Models in {place}", box=SIMPLE_HEAD, show_edge=False)
    table.caption = None if entries else "none yet; train some: monitor train CONFIG RECORDINGS"
    table.add_column("model", no_wrap=True)
    table.add_column("aliases", overflow="fold")
    table.add_column("trained (UTC)")
    table.add_column("windows", overflow="fold")
    table.add_column("sensors", justify="right")
    for manifest, aliases in entries:
        trained = datetime.fromtimestamp(manifest.trained_at, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(
            f"{manifest.detector.rpartition(':')[2]}:{manifest.name}@{manifest.version}",
            ", ".join(aliases) or "-",
            trained,
            f"{len(manifest.channels)} x {manifest.shape[1]} at {manifest.rate:g} Hz",
            str(len(manifest.sensors)),
        )
    return table
