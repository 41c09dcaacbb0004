"""The part of a report that tells of one stream: figures, curves, histograms, timelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.offline.evaluate import Part, Piece
from monitor.offline.report import separation
from monitor.offline.report.experiments import confusion_table, curve_of, rankings_table, told
from monitor.offline.report.page import Picture, Section, Table
from monitor.offline.report.separation import Confusion
from monitor.offline.report.timeline import draw_timeline

FUSED = "fused"
CLASSES = ((0, "normal"), (-1, "not labelled"), (1, "anomalous"))


def stream_section(name: str, part: Part, pieces: Sequence[Piece]) -> Section:
    """How well scores and alerts of all recordings fit the labels, as `monitor evaluate` has it."""
    labelled = part.unknown < part.windows
    notes = [f"{part.windows:,} windows of {len({p.sensor for p in pieces})} sensors"]
    if not labelled:
        notes.append("Nothing is labelled: there are no figures of how well anomalies are found.")
        return Section(f"Stream {name}", notes, pictures=list(_histograms(pieces)))
    tables = [
        rankings_table({**part.raw, FUSED: part.fused}),
        confusion_table(confusions(pieces)),
        _alerts(part),
    ]
    pictures = [*_curves(pieces), *_histograms(pieces)]
    return Section(f"Stream {name}", notes, tables, pictures)


def timeline_section(pieces: Sequence[Piece], most: int) -> Section:
    """Recordings over time, those first of which there is most to tell."""
    shown = sorted(
        (piece for piece in pieces if piece.detectors and len(piece.ends)),
        key=lambda piece: -len(piece.watch.events) - len(piece.watch.alerts),
    )
    notes = [f"{most} of {len(shown)} recordings"] if len(shown) > most else []
    pictures = [
        Picture(
            draw_timeline(piece),
            f"Scores of {piece.sensor} over time, {len(piece.watch.alerts)} alerts",
            f"{piece.sensor} ({piece.path.name}): {len(piece.watch.alerts)} alerts, "
            f"{len(piece.watch.events)} labelled events",
        )
        for piece in shown[:most]
    ]
    return Section("Scores, thresholds and alerts over time", notes, (), pictures, level=2)


def confusions(pieces: Sequence[Piece]) -> dict[str, Confusion]:
    """Each detector's labelled windows against its threshold, and the fused values against 1."""
    found = {}
    for name, (truth, _, value) in _columns(pieces).items():
        known = truth >= 0
        found[name] = separation.confusion(truth[known] == 1, value[known], 1.0)
    return found


Column = tuple[NDArray[np.int8], NDArray[np.floating], NDArray[np.floating]]


def _columns(pieces: Sequence[Piece]) -> Mapping[str, Column]:
    """Truth, scores and values of each detector, over the recordings that it scored, and fused."""
    found: dict[str, Column] = {}
    for name in dict.fromkeys(d for piece in pieces for d in piece.detectors):
        own = [(piece, piece.detectors.index(name)) for piece in pieces if name in piece.detectors]
        truth = np.concatenate([piece.truth for piece, _ in own])
        raw, value = (
            np.concatenate([getattr(piece, of)[:, place] for piece, place in own])
            for of in ("raw", "value")
        )
        found[name] = truth, raw, value
    fused = np.concatenate([piece.fused for piece in pieces])
    found[FUSED] = np.concatenate([piece.truth for piece in pieces]), fused, fused
    return found


def _curves(pieces: Sequence[Piece]) -> Iterator[Picture]:
    each = [curve_of(name, truth, raw) for name, (truth, raw, _) in _columns(pieces).items()]
    ranked = [curve for curve in each if curve]
    if ranked:
        areas = ", ".join(f"{curve.name} {curve.auroc:.4f}" for curve in ranked)
        told = "ROC and precision-recall curves of the detectors' own scores"
        yield Picture(separation.curves(ranked), f"{told}; areas under ROC: {areas}", told)


def _histograms(pieces: Sequence[Piece]) -> Iterator[Picture]:
    """Scores in units of the threshold of their time, so that one cut, 1, is that of all."""
    columns = _columns(pieces)
    for name, (truth, _, value) in columns.items():
        if name == FUSED and len(columns) == 2:
            continue
        classes = {label: value[truth == of] for of, label in CLASSES if (truth == of).any()}
        if classes:
            said = f"{name}: scores in units of the threshold, by class"
            drawn = separation.histogram(classes, 1.0, ["normal", "not labelled"])
            yield Picture(drawn, said, said)


def _alerts(part: Part) -> Table:
    own = part.alerts
    heads = "", "events", "found", "alerts", "false", "recall", "precision", "mean delay s"
    counts = (f"{n:,}" for n in (own.events, own.detected, own.alerts, own.false_alarms))
    delay = "-" if own.delay_mean is None else f"{own.delay_mean:,.1f}"
    row = "all", *counts, told(own.recall), told(own.precision), delay
    return Table("Alerts against labelled events", heads, [row])
