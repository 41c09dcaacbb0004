"""The Gaussian of deep features: how far what a net of photographs sees is from the usual.

Rippel, Mertens and Merhof, "Modeling the distribution of normal data in pre-trained deep features
for anomaly detection", ICPR 2020. That features learned from photographs serve spectrograms too is
a finding of Palanisamy, Singhania and Yao, "Rethinking CNN models for audio classification", 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from monitor.detect.classical.mahalanobis import product
from monitor.detect.classical.rows import (
    TRIM,
    Floats,
    RowDetector,
    Shapes,
    nearest,
    standardised,
    stored,
)
from monitor.detect.deep import onnx_backend
from monitor.detect.deep.onnx_graph import Graph
from monitor.detect.deep.torch_base import BACKENDS, Program
from monitor.detect.deep.training import one_thread
from monitor.detect.images.backbone import LEAST_SIDE, Backbone, check_frames, load_backbone
from monitor.detect.images.onnx_pyramid import write_backbone
from monitor.detect.images.pyramid import frames
from monitor.detect.images.weights import USUAL, check_checksum, checksum_state
from monitor.errors import ConfigError, ModelError
from monitor.types import Array, State

BLOCK = 10
CONTRAST = 2.0
BLOCKS = 10  # of time, for what is known about the covariance


class Summary(nn.Module):
    """The mean over all places of the last map of a backbone: `(N, C, H, W) -> (N, width)`."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.backbone(x)[-1].mean((2, 3))
        return found


class DeepGaussian(RowDetector):
    """Scores the Mahalanobis distance of a picture's deep features, by dimension: about 1 where all
    is normal.

    An example is a frame `(C, H, W)`, or a spectrogram `(F, T)` of at least 32 by 32, which is seen
    as a gray picture about its own mean, `contrast` times as strong: how loud the whole is does not
    matter. Features are the mean over all places behind `block` of the `backbone` (see
    `load_backbone`, also for `sha256`).
    It tells scenes and sounds of another kind, where `padim` and `patchcore` tell small faults.
    `trim` is the share of training examples that a second estimate leaves out because the first
    found them farthest away. Raises ConfigError for values that cannot be used.
    """

    view: ClassVar[str] = "window"
    frame_view: ClassVar[str] = "window"

    def __init__(
        self,
        shape: Sequence[int],
        *,
        block: int = BLOCK,
        contrast: float = CONTRAST,
        trim: float = TRIM,
        backbone: str = USUAL,
        sha256: str | None = None,
    ) -> None:
        super().__init__(shape, trim=trim)
        self._picture = _picture(self.shape)
        if isinstance(contrast, bool) or not 0.01 <= contrast <= 100:
            raise ConfigError(f"contrast is {contrast!r}; numbers from 0.01 to 100 are valid")
        self.contrast = np.float32(contrast)
        net = load_backbone(backbone, sha256, blocks=(block,), colours=self._picture[0])
        self.summary = Summary(net)
        self.size = net.widths[-1]

    def compile(self, chunk: int, backend: str = "auto") -> Program:
        """The score, with the backbone on the fastest backend; `chunk` changes nothing, for
        pictures are taken one by one.

        `onnx` needs the extra `fast`; `auto` takes it where it is installed, else `torch`. Raises
        ConfigError for another backend, and for one that is not installed.
        """
        if backend not in BACKENDS:
            raise ConfigError(f"backend is {backend!r}; valid are {', '.join(BACKENDS)}")
        self._trained()
        if backend == "torch" or (backend == "auto" and not onnx_backend.available()):
            return self._program(self._by_torch, "torch")
        heads: onnx_backend.Heads = {Summary: _write_summary}
        summary = onnx_backend.OnnxProgram(self.summary, (1, *self._picture), heads)
        return self._program(summary, "onnx")

    def state(self) -> State:
        """The estimate, and the checksum of the backbone's weights, which are not in it."""
        return {**super().state(), **checksum_state(self.summary.backbone.sha256)}

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit, and where the
        backbone here has other weights than in training.
        """
        check_checksum(state, self.summary.backbone.sha256)
        super().restore({name: array for name, array in state.items() if name != "backbone"})

    def _estimate(self, z: Floats) -> State:
        mean, whitening = _whitening(z)
        distance = (((z - mean) @ whitening) ** 2).sum(axis=1)
        mean, whitening = _whitening(z[np.sort(nearest(distance, self.trim))])
        return stored(mean=mean, whitening=whitening)

    def _scored(self, arrays: State, z: Array) -> Array:
        squares = product(z - arrays["mean"], arrays["whitening"]) ** 2
        distance: Array = np.sqrt(squares.mean(axis=1))
        return distance

    def _shapes(self, state: State) -> Shapes:
        return {"mean": (self.size,), "whitening": (self.size, self.size)}

    def _flat(self, x: Array) -> Array:
        return self._features(x, self._by_torch)

    def _program(self, summary: Callable[[Array], Array], backend: str) -> Program:
        arrays = self._trained()

        def rated(x: Array) -> Array:
            z = standardised(self._features(x, summary), arrays)
            return self._scored(arrays, z)[:, None]

        return Program(rated, backend)

    def _features(self, x: Array, summary: Callable[[Array], Array]) -> Array:
        """Those of each example alone, whatever comes with it: `(N, *shape) -> (N, d)`."""
        if x.shape[1:] != self.shape:
            raise ModelError(f"examples have shape {x.shape[1:]}; valid is {self.shape}")
        found = np.empty((len(x), self.size), np.float32)
        for place, picture in enumerate(frames(self._pictures(x))):
            found[place] = summary(picture)[0]
        return found

    def _pictures(self, x: Array) -> Array:
        """Frames as they are, spectrograms as gray pictures: `(N, *shape) -> (N, C, H, W)`."""
        if len(self.shape) == 3:
            return x
        mean = np.array([row.mean(dtype=np.float64) for row in x]).reshape(-1, 1, 1)
        return np.asarray((x - mean) * self.contrast, np.float32)[:, None]

    def _by_torch(self, picture: Array) -> Array:
        with one_thread(), torch.inference_mode():
            found: Array = self.summary(torch.from_numpy(picture)).numpy()
        return found


def _picture(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """`(C, H, W)` of an example. Raises ConfigError for one that is too small, or no picture."""
    if len(shape) == 2 and min(shape) < LEAST_SIDE:
        raise ConfigError(
            f"shape {shape} is no picture; valid are spectrograms (bands, frames) of at least "
            f"{LEAST_SIDE} by {LEAST_SIDE}, and frames (1 or 3 colours, height, width)"
        )
    return check_frames((1, *shape) if len(shape) == 2 else shape)


def _whitening(z: Floats) -> tuple[Floats, Floats]:
    """Mean and symmetric whitening matrix of features `(N, d)` in the order of time.

    The covariance is mixed with a multiple of the identity as by Ledoit and Wolf (2004), but with
    its error measured between BLOCKS stretches of time: examples that follow each other are alike,
    so they tell less than as many drawn apart (Sancetta, "Sample covariance shrinkage for high
    dimensional dependent data", J. Multivariate Analysis 99, 2008).
    """
    mean = z.mean(axis=0)
    apart = z - mean
    sample = apart.T @ apart / len(z)
    level = float(np.trace(sample)) / len(sample)
    distance = float(((sample - level * np.eye(len(sample))) ** 2).sum())
    parts = np.array_split(apart, BLOCKS)
    error = sum(float(((part.T @ part / len(part) - sample) ** 2).sum()) for part in parts)
    error /= BLOCKS * (BLOCKS - 1)
    share = min(error, distance) / distance if distance > 0 else 0.0
    values, vectors = np.linalg.eigh((1 - share) * sample + share * level * np.eye(len(sample)))
    floor = max(values[-1] * 1e-6, 1e-12)
    whitening: Floats = (vectors / np.sqrt(np.maximum(values, floor))) @ vectors.T
    return mean, whitening


def _write_summary(graph: Graph, summary: Any) -> str:
    return graph.mean(write_backbone(graph, summary.backbone)[-1])
