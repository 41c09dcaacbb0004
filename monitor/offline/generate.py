"""Examples that a model makes up: what it has learned to be normal, to be looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from monitor.connect.store import ModelStore
from monitor.detect import view_of
from monitor.errors import ConfigError
from monitor.features import WHOLE
from monitor.features.scaling import unscale
from monitor.model import Model
from monitor.notation import Reference, reference
from monitor.offline.figures import write_figures
from monitor.offline.report.canvas import bare, names_or_numbers, picture
from monitor.protocols import Generator
from monitor.settings import Config
from monitor.types import Array

MOST = 10_000
ARRAY, SHEET = "examples.npy", "sheet.png"
_SHOWN = 64  # in the sheet
_COLUMNS = 8
_GAP = 2
_PAPER = 128
_INCHES = (1.6, 1.1)
_LEGEND = 8  # channels that a legend can name


class Options(NamedTuple):
    """How many examples to draw, and from which random numbers."""

    number: int = 16
    seed: int = 0


def run(config: Config, model: str, out: Path, options: Options, json_file: Path | None) -> None:
    """The command: draw examples from a model of the store, and write them, and a picture of it."""
    wanted = _wanted(model)
    loaded = ModelStore(config.models).load(wanted)
    made = generated(loaded, options)
    files = write(loaded, made, out)
    manifest = loaded.manifest
    label = f"{loaded.label}:{manifest.name}@{manifest.version}"
    Console().print(f"{len(made)} examples of {label} in {out}: {', '.join(_told(files))}")
    if json_file is not None:
        figures = {
            "model": label,
            "count": len(made),
            "seed": options.seed,
            "shape": list(made.shape[1:]),
            "channels": list(manifest.channels),
            "files": [str(out / name) for name in files],
        }
        write_figures(json_file, figures)


def generated(model: Model, options: Options) -> Array:
    """Examples in the units of what was sent: frames `(count, C, H, W)` of 0 to 255, windows or
    spectrograms `(count, C, T)`, with the constants of all sensors of the training together.

    Raises ConfigError for a model that cannot make any, and for a count that is not valid.
    """
    manifest, detector = model.manifest, model.detector
    if not isinstance(detector, Generator):
        raise ConfigError(
            f"{model.label} cannot generate examples; valid are models of conv_ae, dense_ae, vae, "
            "gan, or of a class with the method `generate`"
        )
    frames = "frame" in manifest.front
    view = view_of(manifest.detector, manifest.params, frames=frames)
    if view != WHOLE:
        raise ConfigError(
            f"{model.label} {manifest.name!r} sees the view {view!r}, of which no example can be "
            f"made again; valid is a model with the view {WHOLE!r}"
        )
    if not 1 <= options.number <= MOST or not 0 <= options.seed < 2**32:
        raise ConfigError(
            f"count is {options.number}, seed {options.seed}; 1 to {MOST} examples, and seeds from "
            "0 to 4294967295, are valid"
        )
    drawn = detector.generate(options.number, options.seed)
    flat = drawn.reshape(len(drawn), manifest.shape[0], -1)
    made = unscale(flat, np.repeat(model.group[None], len(drawn), axis=0))
    return np.clip(made, 0, 255).reshape(drawn.shape) if frames else made.reshape(drawn.shape)


def write(model: Model, made: Array, out: Path) -> list[str]:
    """The examples as an array, a sheet of the first 64 of them, and each frame as a PNG of its
    own; returns the names. Raises ConfigError where the folder cannot be written.
    """
    front = model.manifest.front
    sheet = _sheet(made[:_SHOWN]) if "frame" in front else _curves(model, made[:_SHOWN])
    try:
        out.mkdir(parents=True, exist_ok=True)
        np.save(out / ARRAY, made)
        (out / SHEET).write_bytes(sheet)
        names = [ARRAY, SHEET]
        for place, frame in enumerate(made if "frame" in front else ()):
            names.append(f"frame-{place:0{len(str(len(made) - 1))}d}.png")
            (out / names[-1]).write_bytes(_png(_image(frame)))
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror or error}") from error
    return names


def _wanted(text: str) -> Reference:
    try:
        found = reference(text)
    except ValueError as error:
        raise ConfigError(f"model {text!r}: {error}") from error
    if not found.model:
        raise ConfigError(f"model {text!r}: write it as DETECTOR:NAME@VERSION, such as vae:parts@2")
    return found


def _told(files: Sequence[str]) -> list[str]:
    """File names for people: of many frames the first and the last."""
    rest = list(files[2:])
    return [*files[:2], *(rest if len(rest) < 3 else [f"{rest[0]} to {rest[-1]}"])]


def _image(frame: Array) -> Image.Image:
    """A frame `(C, H, W)` of 1 or 3 colours."""
    pixels: NDArray[np.uint8] = np.rint(frame).astype(np.uint8)
    if len(pixels) == 3:
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return Image.fromarray(np.ascontiguousarray(pixels[0]))


def _sheet(made: Array) -> bytes:
    """Frames side by side, 8 in a row."""
    height, width = made.shape[2] + _GAP, made.shape[3] + _GAP
    columns = min(len(made), _COLUMNS)
    size = columns * width + _GAP, -(-len(made) // columns) * height + _GAP
    whole = Image.new("RGB", size, (_PAPER,) * 3)
    for place, frame in enumerate(made):
        row, column = divmod(place, columns)
        whole.paste(_image(frame), (column * width + _GAP, row * height + _GAP))
    return _png(whole)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _curves(model: Model, made: Array) -> bytes:
    """Windows as lines, a colour for each channel, or spectrograms as pictures; on one scale."""
    columns = min(len(made), _COLUMNS)
    rows = -(-len(made) // columns)
    sounds = "mel" in model.manifest.front
    names = names_or_numbers(model.manifest.channels, "channel")

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for place, axes in enumerate(grid.ravel()):
            if place >= len(made):
                bare(axes)
            elif sounds:
                axes.imshow(made[place], aspect="auto", origin="lower", clim=_range(made))
                bare(axes)
            else:
                axes.plot(made[place].T, linewidth=0.8)
        if not sounds and len(names) <= _LEGEND:
            figure.legend(grid[0, 0].get_lines(), names, ncols=len(names), loc="outside upper left")

    return picture(_INCHES[0] * columns + 0.4, _INCHES[1] * rows + 0.5, draw)


def _range(made: Array) -> tuple[float, float]:
    return float(made.min()), float(made.max())
