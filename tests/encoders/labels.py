"""`python -m tests.encoders.labels`: what ten labelled anomalies of one kind are worth.

On the simulated machines of `sets.py`: each kind of fault is labelled in turn, and found again, as
are the kinds that nobody labelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from monitor.detect import build
from monitor.detect.seeded_faults import found_by
from monitor.features import seen
from monitor.types import Array
from tests.encoders.sets import Case, machines

LABELS = 10
NET = {"encoder": "patch", "epochs": 10}
USES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "deep_svdd, no labels": ("deep_svdd", "statistics", NET),
    "mahalanobis, no labels": ("mahalanobis", "statistics", {}),
    "deep_sad": ("deep_sad", "statistics", NET),
    "deep_sad, eta 10": ("deep_sad", "statistics", {**NET, "eta": 10}),
    "deep_sad, of the window": ("deep_sad", "window", NET),
    "deviation": ("deviation", "statistics", {}),
}


def areas(case: Case, use: str) -> Iterator[tuple[bool, float]]:
    """AUROC of each kind after each kind was labelled, and whether the two are the same."""
    name, view, params = USES[use]
    for labelled, faulty in case.faulty.items():
        known = faulty[: len(faulty) // 2 : len(faulty) // (2 * LABELS)][:LABELS]
        x = case.train if "no labels" in use else np.concatenate([case.train, known])
        y = np.repeat(np.array([-1, 1], np.float32), [len(case.train), len(x) - len(case.train)])
        shown = seen(view, x)
        detector = build(name, shown.shape[1:], **params)
        detector.fit(shown, y)
        normal = detector.score(seen(view, case.normal))
        for kind, rows in case.faulty.items():
            scores: Array = detector.score(seen(view, rows[len(rows) // 2 + 4 :]))
            yield kind == labelled, found_by(normal, scores)


def main() -> None:
    """Print the table."""
    shown = Table("detector", "the labelled kind", "worst", "other kinds", title="AUROC")
    cases = list(machines())
    for use in USES:
        found = [pair for case in cases for pair in areas(case, use)]
        same = [area for is_same, area in found if is_same]
        other = [area for is_same, area in found if not is_same]
        shown.add_row(use, *(f"{value:.3f}" for value in (mean(same), min(same), mean(other))))
    Console(width=100).print(shown)


if __name__ == "__main__":
    main()
