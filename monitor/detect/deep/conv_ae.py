"""Convolutional autoencoder: what it cannot rebuild is unusual.

Follows the usual construction (Sakurada and Yairi, "Anomaly detection using autoencoders with
nonlinear dimensionality reduction", MLSDA 2014) with a narrow linear bottleneck.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from monitor.detect.deep.encoders import encoder_kind
from monitor.detect.deep.rebuilding import Rebuilder, checked_noise
from monitor.detect.deep.sizes import usual_latent, usual_training
from monitor.detect.deep.torch_base import NetDetector
from monitor.detect.deep.training import seeded

_LATENT = 32


class ConvAutoencoder(Rebuilder, NetDetector):
    """Scores the mean squared error of rebuilding an example, each channel's divided by what it
    is on held-out normal examples: about 1 for a normal one.

    `widths` are the channels of the encoder's stages, `latent` is the size of the bottleneck (16
    and 32 channels, and 32 numbers, for windows; by their size for frames, see `sizes.py`);
    `encoder` is one of ENCODERS, the decoder is of the same kind; `noise` is as in `Rebuilder`,
    the rest are fields of `Training`. Raises ConfigError for values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        widths: Sequence[int] | None = None,
        latent: int | None = None,
        encoder: str = "conv",
        noise: float = 0.0,
        **training: Any,
    ) -> None:
        usual = usual_latent(tuple(shape), _LATENT) if latent is None else latent
        super().__init__(shape, widths, usual)
        self.kind = encoder_kind(encoder)
        self.noise = checked_noise(noise)
        self.training = usual_training(self.shape, training)
        self.net = self._untrained()

    def _halves(self) -> tuple[nn.Sequential, nn.Sequential]:
        with seeded(self.training.seed):
            inward = self.kind.encoder(self.shape, self.widths, self.latent)
            return inward, self.kind.decoder(self.shape, self.widths, self.latent)
