"""Figures over time: scores of a recording with their thresholds, alerts and labelled events."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from monitor.offline.evaluate import Piece
from monitor.offline.report import canvas
from monitor.offline.report.canvas import names_or_numbers, picture, wide

MOST_POINTS = 2000
_MOST_PANELS = 6

Times = NDArray[np.float64]


def draw_timeline(piece: Piece) -> bytes:
    """A panel for each detector: its scores and the threshold that moved along. Labelled events are
    bands over the whole panel, alerts the strip on top of it.
    """
    count = min(len(piece.detectors), _MOST_PANELS)
    names = names_or_numbers(piece.detectors, "detector")

    def draw(figure: Figure) -> None:
        panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
        for place, axes in enumerate(panels):
            _scores(axes, piece, place)
            axes.set_ylabel(names[place], fontsize=8)
            _events(axes, piece)
        panels[0].legend(ncols=4, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))

    return picture(8.0, 0.5 + 1.5 * count, draw)


def thinned(times: Times, values: NDArray[np.floating]) -> tuple[Times, NDArray[np.floating]]:
    """At most MOST_POINTS of each, the largest value of so many neighbours: no peak is lost."""
    step = -(-len(values) // MOST_POINTS)
    if step <= 1:
        return times, values
    rest = -len(values) % step
    filled = np.concatenate([values, np.full(rest, np.nan)]).reshape(-1, step)
    largest = np.where(np.isnan(filled), -np.inf, filled).max(axis=1)
    return times[::step], np.where(np.isneginf(largest), np.nan, largest)


def _scores(axes: Axes, piece: Piece, place: int) -> None:
    raw = piece.raw[:, place].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        cuts = raw / piece.value[:, place]
    cuts[~np.isfinite(cuts)] = np.nan
    log = wide(raw[np.isfinite(raw)])
    for values, colour, label in ((raw, canvas.NORMAL, "score"), (cuts, canvas.CUT, "threshold")):
        times, shown = thinned(piece.ends, values)
        shown = np.where(shown > 0, shown, np.nan) if log else shown
        axes.plot(_dates(times), shown, color=colour, lw=0.9, label=label)
    if log:
        canvas.logarithmic(axes, along="y")
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _events(axes: Axes, piece: Piece) -> None:
    if not len(piece.ends):
        return
    events = [(event.start, event.end) for event in piece.watch.events]
    last = float(piece.ends[-1])
    alerts = [(alert.opened, min(alert.closed, last)) for alert in piece.watch.alerts]
    for spans, (low, high), colour, alpha, label in (
        (events, (0.0, 1.0), canvas.ANOMALOUS, 0.25, "labelled"),
        (alerts, (0.94, 0.06), canvas.CUT, 0.9, "alert"),
    ):
        if spans:
            bars = [(_date(start), max(_date(end) - _date(start), 1e-6)) for start, end in spans]
            across: Any = axes.get_xaxis_transform()
            axes.broken_barh(
                bars, (low, high), color=colour, alpha=alpha, lw=0, label=label, transform=across
            )


def _dates(times: Times) -> NDArray[np.datetime64]:
    return (times * 1e6).astype("datetime64[us]")


def _date(time: float) -> float:
    """Days since the epoch, which is how matplotlib counts."""
    return time / 86400.0
