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

from monitor.detect.deep.dense import check_sides
from monitor.detect.deep.encoders import WITH_DENSE, encoder_kind, usual_encoder
from monitor.detect.deep.health import health, in_pieces, spread_at_start, thinned
from monitor.detect.deep.heat import ErrorMaps
from monitor.detect.deep.masking import FLOOR, Guess, complementary_masks, guessed
from monitor.detect.deep.nets import folded
from monitor.detect.deep.sizes import usual_training
from monitor.detect.deep.torch_base import channel_shares, checked_widths
from monitor.detect.deep.training import (
    Examples,
    Loss,
    examples,
    one_thread,
    seeded,
    split,
    train,
    whole_number,
)
from monitor.types import Array

_LATENT = 64


class MaskedAutoencoder(ErrorMaps):
    """Scores how far the errors of guessing hidden patches are from those on held-out normal
    examples, by channel: 0 if they are as usual, more where they are larger, and also where they
    are much smaller, as those of a sensor that is stuck.

    An example is seen `masks` times; each time every `masks`-th patch of `patch` samples (pixels a
    side; an eighth of the last axis if not given) is hidden, in each channel at another place, so
    that all is hidden once. What is hidden cannot be copied, only guessed from the time before and
    after and from the other channels. `encoder` is one of WITH_DENSE, `conv` for frames and
    `dense` for windows if not given; `widths` are the sizes of its layers on both sides of
    `latent` numbers, as in `dense_ae`, or the channels of its stages, as in `conv_ae`; the rest
    are fields of `Training`. Raises ConfigError for values that cannot be used.
    """

    net: Guess

    def __init__(
        self,
        shape: Sequence[int],
        *,
        masks: int = 4,
        patch: int | None = None,
        widths: Sequence[int] | None = None,
        latent: int | None = None,
        encoder: str | None = None,
        **training: Any,
    ) -> None:
        super().__init__(check_sides(shape))
        size = math.prod(self.shape)
        self.kind = encoder_kind(encoder or usual_encoder(self.shape), WITH_DENSE)
        self.widths = checked_widths(self.kind.widths(self.shape) if widths is None else widths)
        self.latent = max(1, min(size // 4, _LATENT)) if latent is None else latent
        self.patch = max(1, self.shape[-1] // 8) if patch is None else patch
        whole_number("latent", self.latent, 1, 4096)
        whole_number("masks", masks, 2, 16)
        whole_number("patch", self.patch, 1, 65_536)
        self.kind.check(self.shape, self.widths, self.latent)
        self.masks = complementary_masks(self.shape, masks, self.patch)
        self.training = usual_training(self.shape, training)
        self.net = Guess(folded(self._guesser().layers), self.masks)

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn to guess in `(N, *shape)`; labelled anomalies are left out.

        Raises ModelError for too few or unusable examples, and where the net collapsed.
        """
        data = examples(x, y, self.shape)
        data = Examples(data.x[data.y <= 0], data.y[data.y <= 0])
        net, sample = self._guesser(), thinned(data.x)
        start = spread_at_start(self._embedding(net, sample))
        self.metrics = train(net, _guess, data, self.training, progress=self.show_progress)
        head = Guess(folded(net.layers), self.masks)
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

    def rebuild(self, x: Array) -> Array:
        """Each number as it is guessed where it is hidden: `(N, *shape) -> (N, *shape)`."""
        net = self.net
        return self._through(lambda rows: guessed(net.net, rows, net.masks, net.token), x)

    def _guesser(self) -> _Guesser:
        with seeded(self.training.seed):
            inward = self.kind.encoder(self.shape, self.widths, self.latent)
            outward = self.kind.decoder(self.shape, self.widths, self.latent)
            return _Guesser(nn.Sequential(*inward, *outward), self.masks, len(inward))

    def _embedding(self, net: _Guesser, x: Tensor) -> Tensor:
        """What passes through the bottleneck of examples of which nothing is hidden."""
        return in_pieces(net.layers.eval()[: net.inner], x)


class _Guesser(nn.Module):
    """What is trained: the layers, and what stands in the place of hidden numbers."""

    masks: Tensor

    def __init__(self, layers: nn.Sequential, masks: Tensor, inner: int) -> None:
        super().__init__()
        self.layers, self.inner = layers, inner
        self.token = nn.Parameter(torch.zeros(masks.shape[1:]))
        self.register_buffer("masks", masks, persistent=False)

    def errors(self, x: Tensor) -> Tensor:
        """Squared errors of all numbers, each guessed where it is hidden: `(N, C, ...)`."""
        return (guessed(self.layers, x, self.masks, self.token) - x).square()


def _guess(net: nn.Module, data: Examples) -> Loss:
    assert isinstance(net, _Guesser)
    return Loss(((1 + net.errors(data.x)).sqrt() - 1).flatten(1).mean(1), torch.zeros(()))
