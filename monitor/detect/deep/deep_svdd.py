"""Deep SVDD: normal examples are pulled to one point, what stays away from it is unusual.

Ruff et al., "Deep one-class classification", ICML 2018; with labelled anomalies the term of Ruff
et al., "Deep semi-supervised anomaly detection", ICLR 2020, which pushes them away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from monitor.detect.classical.mahalanobis import whitening_of
from monitor.detect.deep.encoders import encoder_kind
from monitor.detect.deep.health import health, in_pieces, spread_at_start, thinned
from monitor.detect.deep.nets import Distance, folded
from monitor.detect.deep.sizes import usual_training
from monitor.detect.deep.torch_base import NetDetector
from monitor.detect.deep.training import (
    Examples,
    Loss,
    Objective,
    examples,
    seeded,
    train,
)
from monitor.types import Array

_LEAST_CENTRE = 0.1
_KEPT_SPREAD = 0.3


class DeepSVDD(NetDetector):
    """Scores the squared distance of an example's embedding from where normal ones lie.

    The net has no biases, no bounded activations and no learned normalisation, and a hinge
    keeps a part of the spread that each dimension had at the start, so that mapping everything
    to the centre does not pay. The distance is measured in units of the spread that is left in
    each direction (whitened, and divided by the dimensions: about 1 for a normal example), since
    the directions that training pressed together tell most. `widths` are the channels of the
    encoder's stages (16 and 32 for windows, by their size for frames), `latent` is the size of the
    embedding, `encoder` is one of ENCODERS; the rest are fields of `Training`. Raises ConfigError
    for values that cannot be used.
    """

    uses_labels: ClassVar[bool] = True
    called = "Deep SVDD"
    eta = 1.0
    net: Distance

    def __init__(
        self,
        shape: Sequence[int],
        *,
        widths: Sequence[int] | None = None,
        latent: int = 64,
        encoder: str = "conv",
        learning_rate: float = 5e-4,
        **training: Any,
    ) -> None:
        super().__init__(shape, widths, latent)
        self.kind = encoder_kind(encoder)
        self.training = usual_training(self.shape, training, learning_rate=learning_rate)
        self.net = Distance(folded(self._encoder()), latent)

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from `(N, *shape)`, labels as in `Trainable`.

        Raises ModelError for too few or unusable examples, and where the embedding collapsed.
        """
        data = examples(x, y, self.shape)
        net = self._encoder()
        start = _settled_embedding(net, data.x[data.y <= 0])
        centre, spread = _away_from_zero(start.mean(0)), spread_at_start(start)
        objective = _around(centre, spread.clamp(min=float(spread.max()) * 1e-3), self.eta)
        self.metrics = train(net, objective, data, self.training, progress=self.show_progress)
        embedding = in_pieces(net.eval(), data.x[data.y <= 0])
        head = _whitened(net, embedding)
        scores = in_pieces(head, thinned(data.x[data.y <= 0])).sum(1)
        self.metrics |= health(self.called, embedding, spread, scores)
        self.net, self.ready = head, True

    def embed(self, x: Array) -> Array:
        """Where the net puts examples: `(N, *shape) -> (N, latent)`."""
        return self._through(self.net.net, x)

    def _encoder(self) -> nn.Sequential:
        with seeded(self.training.seed):
            return self.kind.encoder(self.shape, self.widths, self.latent)


def _around(centre: Tensor, spread: Tensor, eta: float) -> Objective:
    """Squared distances in units of the spread at the start, with the hinge against collapse.

    What is labelled counts `eta` times: known anomalies with the inverse of their distance.
    """

    def objective(net: nn.Module, data: Examples) -> Loss:
        embedding = net(data.x)
        distances = ((embedding - centre) / spread).square().mean(1)
        normal, anomalies = distances[data.y <= 0], distances[data.y > 0]
        sure = distances[data.y == 0].sum() * (eta - 1)
        rest = (sure + eta * (1 / (anomalies + 1e-3)).sum()) / len(distances)
        if len(normal) > 1:
            kept = embedding[data.y <= 0].std(0) / spread
            rest = rest + torch.relu(_KEPT_SPREAD - kept).mean()
        return Loss(normal, rest)

    return objective


@torch.no_grad()
def _settled_embedding(net: nn.Sequential, x: Tensor) -> Tensor:
    """Embeddings of the untrained net, once its normalisation has averaged over all examples."""
    norms = [layer for layer in net if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    momentum = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None
    net.train()
    for rows in x.tensor_split(-(-len(x) // 256)):
        net(rows)
    for norm, value in zip(norms, momentum, strict=True):
        norm.momentum = value
    return in_pieces(net.eval(), x)


@torch.no_grad()
def _whitened(net: nn.Sequential, embedding: Tensor) -> Distance:
    """The inference form, with the whitening multiplied into the last layer."""
    mean, whitening = whitening_of(embedding.double().numpy())
    matrix = torch.from_numpy(whitening.astype("float32"))
    head = Distance(folded(net), embedding.shape[1])
    weight = head.net[-1].get_parameter("weight")
    weight.copy_(matrix @ weight)
    head.centre.copy_(matrix @ torch.from_numpy(mean.astype("float32")))
    head.weight.fill_(1 / embedding.shape[1])
    return head


def _away_from_zero(centre: Tensor) -> Tensor:
    """A centre at 0 could be reached by weights of 0 (Ruff et al. 2018): move it off, both ways."""
    sign = torch.where(centre < 0, -1.0, 1.0)
    return torch.where(centre.abs() < _LEAST_CENTRE, _LEAST_CENTRE * sign, centre)
