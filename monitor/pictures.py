"""Pictures of what an alert was raised for: a frame or a sound beside its heat map, as PNG bytes.

Small (at most MOST pixels wide and high), quick enough for a live page, and the same bytes for the
same arrays. Pillow is always there: matplotlib, from which the colours are, needs it too.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from monitor.errors import ModelError
from monitor.types import Array, Evidence

MOST = 640
Pixels = NDArray[np.uint8]

_GAP, _BAR, _LABELS = 6, 12, 52
_PANEL = ((MOST - 2 * _GAP - _BAR - _LABELS) // 2, MOST)
_SOUND = (_PANEL[0], 200)  # a spectrogram is stretched to this
_PAPER, _INK, _CONTOUR = (255, 255, 255), (40, 40, 40), (0, 255, 255)
_STRONGEST = 0.85  # how far the hottest place hides what is below it
_FONT = 11
_NOTHING = float(np.finfo(np.float32).tiny)


def png(evidence: Evidence) -> bytes:
    """The picture of an alert's evidence: `overlay` of a frame, `spectrogram` of a sound."""
    draw = spectrogram if evidence.kind == "sound" else overlay
    return draw(evidence.example, evidence.heat)


def overlay(example: Array, heat: Array, cut: float | None = None) -> bytes:
    """A frame `(C, H, W)` in 0 to 255, and beside it the same in gray below its heat map `(H, W)`,
    with the scale of the heat; places over `cut` are outlined.

    Raises ModelError where frame and heat map do not fit.
    """
    _check(example, heat, colours=(1, 3))
    frame = np.clip(np.nan_to_num(example), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    picture = np.repeat(frame, 3 // len(example), axis=2)
    size = _fitting(heat.shape)
    return _encoded(_beside(_resized(picture, size), _Heat.of(heat, cut), size))


def spectrogram(example: Array, heat: Array, cut: float | None = None) -> bytes:
    """A spectrogram `(1, F, T)` in dB and its heat map `(F, T)`, as `overlay` has them: time from
    left to right, the lowest band at the bottom.

    Raises ModelError where they do not fit.
    """
    _check(example, heat, colours=(1,))
    level = _unit(np.nan_to_num(example[0])[::-1])
    picture = _coloured(level, "viridis")
    return _encoded(_beside(_resized(picture, _SOUND), _Heat.of(heat[::-1], cut), _SOUND))


class _Heat(NamedTuple):
    """A heat map, where its colours end, and the cut that is outlined in it."""

    values: Array
    top: float
    cut: float | None

    @classmethod
    def of(cls, heat: Array, cut: float | None) -> _Heat:
        values = np.maximum(np.nan_to_num(heat, posinf=float(np.finfo(np.float32).max)), 0)
        return cls(values.astype(np.float32), max(float(values.max()), cut or 0.0), cut)


def _check(example: Array, heat: Array, colours: tuple[int, ...]) -> None:
    fits = example.ndim == 3 and example.shape[1:] == heat.shape and example.shape[0] in colours
    if not fits or not heat.size:
        raise ModelError(
            f"example {example.shape} and heat map {heat.shape} do not fit; valid are "
            f"(C, rows, columns), with C {' or '.join(map(str, colours))}, and (rows, columns)"
        )


def _fitting(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height of a panel: small frames grow by a whole number, so that pixels show."""
    rows, columns = shape
    ratio = min(_PANEL[0] / columns, _PANEL[1] / rows)
    ratio = float(int(ratio)) if ratio >= 1 else ratio
    return max(1, round(columns * ratio)), max(1, round(rows * ratio))


def _resized(picture: Pixels, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture))
    smaller = image.width > size[0] or image.height > size[1]
    return image.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.NEAREST)


def _beside(picture: Image.Image, heat: _Heat, size: tuple[int, int]) -> Image.Image:
    """The picture, the heat map over it, and the scale of its colours."""
    width, height = size
    whole = Image.new(
        "RGB", (2 * width + 2 * _GAP + _BAR + _LABELS, max(height, 3 * _FONT)), _PAPER
    )
    whole.paste(picture, (0, 0))
    whole.paste(_heated(picture, heat), (width + _GAP, 0))
    _scale(whole, heat, 2 * (width + _GAP), height)
    return whole


def _heated(picture: Image.Image, heat: _Heat) -> Image.Image:
    """The heat in colours over the picture in gray; the hotter a place, the less gray is seen."""
    values = np.asarray(
        Image.fromarray(heat.values).resize(picture.size, Image.Resampling.BILINEAR)
    )
    share = values / heat.top if heat.top > _NOTHING else np.zeros_like(values)
    below = np.asarray(picture.convert("L"), np.float32)[..., None]
    alpha = _STRONGEST * np.sqrt(np.clip(share, 0, 1))[..., None]
    mixed = (1 - alpha) * below + alpha * _coloured(share, "inferno")
    if heat.cut is not None:
        mixed[_edges(values > heat.cut)] = _CONTOUR
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def _edges(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the neighbour to the right or below is on the other side."""
    edges = np.zeros_like(inside)
    edges[:-1] |= inside[:-1] != inside[1:]
    edges[:, :-1] |= inside[:, :-1] != inside[:, 1:]
    return edges


def _scale(whole: Image.Image, heat: _Heat, left: int, height: int) -> None:
    """The colours from 0 at the bottom to the hottest place at the top, and where the cut lies."""
    high = max(height, 3 * _FONT)
    shades = np.repeat(np.linspace(1, 0, high, dtype=np.float32)[:, None], _BAR, axis=1)
    whole.paste(Image.fromarray(_coloured(shades, "inferno")), (left, 0))
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(_FONT)
    text = left + _BAR + 4
    draw.text((text, 0), f"{heat.top:.3g}", _INK, font, anchor="lt")
    draw.text((text, high - 1), "0", _INK, font, anchor="lb")
    if heat.cut is not None and heat.top > 0:
        at = round((1 - heat.cut / heat.top) * (high - 1))
        draw.line([(left, at), (left + _BAR - 1, at)], _CONTOUR)
        if 1.5 * _FONT < at < high - 1.5 * _FONT:  # else it would hide what stands there
            draw.text((text, at), f"cut {heat.cut:.3g}", _INK, font, anchor="lm")


def _coloured(share: NDArray[np.floating], name: str) -> Pixels:
    """Values in 0 to 1 `(rows, columns)` as colours `(rows, columns, 3)`."""
    colours: Pixels = mpl.colormaps[name](share, bytes=True)[..., :3]
    return colours


def _unit(values: Array) -> NDArray[np.floating]:
    """Stretched over 0 to 1; all 0 where they are all the same."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
