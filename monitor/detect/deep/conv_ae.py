"""Convolutional autoencoder: what it cannot rebuild is unusual.

Follows the usual construction (Sakurada and Yairi, "Anomaly detection using autoencoders with
nonlinear dimensionality reduction", MLSDA 2014) with a narrow linear bottleneck.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from monitor.detect.deep.encoders import encoder_kind
from monitor.detect.deep.nets import Residual, folded
from monitor.detect.deep.torch_base import NetDetector
from monitor.detect.deep.training import Examples, Loss, Training, examples, seeded, split, train
from monitor.types import Array

_SMALLEST_ERROR = 1e-4


class ConvAutoencoder(NetDetector):
    """Scores the mean squared error of rebuilding an example, each channel's divided by what it
    is on held-out normal examples: about 1 for a normal one.

    `widths` are the channels of the encoder's stages, `latent` is the size of the bottleneck,
    `encoder` is one of ENCODERS, the decoder is of the same kind; the rest are fields of
    `Training`. Raises ConfigError for values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        widths: Sequence[int] = (16, 32),
        latent: int = 32,
        encoder: str = "conv",
        **training: Any,
    ) -> None:
        super().__init__(shape, widths, latent)
        self.kind = encoder_kind(encoder)
        self.training = Training(**training)
        self.net = Residual(folded(self._autoencoder()), self.shape[0])

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn to rebuild `(N, *shape)`; labelled anomalies are left out.

        Raises ModelError for too few or unusable examples.
        """
        data = examples(x, y, self.shape)
        data = Examples(data.x[data.y <= 0], data.y[data.y <= 0])
        net = self._autoencoder()
        self.metrics = train(net, _rebuild, data, self.training, progress=self.show_progress)
        head = Residual(folded(net), self.shape[0])
        with torch.inference_mode():
            errors = torch.cat([head(rows) for rows in torch.split(split(data)[1].x, 256)]).mean(0)
            head.weight.copy_(1 / (errors.clamp(min=_SMALLEST_ERROR) * self.shape[0]))
        self.net, self.ready = head, True

    def contributions(self, x: Array) -> Array:
        """The share of each channel in the score: `(N, *shape) -> (N, C)`."""
        parts = self.parts(x)
        total = parts.sum(axis=1, keepdims=True)
        shares: Array = parts / (total + (total == 0))
        return shares

    def _autoencoder(self) -> nn.Sequential:
        with seeded(self.training.seed):
            inward = self.kind.encoder(self.shape, self.widths, self.latent)
            return nn.Sequential(*inward, *self.kind.decoder(self.shape, self.widths, self.latent))


def _rebuild(net: nn.Module, data: Examples) -> Loss:
    return Loss((net(data.x) - data.x).square().flatten(1).mean(1), torch.zeros(()))
