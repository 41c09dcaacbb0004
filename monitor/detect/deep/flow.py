"""Normalising flow: what is improbable under a density that was bent to the data is unusual.

Affine couplings after Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", ICLR
2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from monitor.detect.classical.mahalanobis import Mahalanobis
from monitor.detect.deep.coupling import Coupling, Flow, halves
from monitor.detect.deep.dense import check_dense, check_sides
from monitor.detect.deep.health import health, in_pieces, spread_at_start, thinned
from monitor.detect.deep.sizes import shrink_to
from monitor.detect.deep.torch_base import PartsDetector, channel_shares
from monitor.detect.deep.training import (
    Examples,
    Loss,
    Training,
    examples,
    one_thread,
    seeded,
    split,
    train,
    whole_number,
)
from monitor.types import Array

_MARGIN = 0.1
_MOST_PIXELS = 1024


class NormalisingFlow(PartsDetector):
    """Scores the negative log likelihood of an example by dimension, less a lower bound of it and
    in units of what is left on normal examples: about 1 for a normal one.

    The bound lies a tenth of the distance to the median below the smallest value of the training
    examples; what is likelier than that scores 0. The flow begins as the whitening of the
    Mahalanobis distance (robust scaling and shrunk covariance), and `steps` couplings of `hidden`
    numbers bend that where the data are not normally distributed. A frame is shrunk to at most
    1,024 numbers: `fastflow` sees more of it. The rest are fields of `Training`. Raises
    ConfigError for values that cannot be used.
    """

    view: ClassVar[str] = "level"
    net: Flow

    def __init__(
        self,
        shape: Sequence[int],
        *,
        steps: int = 4,
        hidden: int = 64,
        learning_rate: float = 1e-3,
        **training: Any,
    ) -> None:
        super().__init__(check_sides(shape))
        self.shrink = shrink_to(self.shape, _MOST_PIXELS)
        self.size = math.prod(self.shrink.shape(self.shape))
        whole_number("steps", steps, 1, 64)
        whole_number("hidden", hidden, 1, 4096)
        check_dense((self.size, max(self.size, 3 * hidden * steps), 1))
        self.steps, self.hidden = steps, hidden
        self.training = Training(learning_rate=learning_rate, **training)
        self.net = self._flow().eval()

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn the density of `(N, *shape)`; labelled anomalies are left out.

        Raises ModelError for too few or unusable examples, and where the flow collapsed.
        """
        data = examples(x, y, self.shape)
        data = Examples(data.x[data.y <= 0], data.y[data.y <= 0])
        flow = self._flow()
        small = self.shrink(split(data)[0].x)
        _whiten(flow, Mahalanobis(small.shape[1:]), small)
        with one_thread(), torch.no_grad():
            z = in_pieces(flow.standard, data.x)
            start = spread_at_start(thinned(z))
        white = Examples(z, data.y)
        self.metrics = train(flow, _surprise, white, self.training, progress=self.show_progress)
        with one_thread(), torch.no_grad():
            _bound(flow.eval(), z, split(white)[1].x)
            ended = in_pieces(lambda rows: flow.normal(rows)[0], thinned(z))
            scores = in_pieces(flow, thinned(data.x)).sum(1)
        self.metrics |= health("the flow", ended, start, scores)
        self.net, self.ready = flow, True

    def contributions(self, x: Array) -> Array:
        """The share of each channel in the squared distance from the middle of the density:
        `(N, *shape) -> (N, C)`.
        """
        scores = self.score(x)
        with one_thread(), torch.inference_mode():
            rows = torch.from_numpy(np.ascontiguousarray(x, np.float32))
            ended, _ = self.net.normal(self.net.standard(rows))
            squares = ended.square().reshape(len(x), self.shape[0], -1).sum(2).numpy()
        return channel_shares(np.where(scores[:, None] > 0, squares, 0).astype(np.float32))

    def _flow(self) -> Flow:
        with seeded(self.training.seed):
            kept = halves(self.size, self.steps, self.training.seed)
            return Flow(self.size, [Coupling(half, self.hidden) for half in kept], self.shrink)


@torch.no_grad()
def _whiten(flow: Flow, distance: Mahalanobis, x: Tensor) -> None:
    """The scaling and whitening of the Mahalanobis distance; both stay as they are."""
    distance.fit(x.numpy())
    arrays = {name: torch.from_numpy(value) for name, value in distance.state().items()}
    flow.centre.copy_(arrays["median"])
    flow.inverse.copy_(1 / arrays["scale"])
    flow.first.weight.copy_(arrays["whitening"].T)
    flow.first.bias.copy_(-(arrays["mean"] @ arrays["whitening"]))
    for parameter in flow.first.parameters():
        parameter.requires_grad_(False)


def _surprise(net: nn.Module, data: Examples) -> Loss:
    """Examples are whitened already."""
    assert isinstance(net, Flow)
    return Loss(net.surprise(data.x).mean(1), torch.zeros(()))


def _bound(flow: Flow, z: Tensor, held_out: Tensor) -> None:
    """From where on the likelihood counts, and in which unit."""
    surprise = in_pieces(lambda rows: flow.surprise(rows).mean(1), z)
    usual = in_pieces(lambda rows: flow.surprise(rows).mean(1), held_out).median()
    least = surprise.min()
    least -= _MARGIN * (usual - least).clamp(min=1e-3)
    flow.least.fill_(float(least))
    flow.weight.fill_(1 / max(float(usual - least), 1e-3))
