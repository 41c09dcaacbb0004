"""One encoder with two heads: what it cannot rebuild, and what lies away from the rest.

A candidate that is compared with an autoencoder and a Deep SVDD of their own; the product has the
two. See docs/adr/0010-encoders.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monitor.detect.classical.mahalanobis import whitening_of
from monitor.detect.deep.encoders import encoder_kind
from monitor.detect.deep.health import in_pieces
from monitor.detect.deep.nets import folded
from monitor.detect.deep.training import Examples, Loss, Training, examples, seeded, split, train
from monitor.types import Array

_PULL = 0.1


class TwoHeads(nn.Module):
    """The error of rebuilding by channel, and the whitened distance: `(N, C, T) -> (N, C + D)`."""

    mean: Tensor
    whitening: Tensor
    weight: Tensor

    def __init__(self, halves: tuple[nn.Sequential, nn.Sequential], sizes: Sequence[int]) -> None:
        super().__init__()
        self.encoder, self.decoder = halves
        channels, latent = sizes
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("whitening", torch.eye(latent))
        self.register_buffer("weight", torch.ones(channels + latent))

    def forward(self, x: Tensor) -> Tensor:
        embedding = self.encoder(x)
        error = (self.decoder(embedding) - x).square().mean(2)
        distance = ((embedding - self.mean) @ self.whitening).square()
        return torch.cat([error, distance], 1) * self.weight


class Shared:
    """Trained to rebuild and, by a tenth, to lie near the centre; each head's score is about 1."""

    latent = 32

    def __init__(
        self, shape: tuple[int, ...], *, encoder: str, widths: Sequence[int], **training: int
    ) -> None:
        self.shape = shape
        self.training = Training(epochs=training["epochs"], seed=training["seed"])
        kind, sizes = encoder_kind(encoder), (shape, widths, self.latent)
        with seeded(self.training.seed):
            halves = kind.encoder(*sizes), kind.decoder(*sizes)
        self.net = TwoHeads(halves, (shape[0], self.latent))

    def fit(self, x: Array) -> None:
        """Learn from normal windows."""
        data, net = examples(x, None, self.shape), self.net
        with torch.no_grad():
            start = net.encoder.train()(data.x[:256])
            centre, spread = start.mean(0), start.std(0).clamp(min=1e-3)

        def objective(_: nn.Module, batch: Examples) -> Loss:
            embedding = net.encoder(batch.x)
            error = (net.decoder(embedding) - batch.x).square().flatten(1).mean(1)
            pulled = ((embedding - centre) / spread).square().mean(1)
            return Loss(error + _PULL * pulled, torch.zeros(()))

        train(net, objective, data, self.training)
        net.encoder, net.decoder = folded(net.encoder), folded(net.decoder)
        mean, whitening = whitening_of(in_pieces(net.encoder, data.x).double().numpy())
        net.mean.copy_(torch.from_numpy(mean))
        net.whitening.copy_(torch.from_numpy(whitening))
        usual = in_pieces(net, split(data)[1].x).mean(0)[: self.shape[0]].clamp(min=1e-4)
        net.weight[: self.shape[0]] = 1 / (usual * self.shape[0])
        net.weight[self.shape[0] :] = 1 / self.latent

    @torch.no_grad()
    def score(self, x: Array) -> Array:
        """`(N, C, T) -> (N,)`: the sum of both heads' scores."""
        scores: Array = self.net(torch.from_numpy(x)).sum(1).numpy()
        return scores
