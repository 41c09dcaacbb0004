"""Dense autoencoder: what a fully connected net cannot rebuild from a few numbers is unusual.

Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313
(2006); Sakurada and Yairi, "Anomaly detection using autoencoders with nonlinear dimensionality
reduction", MLSDA 2014.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from monitor.detect.deep.dense import check_dense, check_sides, dense, usual_widths
from monitor.detect.deep.rebuilding import Rebuilder, checked_noise
from monitor.detect.deep.sizes import usual_training
from monitor.detect.deep.torch_base import checked_widths
from monitor.detect.deep.training import seeded, whole_number

_LATENT = 64


class DenseAutoencoder(Rebuilder):
    """Scores the mean squared error of rebuilding an example, each channel's divided by what it
    is on held-out normal examples: about 1 for a normal one.

    The example is flattened to n numbers. `widths` are the sizes of the encoder's layers (n / 2
    if not given, at most 1,024; fewer for examples of over 16,384 numbers), `latent` that of the
    bottleneck (64, at most n / 4): 28 x 28 pixels give a net 784-392-64-392-784. `noise` is as
    in `Rebuilder`, the rest are fields of `Training`. Raises ConfigError for values that cannot be
    used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        widths: Sequence[int] | None = None,
        latent: int | None = None,
        noise: float = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(check_sides(shape))
        size = math.prod(self.shape)
        self.widths = checked_widths(usual_widths(size) if widths is None else widths)
        self.latent = max(1, min(size // 4, _LATENT)) if latent is None else latent
        whole_number("latent", self.latent, 1, 4096)
        self.noise = checked_noise(noise)
        self.training = usual_training(self.shape, training)
        self._sizes = (size, *self.widths, self.latent)
        check_dense(self._sizes)
        self.net = self._untrained()

    def _halves(self) -> tuple[nn.Sequential, nn.Sequential]:
        with seeded(self.training.seed):
            inward = nn.Sequential(nn.Flatten(), *dense(self._sizes))
            return inward, nn.Sequential(*dense(self._sizes[::-1]), nn.Unflatten(1, self.shape))
