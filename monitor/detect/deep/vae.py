"""Variational autoencoder: what is improbable under a learned distribution is unusual.

Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014; as a detector An and Cho,
"Variational autoencoder based anomaly detection using reconstruction probability", SNU 2015; with
a learned variance of the decoder Rybkin, Daniilidis and Levine, "Simple and effective VAE training
with calibrated decoders", ICML 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monitor.detect.deep.dense import check_sides
from monitor.detect.deep.elbo import Elbo, codes, divergence, draw_errors, quasi_random
from monitor.detect.deep.encoders import WITH_DENSE, encoder_kind, usual_encoder
from monitor.detect.deep.health import health, in_pieces, spread_at_start, thinned
from monitor.detect.deep.heat import ErrorMaps
from monitor.detect.deep.latents import standard_normal
from monitor.detect.deep.nets import folded
from monitor.detect.deep.sizes import usual_latent, usual_training
from monitor.detect.deep.torch_base import channel_shares, checked_widths
from monitor.detect.deep.training import (
    Examples,
    Loss,
    Objective,
    examples,
    one_thread,
    seeded,
    split,
    train,
    whole_number,
)
from monitor.types import Array

_LATENT = 16
_DRAWS = {2: 4, 3: 1}  # by the axes of an example: a decoder of frames costs too much for more
_DEAD = 1e-2
_SMALLEST_ERROR = 1e-4


class VariationalAutoencoder(ErrorMaps):
    """Scores an example's negative evidence lower bound, less the least value it can have and
    divided by its mean on held-out normal examples: about 1 for a normal one.

    The bound is -E[log p(x | z)] + KL(q(z | x), p(z)), both summed over all their dimensions, in
    nats. The decoder is Gaussian with one variance for each channel, learned and at the end
    estimated anew on held-out examples. The least value is the constant of that density,
    (T / 2) log(2 pi variance) of each channel: without it every term is at least 0. Scoring is
    deterministic: the divergence in closed form, the expectation over `draws` fixed
    quasi-random directions (4; 1, the mean alone, for frames), which belong to the state.

    `encoder` is one of WITH_DENSE: a window of n numbers is flattened (`dense`), frames are
    convolved (`conv`). `widths` are the sizes of its layers (if not given, n / 2, at most 1,024),
    or the channels of its stages; `latent` is the number of latent numbers (16; more for frames of
    over 48 x 48 pixels). The rest are fields of `Training`. Raises ConfigError for values that
    cannot be used.
    """

    net: Elbo

    def __init__(
        self,
        shape: Sequence[int],
        *,
        widths: Sequence[int] | None = None,
        latent: int | None = None,
        draws: int | None = None,
        encoder: str | None = None,
        **training: Any,
    ) -> None:
        super().__init__(check_sides(shape))
        self.size = math.prod(self.shape)
        self.kind = encoder_kind(encoder or usual_encoder(self.shape), WITH_DENSE)
        self.widths = checked_widths(self.kind.widths(self.shape) if widths is None else widths)
        self.latent = usual_latent(self.shape, _LATENT) if latent is None else latent
        self.draws = _DRAWS[len(self.shape)] if draws is None else draws
        whole_number("latent", self.latent, 1, 4096)
        whole_number("draws", self.draws, 1, 64)
        self.kind.check(self.shape, self.widths, 2 * self.latent)
        self.training = usual_training(self.shape, training)
        self.net = self._head(self._variational())

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from `(N, *shape)`; labelled anomalies are left out.

        Raises ModelError for too few or unusable examples, and where the net collapsed.
        """
        data = examples(x, y, self.shape)
        data = Examples(data.x[data.y <= 0], data.y[data.y <= 0])
        net, sample = self._variational(), thinned(data.x)
        start = spread_at_start(self._means(net, sample))
        objective = _bound(self.size, self.training.seed)
        self.metrics = train(net, objective, data, self.training, progress=self.show_progress)
        head = self._head(net)
        with one_thread(), torch.no_grad():
            _weigh(head, split(data)[1].x, math.prod(self.shape[1:]))
            scores = in_pieces(head, sample).sum(1)
            used = in_pieces(lambda rows: divergence(*codes(head.inward, rows)), sample).mean(0)
        self.metrics |= health("the autoencoder", self._means(net, sample), start, scores)
        self.metrics["dead_latents"] = float((used < _DEAD).sum())
        self.net, self.ready = head, True

    def contributions(self, x: Array) -> Array:
        """The share of each channel in what could not be rebuilt: `(N, *shape) -> (N, C)`.

        The divergence belongs to no channel and is left out.
        """
        return channel_shares(self.parts(x)[:, :-1])

    def rebuild(self, x: Array) -> Array:
        """What the mean of an example's codes becomes: `(N, *shape) -> (N, *shape)`."""
        net = self.net
        return self._through(lambda rows: net.outward(codes(net.inward, rows)[0]), x)

    def embed(self, x: Array) -> Array:
        """The means of the examples' codes: `(N, *shape) -> (N, latent)`."""
        return self._through(lambda rows: codes(self.net.inward, rows)[0], x)

    def generate(self, count: int, seed: int) -> Array:
        """What latent numbers drawn from the prior become: `(count, *shape)`."""
        self._need_weights()
        with one_thread(), torch.inference_mode():
            drawn = standard_normal(count, self.latent, seed)
            found: Array = self.net.outward(drawn).numpy()
        return found

    def _variational(self) -> _Variational:
        with seeded(self.training.seed):
            inward = self.kind.encoder(self.shape, self.widths, 2 * self.latent)
            outward = self.kind.decoder(self.shape, self.widths, self.latent)
            directions = quasi_random(self.draws, self.latent, self.training.seed)
            return _Variational(inward, outward, directions, self.shape[0])

    def _head(self, net: _Variational) -> Elbo:
        return Elbo(folded(net.inward), folded(net.outward), net.directions, self.shape[0])

    def _means(self, net: _Variational, x: Tensor) -> Tensor:
        return in_pieces(lambda rows: codes(net.eval().inward, rows)[0], x)


class _Variational(nn.Module):
    """What is trained: both halves, and the logarithm of each channel's deviation."""

    directions: Tensor

    def __init__(
        self, inward: nn.Sequential, outward: nn.Sequential, directions: Tensor, channels: int
    ) -> None:
        super().__init__()
        self.inward, self.outward = inward, outward
        self.register_buffer("directions", directions, persistent=False)
        self.log_deviation = nn.Parameter(torch.zeros(channels))


def _bound(size: int, seed: int) -> Objective:
    """The negative bound by dimension: one random draw in training, else the fixed ones."""
    random = torch.Generator().manual_seed(seed)

    def objective(net: nn.Module, data: Examples) -> Loss:
        assert isinstance(net, _Variational)
        mean, log_variance = codes(net.inward, data.x)
        directions = net.directions
        if net.training:
            directions = torch.randn(mean.shape, generator=random)[:, None]
        draws = mean[:, None] + (log_variance / 2).exp()[:, None] * directions
        errors = draw_errors(net.outward, draws, data.x)
        logs = net.log_deviation.clamp(min=math.log(_SMALLEST_ERROR) / 2)
        samples = size // len(logs)
        surprise = (errors / (2 * (2 * logs).exp()) + logs).sum(1) * samples
        rows = (surprise + divergence(mean, log_variance).sum(1)) / size
        return Loss(rows, torch.zeros(()))

    return objective


def _weigh(head: Elbo, held_out: Tensor, samples: int) -> None:
    """Each channel's variance from held-out examples, and the unit of all terms."""
    parts = in_pieces(head, held_out).mean(0)
    variance = parts[:-1].clamp(min=_SMALLEST_ERROR)
    head.weight[:-1] = samples / (2 * variance)
    head.weight /= (parts * head.weight).sum().clamp(min=1e-6)
