"""Evaluation figures as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from rich.box import SIMPLE_HEAD
from rich.table import Table

from monitor.offline.measures import Alerting, Ranking


class Figures(Protocol):
    """What is shown of a file, or of all together."""

    @property
    def raw(self) -> Mapping[str, Ranking]: ...

    @property
    def fused(self) -> Ranking: ...

    @property
    def alerts(self) -> Alerting: ...


def ranking_table(stream: str, parts: Mapping[str, Figures]) -> Table:
    """How well scores rank windows: a row for each file and detector, and for the fused score."""
    heads = "windows", "anomalous", "AUROC", "AUPRC", "VUS-PR", "F1 best"
    table = _table(f"{stream}: scores", "file", "detector", *heads)
    table.caption = "F1 best is an oracle: its cut was chosen on these labels" + _sure(parts)
    shown = _short(parts)
    for name, part in parts.items():
        for detector, found in (*part.raw.items(), ("fused", part.fused)):
            figures = map(_share, (found.auroc, found.auprc, found.vus_pr, found.f1_best))
            counts = f"{found.windows:,}", f"{found.anomalous:,}"
            table.add_row(shown[name], detector, *counts, *figures)
        table.add_section()
    return table


def alerting_table(stream: str, parts: Mapping[str, Figures]) -> Table:
    """How well alerts fit events: a row for each file."""
    heads = "events", "recall", "precision", "mean delay s", "false", "a day", "in alarm"
    table = _table(f"{stream}: alerts", "file", *heads)
    table.caption = "a day: false alarms by sensor; in alarm: share of normal windows"
    shown = _short(parts)
    for name, part in parts.items():
        own = part.alerts
        if name == "pooled":
            table.add_section()
        found = f"{own.detected} of {own.events}"
        shares = _share(own.recall), _share(own.precision)
        false = str(own.false_alarms), _number(own.false_alarms_per_day)
        row = found, *shares, _number(own.delay_mean), *false, _share(own.in_alarm)
        table.add_row(shown[name], *row)
    return table


def _table(title: str, *heads: str) -> Table:
    """80 columns are enough, unless names are long."""
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for head in heads:
        if head in ("file", "detector"):
            table.add_column(head, overflow="fold")
        else:
            table.add_column(head, justify="right", no_wrap=True)
    return table


def _sure(parts: Mapping[str, Figures]) -> str:
    """How sure the AUROC of all files together is."""
    pooled = parts["pooled"].fused if "pooled" in parts else None
    if pooled is None or pooled.auroc_low is None:
        return ""
    return (
        f"; pooled AUROC, fused: {_share(pooled.auroc_low)} to {_share(pooled.auroc_high)} (95 %)"
    )


def _short(names: Iterable[str]) -> dict[str, str]:
    """Files by their names, with their folders where two have the same name."""
    paths = {name: Path(name) for name in names}
    alone = len({path.name for path in paths.values()}) == len(paths)
    return {name: "/".join(path.parts[-1 if alone else -2 :]) for name, path in paths.items()}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
