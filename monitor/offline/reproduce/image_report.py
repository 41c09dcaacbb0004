"""What an experiment on images looks like: histograms, curves, examples as they were rebuilt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from monitor.model import Model
from monitor.offline import report
from monitor.offline.reproduce.image_sets import ImageSet
from monitor.offline.reproduce.image_trials import Outcome, constants, rows
from monitor.types import Array

_SHOWN = 6


class Done(NamedTuple):
    """Its outcome; and examples as they were rebuilt, where these are to be shown."""

    outcome: Outcome
    shots: Sequence[report.Shot]


def examples(model: Model, images: ImageSet, outcome: Outcome) -> list[report.Shot]:
    """Some images of each class with what the net made of them, in pixels of 0 to 255."""
    found = []
    for name in sorted(set(images.classes)):
        places = np.flatnonzero(np.array(images.classes) == name)[:_SHOWN]
        x = images.judged[places].astype(np.float32)
        centre, scale = model.group[:, None, :, None, None]
        rebuilt = model.detector.rebuild((x - centre) / scale) * scale + centre  # type: ignore[attr-defined]
        heat = model.heat_maps(rows(images.judged[places]), constants(model, len(places)))
        for n, place in enumerate(places.tolist()):
            own: Array | None = None if heat is None else heat[n]
            score = float(outcome.scores[place])
            found.append(report.Shot(x[n], score, name, rebuilt[n].clip(0, 255), own, outcome.cut))
    return found


def write_report(path: Path, title: str, images: ImageSet, done: Sequence[Done]) -> None:
    """The first seed of each detector: histogram, curves, examples rebuilt."""
    sections = []
    for outcome, shots in done:
        if outcome.trial.seed:
            continue
        classes = np.array(images.classes)
        scores = {name: outcome.scores[classes == name] for name in sorted(set(images.classes))}
        sections.append(
            report.experiment(
                outcome.trial.detector, scores, outcome.cut, normal=images.normal, rows=shots
            )
        )
    report.write(path, report.Page(title, sections))
