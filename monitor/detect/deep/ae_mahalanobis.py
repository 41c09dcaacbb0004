"""Autoencoder of a few frames, scored by the Mahalanobis distance of what it gets wrong.

The baseline of DCASE's task of finding anomalous sounds: Harada, Niizumi, Takeuchi, Ohishi and
Yasuda, "First-shot anomaly sound detection for machine condition monitoring: a domain
generalization baseline", EUSIPCO 2023. There the distance is the lesser of those to two domains,
which labels tell apart; here all normal examples are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monitor.detect.classical.mahalanobis import whitening_of
from monitor.detect.classical.rows import TRIM, Floats, nearest
from monitor.detect.deep.dense import check_dense, dense
from monitor.detect.deep.health import health, in_pieces, spread_at_start, thinned
from monitor.detect.deep.stacks import StackedErrors
from monitor.detect.deep.torch_base import PartsDetector, channel_shares, checked_widths
from monitor.detect.deep.training import (
    Examples,
    Loss,
    Training,
    examples,
    one_thread,
    seeded,
    train,
    whole_number,
)
from monitor.errors import ConfigError
from monitor.types import Array

_LATENT = 8
_MOST = 20_000  # stacks that the covariance is estimated from


class MahalanobisAutoencoder(PartsDetector):
    """Scores the squared Mahalanobis distance of the rebuilding error by dimension, the mean over
    all stacks of `context` frames in a row: about 1 for a normal example.

    Made for spectrograms `(F, T)`: bands whose errors go up and down together count once, and bands
    that are always hard to rebuild count little. `widths` are the layers on both sides of `latent`
    numbers (8, at most half of a stack), `trim` the share of training examples that are left out of
    the covariance because they are farthest; the rest are fields of `Training`. Raises ConfigError
    for values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        context: int = 5,
        widths: Sequence[int] = (128, 128),
        latent: int | None = None,
        trim: float = TRIM,
        **training: Any,
    ) -> None:
        if len(shape) != 2 or min(shape) < 1:
            raise ConfigError(
                f"shape {tuple(shape)} has no frames in a row; valid are (channels, samples) and "
                "(bands, frames)"
            )
        super().__init__((int(shape[0]), int(shape[1])))
        whole_number("context", context, 1, self.shape[1])
        size = context * self.shape[0]
        self.latent = max(1, min(_LATENT, size // 2)) if latent is None else latent
        whole_number("latent", self.latent, 1, 4096)
        if not isinstance(trim, int | float) or not 0 <= trim < 0.5:
            raise ConfigError(f"trim is {trim!r}; numbers from 0 to under 0.5 are valid")
        self.context, self.trim = context, trim
        self._sizes = (size, *checked_widths(widths), self.latent)
        check_dense((size, *self._sizes))  # the whitening is as wide as a stack
        self.training = Training(**training)
        self.net: StackedErrors = self._untrained()

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn to rebuild the stacks of `(N, C, T)`; labelled anomalies are left out.

        Raises ModelError for too few or unusable examples, and where the net collapsed.
        """
        data = examples(x, y, self.shape)
        normal = Examples(data.x[data.y <= 0], data.y[data.y <= 0])
        head, sample = self._untrained(), thinned(normal.x)
        start = spread_at_start(self._embedding(head, sample))
        self.metrics = train(head, _rebuild, normal, self.training, progress=self.show_progress)
        with one_thread(), torch.no_grad():
            self._whiten(head.eval(), sample)
            scores, embedding = in_pieces(head, sample).sum(1), self._embedding(head, sample)
        self.metrics |= health("the autoencoder", embedding, start, scores)
        self.net, self.ready = head.requires_grad_(False), True

    def contributions(self, x: Array) -> Array:
        """The share of each channel in the score: `(N, C, T) -> (N, C)`."""
        return channel_shares(self.parts(x))

    def heat_maps(self, x: Array) -> Array:
        """The squared whitened error of each band in each frame: `(N, C, T) -> (N, C, T)`."""
        return self._through(self.net.maps, x)

    def _untrained(self) -> StackedErrors:
        with seeded(self.training.seed):
            layers = nn.Sequential(*dense(self._sizes), *dense(self._sizes[::-1]))
        return StackedErrors(layers, (self.shape[0], self.shape[1]), self.context)

    def _embedding(self, head: StackedErrors, x: Tensor) -> Tensor:
        """What passes through the bottleneck, the mean over the stacks of each example."""
        inward = head.net[: 2 * len(self._sizes) - 3]
        return (
            in_pieces(lambda rows: inward(head.stacked(rows)), x)
            .reshape(len(x), -1, self.latent)
            .mean(1)
        )

    def _whiten(self, head: StackedErrors, x: Tensor) -> None:
        """Take mean and covariance of the errors on normal examples, without the farthest."""
        errors = in_pieces(head.errors, x).double().numpy().reshape(len(x), -1, head.size)
        mean, whitening = whitening_of(_some(errors))
        distance = np.array([(((own - mean) @ whitening) ** 2).mean() for own in errors])
        mean, whitening = whitening_of(_some(errors[np.sort(nearest(distance, self.trim))]))
        head.mean.copy_(torch.from_numpy(mean))
        head.whitening.copy_(torch.from_numpy(whitening))


def _some(errors: Floats) -> Floats:
    """At most _MOST stacks, evenly spaced: `(N, S, d) -> (n, d)`."""
    rows = errors.reshape(-1, errors.shape[2])
    return rows[:: -(-len(rows) // _MOST)]


def _rebuild(net: nn.Module, data: Examples) -> Loss:
    assert isinstance(net, StackedErrors)
    squares = net.errors(data.x).square().reshape(len(data.x), -1)
    return Loss(squares.mean(1), torch.zeros(()))
