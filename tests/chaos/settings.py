"""The configurations of a trial's processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.chaos.feed import CHANNELS, RATE, SILENCE, STEP

Delivery = Literal["at_least_once", "exactly_once"]
DELIVERIES: tuple[Delivery, ...] = ("at_least_once", "exactly_once")
OUTPUTS = ("scores", "alerts", "dead_letters")
SESSION = 3.0


@dataclass(frozen=True)
class Topics:
    """The topics of a trial: what is read, and what a run of it writes."""

    name: str

    def read(self, stream: str) -> str:
        return f"{self.name}.{stream}"

    def written(self, run: str, output: str) -> str:
        return f"{self.name}.{run}.{output}"


@dataclass(frozen=True)
class Place:
    """Where a trial takes place: its folder, the log's addresses and its topics.

    `detector` is what scores the windows besides the online forest.
    """

    folder: Path
    bootstrap: tuple[str, ...]
    topics: Topics
    delivery: Delivery
    detector: str

    def config(self, run: str, changes: Mapping[str, Any], **kafka: Any) -> dict[str, Any]:
        """For a process of a run, `chaos` or `undisturbed`, which also names its group.

        `changes` go over the configuration, section by section; None takes a setting away.
        """
        topics = {output: self.topics.written(run, output) for output in OUTPUTS}
        made: dict[str, Any] = {
            "source": {"kafka": self._kafka(run, kafka)},
            "models": str(self.folder / "models"),
            "commit_every": "0.3s",
            "snapshots": {"directory": str(self.folder / f"{run}-state"), "every": "2s"},
            "scoring": {"backend": "torch"},
            "streams": {name: self._stream(name) for name in ("windows", "samples")},
            "sinks": [{"kafka": topics}],
            "serve": None,
        }
        if self.delivery == "exactly_once":
            made |= {"delivery": "exactly_once", "transaction_timeout": "5s"}
        return _over(made, changes)

    def _kafka(self, run: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        made = {"bootstrap": list(self.bootstrap), "group": f"{self.topics.name}.{run}"}
        return {**made, "session_timeout": f"{SESSION:g}s", "max_poll_records": 200, **changes}

    def _stream(self, name: str) -> dict[str, Any]:
        window: dict[str, Any] = {"length": STEP, "rate": RATE, "channels": list(CHANNELS)}
        if name == "windows":
            window |= {"input": "windows"}
        else:
            window |= {"length": 2 * STEP, "hop": STEP, "lateness": STEP}
        forest = {"detector": "online_iforest", "params": {"trees": 8, "window": 128, "leaf": 8}}
        return {
            "topics": [self.topics.read(name)],
            "window": window,
            "models": [{"use": [self._trained(), forest] if name == "windows" else [forest]}],
            "warm_up": 20,
            "threshold": {"quantile": 0.98, "window": 128, "warm_up": 40, "margin": 1.1},
            "alert": {"raise": "2 of 4", "clear": "3 below 0.95", "silence": SILENCE},
        }

    def _trained(self) -> dict[str, Any]:
        small = {"epochs": 2, "widths": [8], "latent": 8} if self.detector == "conv_ae" else {}
        return {"detector": f"{self.detector}:chaos@production", "params": small}


def _over(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and key in merged:
            merged[key] = _over(merged[key], value)
        else:
            merged[key] = value
    return merged
