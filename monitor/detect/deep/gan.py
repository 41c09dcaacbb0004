"""Adversarial autoencoder: what neither comes back nor looks the same to the critic is unusual.

Zenati, Foo, Lecouat, Manek and Chandrasekhar, "Efficient GAN-based anomaly detection", ICLR
workshop 2018, on the bidirectional GAN of Donahue, Kraehenbuehl and Darrell, "Adversarial feature
learning", ICLR 2017; with the spectral normalisation of Miyato et al., ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monitor.detect.deep.adversary import Adversary, Critic, critic, reversed_gradient
from monitor.detect.deep.dense import check_sides
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
from monitor.errors import ConfigError
from monitor.types import Array

_LATENT = 16
_FEATURES = 64
_USUAL = {"batch": 32, "patience": 10}
_REBUILDING = 50.0
_SMALLEST_ERROR = 1e-3
_LEAST_VARIETY = 0.1
_DRAWN = 256


class AdversarialAutoencoder(ErrorMaps):
    """Scores how an example differs from what it is rebuilt as: the mean absolute error, each
    channel's in units of what it is on held-out normal examples, and the difference of what the
    critic sees of both; about 1 for a normal example.

    Three nets learn together: an encoder, a generator that makes examples of latent numbers, and a
    critic that tells an example with its code from a generated one with the numbers it was made
    of. The first two learn to mislead the critic, and to rebuild. `critic` is the share of the
    critic's part in the score. `encoder`, `widths` and `latent` are as in `vae`, the rest are
    fields of `Training`. Raises ConfigError for values that cannot be used.
    """

    net: Adversary

    def __init__(
        self,
        shape: Sequence[int],
        *,
        critic: float = 0.1,
        encoder: str | None = None,
        widths: Sequence[int] | None = None,
        latent: int | None = None,
        **training: Any,
    ) -> None:
        super().__init__(check_sides(shape))
        if isinstance(critic, bool) or not isinstance(critic, int | float) or not 0 <= critic <= 1:
            raise ConfigError(f"critic is {critic!r}; numbers from 0 to 1 are valid")
        self.critic = float(critic)
        self.kind = encoder_kind(encoder or usual_encoder(self.shape), WITH_DENSE)
        self.widths = checked_widths(self.kind.widths(self.shape) if widths is None else widths)
        self.latent = usual_latent(self.shape, _LATENT) if latent is None else latent
        whole_number("latent", self.latent, 1, 4096)
        self.kind.check(self.shape, self.widths, max(self.latent, _FEATURES))
        self.training = usual_training(self.shape, training, **_USUAL)
        self.net = self._head(self._players())

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from `(N, *shape)`; labelled anomalies are left out.

        Raises ModelError for too few or unusable examples, and where what the generator makes is
        all alike.
        """
        data = examples(x, y, self.shape)
        data = Examples(data.x[data.y <= 0], data.y[data.y <= 0])
        players, sample = self._players(), thinned(data.x)
        start = spread_at_start(sample.flatten(1))
        objective = _play(self.latent, self.training.seed)
        self.metrics = train(players, objective, data, self.training, progress=self.show_progress)
        head = self._head(players)
        with one_thread(), torch.no_grad():
            self._weigh(head, split(data)[1].x)
            scores = in_pieces(head, sample).sum(1)
            drawn = standard_normal(_DRAWN, self.latent, self.training.seed)
            made = in_pieces(head.outward, drawn).flatten(1)
        self.metrics |= health("the generator", made, start, scores, least=_LEAST_VARIETY)
        self.net, self.ready = head, True

    def contributions(self, x: Array) -> Array:
        """The share of each channel in what could not be rebuilt: `(N, *shape) -> (N, C)`.

        The critic's part belongs to no channel and is left out.
        """
        return channel_shares(self.parts(x)[:, :-1])

    def rebuild(self, x: Array) -> Array:
        """What the generator makes of an example's code: `(N, *shape) -> (N, *shape)`."""
        return self._through(lambda rows: self.net.outward(self.net.inward(rows)), x)

    def embed(self, x: Array) -> Array:
        """The examples' codes: `(N, *shape) -> (N, latent)`."""
        return self._through(self.net.inward, x)

    def generate(self, count: int, seed: int) -> Array:
        """What the generator makes of random latent numbers: `(count, *shape)`."""
        self._need_weights()
        with one_thread(), torch.inference_mode():
            found: Array = self.net.outward(standard_normal(count, self.latent, seed)).numpy()
        return found

    def _errors(self, difference: Tensor) -> Tensor:
        return difference.abs()

    def _players(self) -> _Players:
        with seeded(self.training.seed):
            inward = self.kind.encoder(self.shape, self.widths, self.latent)
            inward.append(nn.BatchNorm1d(self.latent, affine=False))
            outward = self.kind.decoder(self.shape, self.widths, self.latent)
            judge = critic(self.kind, self.shape, self.widths, self.latent, _FEATURES)
            return _Players(inward, outward, judge)

    def _head(self, players: _Players) -> Adversary:
        inward, outward = folded(players.inward), folded(players.outward)
        return Adversary(inward, outward, players.critic.unbounded(), self.shape[0])

    def _weigh(self, head: Adversary, held_out: Tensor) -> None:
        """The unit of each part: what it is on held-out examples, and its share in the score."""
        usual = in_pieces(head, held_out).mean(0).clamp(min=_SMALLEST_ERROR)
        head.weight[:-1] = (1 - self.critic) / (usual[:-1] * self.shape[0])
        head.weight[-1] = self.critic / usual[-1]


class _Players(nn.Module):
    """What is trained. Codes are standardised, as the numbers are that examples are drawn from."""

    def __init__(self, inward: nn.Sequential, outward: nn.Sequential, judge: Critic) -> None:
        super().__init__()
        self.inward, self.outward, self.critic = inward, outward, judge


def _play(latent: int, seed: int) -> Objective:
    """The errors of rebuilding, and the critic's loss: how much more real generated pairs look than
    real ones, which the encoder and the generator increase (Arjovsky et al., "Wasserstein
    generative adversarial networks", ICML 2017, with spectral normalisation for the bound).
    """
    random = torch.Generator().manual_seed(seed)

    def objective(net: nn.Module, data: Examples) -> Loss:
        assert isinstance(net, _Players)
        codes = net.inward(data.x)
        drawn = torch.randn(codes.shape, generator=random)
        rebuilt, made = net.outward(torch.cat([codes, drawn])).chunk(2)
        errors = (rebuilt - data.x).abs().flatten(1).mean(1)
        if not net.training:
            return Loss(errors, torch.zeros(()))
        strength = 1 / _REBUILDING
        real = net.critic.verdict(data.x, reversed_gradient(codes, strength))
        fake = net.critic.verdict(reversed_gradient(made, strength), drawn)
        return Loss(errors, (fake - real).mean())

    return objective
