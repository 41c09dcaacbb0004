"""Figures of examples: what was seen, what a model made of it, the difference, where it is hot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from monitor.offline.report import canvas
from monitor.offline.report.canvas import bare, picture
from monitor.types import Array

Kind = Literal["frame", "sound", "window"]
MOST_LINES = 6
_INCH = 1.25


class Shot(NamedTuple):
    """One example in its own units: a frame `(C, H, W)` in 0 to 255, a spectrogram `(F, T)` in dB
    or a window `(C, T)`; `rebuilt` is of the same shape, `heat` `(H, W)`, `(F, T)` or `(C, T)`.

    `label` stands above it, with the score; over the `cut` it is shown in red.
    """

    example: Array
    score: float
    label: str = ""
    rebuilt: Array | None = None
    heat: Array | None = None
    cut: float | None = None


def draw_rows(shots: Sequence[Shot], kind: Kind) -> bytes:
    """A column for each example; below it, where there are any: rebuilt, difference, heat map.

    Differences of all have one scale, and so have heat maps: that of the largest shown.
    """
    lines = kind == "window"
    rows = _rows_of(shots)
    wide, high = (2.1, 1.1) if lines else (_INCH, _INCH * _aspect(shots[0].example, kind))

    def draw(figure: Figure) -> None:
        _lay_out(figure, lines=lines)
        grid = figure.subplots(len(rows), len(shots), squeeze=False)
        tops = {row: _top(shots, row) for row in rows}
        for place, shot in enumerate(shots):
            for row, axes in zip(rows, grid[:, place], strict=True):
                values = _values(shot, row)
                if values is None:
                    bare(axes)
                elif lines:
                    _lines(axes, shot, row, tops[row])
                elif row == "heat":
                    _heat(axes, shot, kind, tops[row])
                else:
                    _image(axes, values, kind, row, tops[row])
                if place == 0:
                    axes.set_ylabel(row, fontsize=8)
            _title(grid[0, place], shot)

    width = max(len(shots) * wide, 2 * _INCH) + 0.5
    return picture(width, len(rows) * high + 0.45, draw, layout=None)


def draw_gallery(examples: Array, kind: Kind) -> bytes:
    """Examples `(N, ...)` beside each other, eight in a row."""
    columns = min(8, len(examples))
    rows = -(-len(examples) // columns)

    def draw(figure: Figure) -> None:
        for axes in figure.subplots(rows, columns, squeeze=False).flat:
            bare(axes)
        for axes, example in zip(figure.axes, examples, strict=False):
            if kind == "window":
                axes.plot(example[:MOST_LINES].T, lw=0.7)
            else:
                _image(axes, example, kind, "seen", 0.0)

    high = _INCH * (0.7 if kind == "window" else _aspect(examples[0], kind))
    return picture(columns * _INCH, rows * high + 0.1, draw)


def _lay_out(figure: Figure, *, lines: bool) -> None:
    """Room for titles and labels, by hand: to find it out takes longer than all the drawing."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=0.45 / width,
        right=1 - 0.05 / width,
        bottom=0.05 / height,
        top=1 - 0.4 / height,
        wspace=0.3 if lines else 0.06,
        hspace=0.15 if lines else 0.06,
    )


def _rows_of(shots: Sequence[Shot]) -> list[str]:
    rebuilt = any(shot.rebuilt is not None for shot in shots)
    heat = any(shot.heat is not None for shot in shots)
    return ["seen", *(["rebuilt", "difference"] if rebuilt else []), *(["heat"] if heat else [])]


def _values(shot: Shot, row: str) -> Array | None:
    if row == "seen":
        return shot.example
    if row == "heat":
        return shot.heat
    if shot.rebuilt is None:
        return None
    return shot.rebuilt if row == "rebuilt" else np.abs(shot.rebuilt - shot.example)


def _top(shots: Sequence[Shot], row: str) -> float:
    found = [_values(shot, row) for shot in shots]
    tops = [float(np.nanmax(v)) for v in found if v is not None and np.isfinite(v).any()]
    return max(tops, default=0.0) or 1.0


def _image(axes: Axes, values: Array, kind: Kind, row: str, top: float) -> None:
    bare(axes)
    aspect: Literal["auto", "equal"] = "auto" if kind == "sound" else "equal"
    origin: Literal["lower", "upper"] = "lower" if kind == "sound" else "upper"
    if row == "difference":
        flat = values.mean(axis=0) if values.ndim == 3 else values
        axes.imshow(flat, "inferno", vmin=0, vmax=top, aspect=aspect, origin=origin)
    elif kind == "sound":
        axes.imshow(values, "viridis", aspect=aspect, origin=origin)
    else:
        axes.imshow(_pixels(values))


def _heat(axes: Axes, shot: Shot, kind: Kind, top: float) -> None:
    """The heat over the example in gray; the hotter a place, the less gray is seen."""
    assert shot.heat is not None
    bare(axes)
    aspect: Literal["auto", "equal"] = "auto" if kind == "sound" else "equal"
    origin: Literal["lower", "upper"] = "lower" if kind == "sound" else "upper"
    below = shot.example.mean(axis=0) if shot.example.ndim == 3 else shot.example
    axes.imshow(below, "gray", aspect=aspect, origin=origin)
    alpha = 0.85 * np.sqrt(np.clip(np.nan_to_num(shot.heat) / top, 0, 1))
    axes.imshow(shot.heat, "inferno", alpha=alpha, vmin=0, vmax=top, aspect=aspect, origin=origin)


def _pixels(frame: Array) -> NDArray[np.uint8]:
    """`(C, H, W) -> (H, W, 3)`."""
    whole = np.clip(np.nan_to_num(frame), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(whole, 3 // whole.shape[2], axis=2) if whole.shape[2] in (1, 3) else whole


def _lines(axes: Axes, shot: Shot, row: str, top: float) -> None:
    values = _values(shot, row)
    assert values is not None
    if row == "heat":
        bare(axes)
        axes.imshow(values, "inferno", vmin=0, vmax=top, aspect="auto", interpolation="nearest")
        return
    axes.plot(values[:MOST_LINES].T, lw=0.8)
    if row == "difference":
        axes.set_ylim(0, top)
    else:
        both = [v for v in (shot.example, shot.rebuilt) if v is not None]
        finite = np.concatenate([v[:MOST_LINES].ravel() for v in both])
        finite = finite[np.isfinite(finite)]
        if len(finite):
            low, high = float(finite.min()), float(finite.max())
            axes.set_ylim(low - 0.05 * (high - low) - 1e-9, high + 0.05 * (high - low) + 1e-9)
    axes.tick_params(labelsize=6)
    axes.set_xticks([])


def _title(axes: Axes, shot: Shot) -> None:
    label = shot.label[:24] if canvas.shown(shot.label) else ""
    over = shot.cut is not None and shot.score > shot.cut
    colour = canvas.CUT if over else canvas.INK
    axes.set_title(f"{label}\n{shot.score:.3g}".strip(), color=colour, fontsize=8)


def _aspect(example: Array, kind: Kind) -> float:
    return 1.0 if kind == "sound" else min(max(example.shape[1] / example.shape[2], 0.4), 2.5)
