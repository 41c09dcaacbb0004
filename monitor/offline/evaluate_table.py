"""Evaluation figures as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
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
    heads = "windows", "anomalous", "AUROC", "AUPRC", "F1 best"
    table = _table(f"{stream}: scores", "file", "detector", *heads)
    table.caption = "F1 best is an oracle: its cut was chosen on these labels"
    for name, part in parts.items():
        for detector, found in (*part.raw.items(), ("fused", part.fused)):
            figures = map(_share, (found.auroc, found.auprc, found.f1_best))
            counts = f"{found.windows:,}", f"{found.anomalous:,}"
            table.add_row(_short(name), detector, *counts, *figures)
        table.add_section()
    return table


def alerting_table(stream: str, parts: Mapping[str, Figures]) -> Table:
    """How well alerts fit events: a row for each file."""
    heads = "recall", "precision", "delay s", "false", "false a day", "in alarm"
    table = _table(f"{stream}: alerts", "file", "events", "found", "alerts", *heads)
    table.caption = "delay: mean; a day: of one sensor; in alarm: share of normal windows"
    for name, part in parts.items():
        own = part.alerts
        if name == "pooled":
            table.add_section()
        table.add_row(
            *(_short(name), str(own.events), str(own.detected), str(own.alerts)),
            *(_share(own.recall), _share(own.precision)),
            *(_number(own.delay_mean), str(own.false_alarms)),
            *(_number(own.false_alarms_per_day), _share(own.in_alarm)),
        )
    return table


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD)
    for head in heads:
        left = head in ("file", "detector")
        table.add_column(head, justify="left" if left else "right", no_wrap=True)
    return table


def _short(name: str) -> str:
    """A file with its folder."""
    return "/".join(Path(name).parts[-2:])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
