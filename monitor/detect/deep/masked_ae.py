"""Masked autoencoder: what cannot be guessed from what is around it is unusual.

He et al., "Masked autoencoders are scalable vision learners", CVPR 2022; complementary masks of a
multivariate time series for finding anomalies in Chen et al., "ImDiffusion: imputed diffusion
models for multivariate time series anomaly detection", PVLDB 17 (2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monitor.detect.deep.dense import check_dense, check_sides, dense, usual_widths
from monitor.detect.deep.health import health, in_pieces, spread_at_start, thinned
from monitor.detect.deep.masking import FLOOR, Guess, complementary_masks, guessed
from monitor.detect.deep.torch_base import PartsDetector, channel_shares, checked_widths
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

_LATENT = 64


class MaskedAutoencoder(PartsDetector):
    """Scores how far the errors of guessing hidden patches are from those on held-out normal
    examples, by channel: 0 if they are as usual, more where they are larger, and also where they
    are much smaller, as those of a sensor that is stuck.

    An example is seen `masks` times; each time every `masks`-th patch of `patch` samples (pixels a
    side; an eighth of the last axis if not given) is hidden, in each channel at another place, so
    that all is hidden once. What is hidden cannot be copied, only guessed from the time before and
    after and from the other channels. `widths` are the sizes of the layers on both sides of
    `latent` numbers, as in `dense_ae`; the rest are fields of `Training`. Raises ConfigError for
    values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        masks: int = 4,
        patch: int | None = None,
        widths: Sequence[int] | None = None,
        latent: int | None = None,
        **training: Any,
    ) -> None:
        super().__init__(check_sides(shape))
        size = math.prod(self.shape)
        self.widths = checked_widths(usual_widths(size) if widths is None else widths)
        self.latent = max(1, min(size // 4, _LATENT)) if latent is None else latent
        self.patch = max(1, self.shape[-1] // 8) if patch is None else patch
        whole_number("latent", self.latent, 1, 4096)
        whole_number("masks", masks, 2, 16)
        whole_number("patch", self.patch, 1, 65_536)
        check_dense((size, *self.widths, self.latent))
        self._sizes = (size, *self.widths, self.latent)
        self.masks = complementary_masks(self.shape, masks, self.patch)
        self.training = Training(**training)
        self.net = Guess(nn.Sequential(*self._guesser().layers), self.masks)

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn to guess in `(N, *shape)`; labelled anomalies are left out.

        Raises ModelError for too few or unusable examples, and where the net collapsed.
        """
        data = examples(x, y, self.shape)
        data = Examples(data.x[data.y <= 0], data.y[data.y <= 0])
        net, sample = self._guesser(), thinned(data.x)
        start = spread_at_start(self._embedding(net, sample))
        self.metrics = train(net, _guess, data, self.training, progress=self.show_progress)
        head = Guess(net.layers.eval(), self.masks)
        with one_thread(), torch.no_grad():
            head.token.copy_(net.token)
            errors = in_pieces(net.errors, split(data)[1].x).flatten(2).mean((0, 2))
            head.weight.copy_(1 / (errors + FLOOR))
            scores = in_pieces(head, sample).sum(1)
        self.metrics |= health("the autoencoder", self._embedding(net, sample), start, scores)
        self.net, self.ready = head, True

    def contributions(self, x: Array) -> Array:
        """The share of each channel in the score: `(N, *shape) -> (N, C)`."""
        return channel_shares(self.parts(x))

    def _guesser(self) -> _Guesser:
        with seeded(self.training.seed):
            inward, outward = dense(self._sizes), dense(self._sizes[::-1])
            layers = (nn.Flatten(), *inward, *outward, nn.Unflatten(1, self.shape))
            return _Guesser(nn.Sequential(*layers), self.masks)

    def _embedding(self, net: _Guesser, x: Tensor) -> Tensor:
        """What passes through the bottleneck of examples of which nothing is hidden."""
        return in_pieces(net.layers[: 2 * len(self._sizes) - 2], x)


class _Guesser(nn.Module):
    """What is trained: the layers, and what stands in the place of hidden numbers."""

    masks: Tensor

    def __init__(self, layers: nn.Sequential, masks: Tensor) -> None:
        super().__init__()
        self.layers = layers
        self.token = nn.Parameter(torch.zeros(masks.shape[1:]))
        self.register_buffer("masks", masks, persistent=False)

    def errors(self, x: Tensor) -> Tensor:
        """Squared errors of all numbers, each guessed where it is hidden: `(N, C, ...)`."""
        return (guessed(self.layers, x, self.masks, self.token) - x).square()


def _guess(net: nn.Module, data: Examples) -> Loss:
    assert isinstance(net, _Guesser)
    return Loss(((1 + net.errors(data.x)).sqrt() - 1).flatten(1).mean(1), torch.zeros(()))
