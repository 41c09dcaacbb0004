"""The run to compare with: one process that nothing happens to reads the same records."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.members import Member
from tests.kafka.processes import wait_for, write_config

_IGNORED = ("late", "duplicate")


class Undisturbed:
    """A member of a group of its own; `ignored` is what it says about records without results."""

    def __init__(self, config: dict[str, Any], file: Path) -> None:
        self.member = Member(
            write_config(file, {**config, "serve": {"port": 0}}), file.with_suffix(".log"), None
        )

    def ignored(self, records: int) -> Counter[tuple[str, str]]:
        """Samples by stream and outcome, once so many records are in its figures."""
        read = f"{records} records in the figures of the undisturbed run"
        wait_for(read, lambda: self._page() and self._sum("monitor_messages_total") == records)
        found: Counter[tuple[str, str]] = Counter()
        for labels, value in self._metric("monitor_samples_total"):
            if labels["outcome"] in _IGNORED and value:
                found[labels["stream"], labels["outcome"]] = round(value)
        return found

    def _sum(self, name: str) -> float:
        return sum(value for _, value in self._metric(name))

    def _metric(self, name: str) -> list[tuple[dict[str, str], float]]:
        with urllib.request.urlopen(f"{self._page()}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return [(sample.labels, sample.value) for sample in samples if sample.name == name]

    def _page(self) -> str:
        assert self.member.status is None, f"the undisturbed run ended: {self.member.last_words}"
        lines = (json.loads(x) for x in self.member.log.read_text().splitlines() if x[:1] == "{")
        return next((str(line["page"]) for line in lines if line["event"] == "serving"), "")
