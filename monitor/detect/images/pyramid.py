"""Features of the patches of a frame: two depths of a backbone on one grid, in few dimensions.

Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022, section 3.1, with
the random orthogonal projection of Kim et al., "Semi-orthogonal embedding for efficient
unsupervised anomaly segmentation", 2021. Pooling, enlarging and projecting are all linear: each
map is projected before it is enlarged, which gives the same and costs less.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate

from monitor.detect.classical.rows import checked, need_positive
from monitor.detect.deep.training import one_thread
from monitor.detect.images.backbone import Backbone
from monitor.errors import ConfigError
from monitor.types import Array, State

NEIGHBOURS = 3
_CLIP = 10.0  # frames are within -1 to 1; anything else is as strange at ten times that
_LEAST_SCALE = 1e-6


class Pyramid(nn.Module):
    """Frames `(N, C, H, W)` -> features `(N, dimensions, rows, columns)` on the grid of the first
    of the backbone's maps.

    Each map is the mean of 3 x 3 neighbours, and divided by its spread over the training frames, so
    that no depth counts more only because its numbers are larger. Raises ConfigError for more
    dimensions than the maps have.
    """

    def __init__(self, backbone: Backbone, dimensions: int, seed: int) -> None:
        super().__init__()
        self.backbone = backbone
        size = sum(backbone.widths)
        if dimensions > size:
            raise ConfigError(
                f"dimensions is {dimensions}; blocks {list(backbone.blocks)} have {size} features, "
                f"so whole numbers from 1 to {size} are valid"
            )
        self.dimensions = dimensions
        self._axes = orthogonal(size, dimensions, seed)
        self._spreads = np.ones(len(backbone.widths), np.float32)
        self.projections = [torch.empty(0)] * len(backbone.widths)
        self._project()

    def grid(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches of frames of these sides."""
        rows, columns = (-(-side // self.backbone.strides[0]) for side in sides)
        return rows, columns

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor | None = None
        for found, projection in zip(self.backbone(x), self.projections, strict=True):
            small = conv2d(self.pooled(found), projection)
            if total is None:
                total = small
            else:
                total = total + interpolate(small, total.shape[2:], mode="bilinear")
        assert total is not None  # a backbone has at least one block
        return total

    def features(self, x: Array) -> Array:
        """Those of each frame alone, whatever comes with it: `(N, C, H, W) -> (N, P, dimensions)`,
        patches row after row.
        """
        rows, columns = self.grid((x.shape[2], x.shape[3]))
        found = np.empty((len(x), rows * columns, self.dimensions), np.float32)
        with one_thread(), torch.inference_mode():
            for place, frame in enumerate(frames(x)):
                found[place] = patches(self(torch.from_numpy(frame)).numpy())
        return found

    def fit(self, x: Array) -> None:
        """Measure the spread of each map over frames `(N, C, H, W)`."""
        squares = np.zeros(len(self._spreads))
        with one_thread(), torch.inference_mode():
            for frame in frames(x):
                maps = self.backbone(torch.from_numpy(frame))
                squares += [float(self.pooled(m).var(dim=(2, 3)).mean()) for m in maps]
        spreads = np.sqrt(squares / len(x))
        self._spreads = np.maximum(spreads, _LEAST_SCALE).astype(np.float32)
        self._project()

    def state(self) -> State:
        """Axes of the projection, and the spread of each map."""
        return {"axes": self._axes.copy(), "spreads": self._spreads.copy()}

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit."""
        shapes = {"axes": self._axes.shape, "spreads": self._spreads.shape}
        arrays = checked(state, shapes)
        need_positive(arrays, "spreads")
        self._axes, self._spreads = arrays["axes"], arrays["spreads"]
        self._project()

    @staticmethod
    def pooled(found: Tensor) -> Tensor:
        """The mean of each place and those around it, inside the map."""
        return avg_pool2d(found, NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False)

    def _project(self) -> None:
        """The part of the projection that each map has, as weights of a 1 x 1 convolution."""
        ends = np.cumsum(self.backbone.widths)[:-1]
        parts = zip(np.split(self._axes, ends), self._spreads, strict=True)
        self.projections = [
            torch.from_numpy(np.ascontiguousarray((part / spread).T))[:, :, None, None]
            for part, spread in parts
        ]


def frames(x: Array) -> Iterator[Array]:
    """One frame `(1, C, H, W)` after the other, clipped."""
    for place in range(len(x)):
        yield np.clip(x[place : place + 1], -_CLIP, _CLIP).astype(np.float32)


def patches(found: Array) -> Array:
    """The features of one frame as rows: `(1, d, rows, columns) -> (P, d)`."""
    return np.ascontiguousarray(found[0].reshape(found.shape[1], -1).T)


def orthogonal(size: int, dimensions: int, seed: int) -> Array:
    """Random orthogonal directions `(size, dimensions)`, lengths kept on average."""
    drawn = np.random.default_rng(seed).standard_normal((size, dimensions))
    axes, triangle = np.linalg.qr(drawn)
    axes *= np.sign(np.diag(triangle)) * np.sqrt(size / dimensions)
    return axes.astype(np.float32)
