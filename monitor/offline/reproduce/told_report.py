"""The scores of a benchmark as figures in one HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from monitor.offline import report
from monitor.offline.reproduce.scores import Told

NORMAL, ANOMALOUS = "normal", "anomalous"


def write_told(path: Path, title: str, told: Iterable[Told], cuts: Mapping[str, float]) -> None:
    """A section for each detector that `cuts` names: histogram, curves and confusion at the cut of
    all items together whose label and score are known.

    Raises ConfigError where the file cannot be written.
    """
    parts: dict[str, list[Told]] = {name: [] for name in cuts}
    for each in told:
        if each.detector in parts:
            parts[each.detector].append(each)
    sections = []
    for name, found in parts.items():
        labels = np.concatenate([each.labels for each in found])
        scores = np.concatenate([np.asarray(each.scores, np.float64) for each in found])
        known = np.isfinite(scores)
        classes = {
            label: scores[known & (labels == number)]
            for number, label in enumerate((NORMAL, ANOMALOUS))
        }
        sections.append(report.experiment(name, classes, cuts[name], normal=[NORMAL]))
    report.write(path, report.Page(title, sections))
