"""Where figures are drawn: matplotlib without a window, to PNG that suits light and dark pages."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

INK = "#808080"  # readable on white and on black
NORMAL, ANOMALOUS, UNKNOWN, CUT = "#3b8fd4", "#e06010", "#909090", "#d02050"
SERIES = ("#3b8fd4", "#e06010", "#22a06b", "#b05cc8", "#c09a00", "#3fb3c4", "#a0522d", "#d06090")
DPI = 110
_STYLE: Any = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=SERIES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "savefig.facecolor": "none",
    "text.color": INK,
    "text.parse_math": False,  # a `$` in a name is one
    "xtick.color": INK,
    "ytick.color": INK,
}


def picture(
    width: float,
    height: float,
    draw: Callable[[Figure], None],
    *,
    layout: Literal["constrained"] | None = "constrained",
) -> bytes:
    """What `draw` puts on a figure of so many inches, as PNG; the same bytes for the same data.

    Without a `layout`, `draw` has to make room for titles and labels.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(figure)
        draw(figure)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def shown(name: str) -> bool:
    """Whether a figure's font surely has all letters of a name."""
    return name.isascii() and name.isprintable()


def names_or_numbers(names: Sequence[str], what: str) -> list[str]:
    """The names as a figure can show them: numbered where the font may lack their letters."""
    if all(map(shown, names)):
        return [name if len(name) <= 24 else f"{name[:23]}~" for name in names]
    return [f"{what} {number}" for number in range(1, len(names) + 1)]


def wide(values: NDArray[np.floating]) -> bool:
    """Whether values at least 0 span so much that only a logarithm shows them all."""
    above = values[values > 0]
    return len(above) > 0 and float(above.max()) > 50 * max(float(np.median(above)), 1e-12)


def logarithmic(axes: Axes, *, along: Literal["x", "y"]) -> None:
    """A logarithmic scale with numbers at its ticks as a reader would write them."""
    axes.set(**{f"{along}scale": "log"})
    axis = axes.xaxis if along == "x" else axes.yaxis
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def bare(axes: Axes) -> None:
    """No ticks, no frame: for pictures."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
