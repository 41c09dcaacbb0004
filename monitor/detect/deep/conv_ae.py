"""Convolutional autoencoder: what it cannot rebuild is unusual.

Follows the usual construction (Sakurada and Yairi, "Anomaly detection using autoencoders with
nonlinear dimensionality reduction", MLSDA 2014) with a narrow linear bottleneck.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from monitor.detect.deep.encoders import encoder_kind
from monitor.detect.deep.rebuilding import Rebuilder
from monitor.detect.deep.torch_base import NetDetector
from monitor.detect.deep.training import Training, seeded


class ConvAutoencoder(Rebuilder, NetDetector):
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
        self.net = self._untrained()

    def _halves(self) -> tuple[nn.Sequential, nn.Sequential]:
        with seeded(self.training.seed):
            inward = self.kind.encoder(self.shape, self.widths, self.latent)
            return inward, self.kind.decoder(self.shape, self.widths, self.latent)
