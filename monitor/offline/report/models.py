"""The part of a report that tells of a trained model: how it learned, what it makes of windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.connect.recording.reading import Recording
from monitor.features.scaling import unscale
from monitor.model import Model
from monitor.offline.evaluate import Piece
from monitor.offline.report.examples import Place, Rows, chosen, cut, evenly, rows_of
from monitor.offline.report.experiments import examples_picture
from monitor.offline.report.page import Picture, Section, Table
from monitor.offline.report.rows import Kind, Shot, draw_gallery
from monitor.offline.report.training import Projection, draw_losses, draw_scatter, projected
from monitor.protocols import Embedder, Generator
from monitor.settings import StreamConfig
from monitor.types import Array
from monitor.windowing import CameraConfig, SoundConfig, Window

GENERATED = 16
FEWEST_POINTS = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """How much of each model is shown: `examples` windows of each kind, and on which plane."""

    examples: int = 6
    projection: Projection = "pca"
    timelines: int = 12


@dataclass(frozen=True, slots=True)
class Played:
    """One stream as it was replayed: its settings, what was recorded, and what came of it."""

    stream: StreamConfig
    recordings: Sequence[Recording]
    pieces: Sequence[Piece]


def kind_of(window: Window) -> Kind:
    """What an example of a stream is to the eye."""
    if isinstance(window, CameraConfig):
        return "frame"
    return "sound" if isinstance(window, SoundConfig) else "window"


def model_section(model: Model, sensors: set[str], played: Played, asked: Asked) -> Section:
    """All that there is to see of one model, with the windows of the sensors that it scored."""
    rows = rows_of(played.pieces, model.label, sensors)
    window = played.stream.window
    kinds = list(chosen(rows, asked.examples, window.samples / window.rate))
    none = np.empty(0, np.int64)
    spread = rows.take(none)
    if isinstance(model.detector, Embedder):
        spread = evenly(rows, 4 * int(np.prod(model.shape)))
    wanted = [*(own for _, own in kinds), spread]
    places = {place for each in wanted for place in each.places(window.rate)}
    made = Made(model, window, cut(played.recordings, played.stream, places))
    pictures = [*_losses(model), *_examples(made, kinds), *_scatter(made, spread, asked.projection)]
    manifest = model.manifest
    title = f"{model.label}: {manifest.name}, version {manifest.version}"
    return Section(title, (), [_figures(model)], [*pictures, *_generated(made)], level=2)


@dataclass(frozen=True, slots=True)
class Made:
    """A model and the windows that it is shown."""

    model: Model
    window: Window
    windows: Mapping[Place, Array]

    def given(self, rows: Rows) -> tuple[Rows, Array, Array] | None:
        """Those rows of which there are windows, with windows `(N, C, T)` and constants `(N, 2,
        C)`; None where there are none.
        """
        places = rows.places(self.window.rate)
        kept = [row for row, place in enumerate(places) if place in self.windows]
        if not kept:
            return None
        own = [self.model.constants(places[row][0]) for row in kept]
        constants = np.stack([self.model.group if each is None else each for each in own])
        x = np.stack([self.windows[places[row]] for row in kept])
        return rows.take(np.array(kept)), x, constants

    def seen(self, example: Array) -> Array:
        """`(C, T)` as it is drawn: `(C, H, W)` of a frame."""
        frame = isinstance(self.window, CameraConfig)
        return example.reshape(-1, *self.window.front["frame"]) if frame else example


def _figures(model: Model) -> Table:
    """What the training told."""
    rows = [(name, f"{value:,.6g}") for name, value in sorted(model.manifest.metrics.items())]
    return Table("Training", ("", "figure"), rows)


def _losses(model: Model) -> Iterator[Picture]:
    history = model.manifest.history
    if history:
        alt = f"Loss by epoch, {len(history[-1].training)} epochs"
        yield Picture(draw_losses(history), alt, "Loss in training, by epoch")


def _examples(made: Made, kinds: Sequence[tuple[str, Rows]]) -> Iterator[Picture]:
    for kind, rows in kinds:
        shots = _shots(made, rows)
        if shots:
            caption = f"{kind[0].upper()}{kind[1:]} (over the threshold: red)"
            yield examples_picture(shots, kind_of(made.window), caption)


def _shots(made: Made, rows: Rows) -> list[Shot]:
    """The examples with what the model makes of them."""
    given = made.given(rows)
    if given is None:
        return []
    kept, x, constants = given
    rebuilt, heat = made.model.rebuilt(x, constants), made.model.heat_maps(x, constants)
    return [
        Shot(
            made.seen(x[place]),
            float(kept.raw[place]),
            str(kept.sensor[place]),
            None if rebuilt is None else made.seen(rebuilt[place]),
            None if heat is None else heat[place],
            float(kept.raw[place] / max(kept.value[place], 1e-30)),
        )
        for place in range(len(x))
    ]


def _scatter(made: Made, rows: Rows, how: Projection) -> Iterator[Picture]:
    given = made.given(rows)
    if given is None or len(given[1]) < FEWEST_POINTS:
        return
    kept, x, constants = given
    embedded = made.model.embedded(x, constants)
    if embedded is not None:
        drawn = draw_scatter(projected(embedded, how), kept.truth)
        named = "two widest directions" if how == "pca" else "t-SNE"
        told = f"Where the model puts windows: {named} of {embedded.shape[1]} dimensions"
        yield Picture(drawn, f"{told}, {len(x)} points", told)


def _generated(made: Made) -> Iterator[Picture]:
    """Examples that the model makes up."""
    model = made.model
    detector = model.detector
    if not isinstance(detector, Generator) or np.prod(detector.shape) != np.prod(model.shape):
        return
    scaled = detector.generate(GENERATED, 0).reshape(GENERATED, *model.shape)
    x = unscale(scaled, np.repeat(model.group[None], GENERATED, axis=0))
    drawn = draw_gallery(np.stack([made.seen(each) for each in x]), kind_of(made.window))
    yield Picture(drawn, f"{GENERATED} generated examples", "Made by the model from random latents")
