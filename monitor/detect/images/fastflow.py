"""FastFlow: a density of features that knows what is around each place of a frame.

Yu, Zheng, Wang, Li, Wu, Zhao and Wu, "FastFlow: unsupervised anomaly detection and localization via
2D normalizing flows", 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monitor.detect.classical.crosswise import whole
from monitor.detect.classical.mahalanobis import whitening_of
from monitor.detect.classical.rows import need_positive
from monitor.detect.deep.health import health, in_pieces, spread_at_start, thinned
from monitor.detect.deep.training import Examples, Loss, Training, one_thread, seeded, split, train
from monitor.detect.images.patch_detector import MOST, PatchDetector, pyramid_of
from monitor.detect.images.plane_flow import PlaneFlow, plane_flow
from monitor.types import Array, State

_PATCHES = 20_000
_LEAST_UNIT = 1e-3


class FastFlow(PatchDetector):
    """Scores the most improbable places of a frame: the mean over the `top` highest of the negative
    log likelihood of a patch, less the least of the training frames, about 1 where all is normal.

    Features of patches are whitened together, and `steps` couplings bend their density; every
    other one looks at the neighbours (3 x 3), so a patch is judged by what is around it: that
    finds features which are normal, but not here. Frames need not show parts at the same place.
    `hidden` are the channels inside a coupling; `most` and `seed` see `PatchDetector`; `backbone`,
    `sha256` and `blocks` see `load_backbone`; `epochs`, `batch`, `learning_rate` and `patience`
    are fields of `Training`. Raises ConfigError for values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        dimensions: int = 128,
        steps: int = 6,
        hidden: int = 32,
        top: int = 3,
        most: int = MOST,
        seed: int = 0,
        **others: Any,
    ) -> None:
        plan = {name: others.pop(name) for name in _PLAN if name in others}
        pyramid = pyramid_of(shape, whole("dimensions", dimensions, 2), seed, **others)
        super().__init__(shape, pyramid=pyramid, trim=0.0, most=most, seed=seed)
        self.training = Training(seed=seed, **{**_PLAN, **plan})
        self.steps, self.hidden = whole("steps", steps, 1), whole("hidden", hidden, 1)
        self.top = whole("top", top, 1)
        self.show_progress = False
        self.metrics: dict[str, float] = {}
        self.flow = self._flow().eval()

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError as `PatchDetector` does."""
        super().restore(state)
        self.flow.load_state_dict({k: torch.from_numpy(v) for k, v in self._arrays.items()})

    def _learn(self, features: Array) -> State:
        """Raises ModelError where the flow collapsed."""
        flow, maps = self._flow(), self._maps(features)
        _whiten(flow, features)
        with one_thread(), torch.no_grad():
            z = in_pieces(flow.standard, maps)
            start = spread_at_start(thinned(_rows(z)))
        data = Examples(z, torch.full((len(z),), -1.0))
        self.metrics = train(flow, _surprise, data, self.training, progress=self.show_progress)
        with one_thread(), torch.no_grad():
            ended = in_pieces(lambda rows: flow.normal(rows)[0], z)
            self._bound(flow.eval(), data)
            scores = torch.tensor([self._highest(one) for one in in_pieces(flow, maps).numpy()])
        self.metrics |= health("the flow", thinned(_rows(ended)), start, scores)
        self.flow = flow
        return {name: tensor.numpy().copy() for name, tensor in flow.state_dict().items()}

    def _rated(self, features: Array) -> tuple[Array, np.float32]:
        with one_thread(), torch.inference_mode():
            found: Array = self.flow(self._maps(features[None])).numpy()[0]
        return found.ravel(), self._highest(found)

    def _highest(self, found: Array) -> np.float32:
        """The score of a frame whose places `(rows, columns)` are so improbable."""
        ascending = np.sort(self._smoothed(found.ravel()), axis=None)
        return np.float32(ascending[-self.top :].mean())

    def _bound(self, flow: PlaneFlow, data: Examples) -> None:
        """From where on the likelihood counts, and in which unit."""
        surprise = in_pieces(flow.surprise, data.x)
        held_out = in_pieces(flow.surprise, split(data)[1].x).numpy()
        least = float(surprise.min())
        usual = float(np.median([self._highest(one) for one in held_out]))
        flow.least.fill_(least)
        flow.weight.fill_(1 / max(usual - least, _LEAST_UNIT))

    def _maps(self, features: Array) -> Tensor:
        """Patches of frames on their grid: `(N, P, d) -> (N, d, rows, columns)`."""
        grid = features.transpose(0, 2, 1).reshape(len(features), -1, *self.grid)
        return torch.from_numpy(np.ascontiguousarray(grid))

    def _flow(self) -> PlaneFlow:
        with seeded(self.seed):
            return plane_flow(self.pyramid.dimensions, self.steps, self.hidden, self.seed)

    def _shapes(self, state: State) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self.flow.state_dict().items()}

    def _check(self, arrays: State) -> None:
        need_positive(arrays, "weight")


_PLAN: dict[str, Any] = {"epochs": 10, "batch": 8, "learning_rate": 3e-3, "patience": 4}


@torch.no_grad()
def _whiten(flow: PlaneFlow, features: Array) -> None:
    """Mean and whitening of the patches of all frames `(N, P, d)`; both stay as they are."""
    rows = features.reshape(-1, features.shape[2])
    mean, whitening = whitening_of(rows[:: -(-len(rows) // _PATCHES)].astype(np.float64))
    flow.centre.copy_(torch.from_numpy(mean)[:, None, None])
    flow.first.weight.copy_(torch.from_numpy(whitening.T.copy())[:, :, None, None])


def _rows(z: Tensor) -> Tensor:
    """The features of all places as rows: `(N, d, rows, columns) -> (N * P, d)`."""
    return z.flatten(2).transpose(1, 2).flatten(0, 1)


def _surprise(net: nn.Module, data: Examples) -> Loss:
    """Features are whitened already."""
    assert isinstance(net, PlaneFlow)
    return Loss(net.surprise(data.x).mean((1, 2)), torch.zeros(()))
