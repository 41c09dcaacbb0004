"""What the demo tells: alerts as they come, and how they compare with the faults at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from monitor.types import Alert, Result
from simulators.faults import Fault

AFTERMATH = 20.0  # seconds after a fault in which an alert still is about it


class Story:
    """A sink that prints each step of an alert, and remembers when each was opened."""

    def __init__(self, console: Console, faults: Sequence[Fault]) -> None:
        self.console, self.faults = console, faults
        self.alerts: dict[str, Alert] = {}  # the first step of each
        self.resolved: set[str] = set()
        self.served: bool | None = None
        self.seconds = 0.0
        self.newest = 0.0

    def emit(self, result: Result) -> None:
        for score in result.scores:
            self.newest = max(self.newest, score.time)
        for alert in result.alerts:
            first = self.alerts.setdefault(alert.id, alert)
            if alert.phase == "resolved":
                self.resolved.add(alert.id)
            self._print(alert, again=first is not alert)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def cause(self, alert: Alert) -> Fault | None:
        """The fault that an alert is about, if it is about one."""
        for fault in self.faults:
            about = fault.start <= alert.opened <= fault.end + AFTERMATH
            if about and fault.sensor == alert.sensor:
                return fault
        return None

    def _print(self, alert: Alert, *, again: bool) -> None:
        cause = self.cause(alert)
        about = f"injected: {cause.kind}" if cause else "nothing was injected"
        at = datetime.fromtimestamp(alert.time, UTC).strftime("%H:%M:%S")
        colour = "green" if alert.phase == "resolved" else "red" if cause else "yellow"
        word = "resolved" if alert.phase == "resolved" else "worse" if again else "firing"
        self.console.print(
            f"{at}  [{colour}]{word:<9}[/{colour}] {alert.sensor}  {alert.severity:<8} "
            f"{alert.reason}{_channels(alert)}  ({about})",
            highlight=False,
        )


def summary(story: Story, counts: Counter[tuple[str, ...]]) -> dict[str, Any]:
    """The figures. A fault is alerted if an alert opened while it lasted or just after; other
    alerts are false. Faults that the time was too short for do not count.
    """
    injected = [fault for fault in story.faults if fault.start < story.newest]
    opened: dict[Fault, float] = {}
    false = []
    for alert in sorted(story.alerts.values(), key=lambda alert: alert.opened):
        cause = story.cause(alert)
        if cause is None:
            false.append(alert)
        else:
            opened.setdefault(cause, alert.opened)
    delays = sorted(at - fault.start for fault, at in opened.items())
    windows = sum(n for key, n in counts.items() if key[0::2] == ("windows_processed", "scored"))
    return {
        "windows": windows,
        "windows_per_second": round(windows / max(story.seconds, 1e-9), 1),
        "faults_injected": len(injected),
        "faults_alerted": sum(fault in opened for fault in injected),
        "false_alarms": len(false),
        "detection_delay_seconds": round(delays[len(delays) // 2], 2) if delays else None,
        "alerts": len(story.alerts),
        "alerts_resolved": len(story.resolved),
        "served": bool(story.served),
        "seconds": round(story.seconds, 1),
        "missed": [f"{fault.kind} on {fault.sensor}" for fault in injected if fault not in opened],
    }


def table(found: Mapping[str, Any]) -> Table:
    """The figures for people."""
    shown = Table("", "", title="What happened", show_header=False)
    words = {
        "windows": "windows scored",
        "windows_per_second": "windows/s (the machines set the pace)",
        "faults_injected": "faults injected",
        "faults_alerted": "faults alerted",
        "false_alarms": "false alarms",
        "detection_delay_seconds": "detection delay, median (s of machine time)",
        "alerts_resolved": "alerts resolved",
        "served": "page and /metrics were up",
    }
    for key, word in words.items():
        shown.add_row(word, _plain(found[key]))
    if found["missed"]:
        shown.add_row("missed", ", ".join(found["missed"]))
    return shown


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "-"}[value]
    return f"{value:,}"


def _channels(alert: Alert) -> str:
    """The two that weigh most."""
    most = sorted(alert.channels.items(), key=lambda item: -item[1])[:2]
    return f"; {', '.join(f'{name} {share:.0%}' for name, share in most)}" if most else ""
