"""`monitor report`: what a run and its models look like, as one HTML file with figures.

Other commands make reports of their experiments with `experiment`, `Page` and `write`:

    section = report.experiment(
        "dense_ae", {"1": ones, "9": nines}, cut, normal=["1"],
        rows=[Shot(frame, score, "9", rebuilt, heat, cut), ...],
    )
    report.write(path, Page("MNIST, 1 against 9", [section]))
"""

from __future__ import annotations

from monitor.offline.report.experiments import experiment
from monitor.offline.report.page import Page, Picture, Section, Table, write
from monitor.offline.report.rows import Kind, Shot

__all__ = ["Kind", "Page", "Picture", "Section", "Shot", "Table", "experiment", "write"]
