"""What autoencoders share: two halves that together give back what they were given."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn

from monitor.detect.deep import latents
from monitor.detect.deep.health import health, in_pieces, spread_at_start, thinned
from monitor.detect.deep.heat import ErrorMaps
from monitor.detect.deep.nets import Residual, folded
from monitor.detect.deep.torch_base import channel_shares
from monitor.detect.deep.training import (
    Examples,
    Loss,
    Training,
    examples,
    one_thread,
    split,
    train,
)
from monitor.errors import ConfigError, ModelError
from monitor.types import Array, State

_SMALLEST_ERROR = 1e-4
_MOST_NOISE = 10.0


class Rebuilder(ErrorMaps):
    """An autoencoder: its `_halves` are an untrained encoder and decoder, the same each time.

    `codes` are the normal distribution of the training examples' latent numbers. `noise` is the
    standard deviation of what is added to each training example, which is to be rebuilt without:
    then a net cannot pass on what it does not know (Vincent et al., "Stacked denoising
    autoencoders", JMLR 11, 2010).
    """

    training: Training
    net: Residual
    latent: int
    noise: float = 0.0
    codes: latents.Codes | None = None

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn to rebuild `(N, *shape)`; labelled anomalies are left out.

        Raises ModelError for too few or unusable examples, and where the net collapsed.
        """
        data, halves = examples(x, y, self.shape), self._halves()
        self.net, self.metrics = _trained(
            *halves, data, self.training, noise=self.noise, progress=self.show_progress
        )
        with one_thread():
            self.codes = latents.fitted(in_pieces(halves[0], thinned(data.x[data.y <= 0])))
        self.ready = True

    def contributions(self, x: Array) -> Array:
        """The share of each channel in the score: `(N, *shape) -> (N, C)`."""
        return channel_shares(self.parts(x))

    def rebuild(self, x: Array) -> Array:
        """What the net gives back: `(N, *shape) -> (N, *shape)`."""
        return self._through(self.net.net, x)

    def embed(self, x: Array) -> Array:
        """What passes through the bottleneck: `(N, *shape) -> (N, latent)`."""
        inner = len(folded(self._halves()[0]))
        return self._through(self.net.net[:inner], x)

    def generate(self, count: int, seed: int) -> Array:
        """What random latent numbers, distributed as those of the training examples, become:
        `(count, *shape)`. Raises ModelError for a model that was trained before these were kept.
        """
        self._need_weights()
        if self.codes is None:
            raise ModelError(
                f"this {type(self).__name__} was trained before the distribution of latent "
                "numbers was kept; train it anew to generate examples"
            )
        inner = len(folded(self._halves()[0]))
        with one_thread(), torch.inference_mode():
            found: Array = self.net.net[inner:](self.codes.drawn(count, seed)).numpy()
        return found

    def state(self) -> State:
        """Weights and codes. Raises ModelError before training."""
        return super().state() | ({} if self.codes is None else self.codes.state())

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit; nothing is kept."""
        codes, weights = latents.taken(state, self.latent)
        super().restore(weights)
        self.codes = codes

    def _untrained(self) -> Residual:
        inward, outward = self._halves()
        return Residual(folded(nn.Sequential(*inward, *outward)), self.shape[0])

    @abstractmethod
    def _halves(self) -> tuple[nn.Sequential, nn.Sequential]:
        """`(N, *shape) -> (N, latent)`, and back."""


def _trained(
    inward: nn.Sequential,
    outward: nn.Sequential,
    data: Examples,
    plan: Training,
    *,
    noise: float = 0.0,
    progress: bool = False,
) -> tuple[Residual, dict[str, float]]:
    """The inference form of both halves, and the metrics; labelled anomalies are left out.

    Each channel's error is divided by what it is on held-out examples, so that the parts of a
    normal one sum to about 1. Raises ModelError where the net collapsed.
    """
    normal = Examples(data.x[data.y <= 0], data.y[data.y <= 0])
    sample, net = thinned(normal.x), nn.Sequential(*inward, *outward)
    start = spread_at_start(in_pieces(inward.eval(), sample))
    metrics = train(net, _Rebuilding(noise, plan.seed), normal, plan, progress=progress)
    channels = normal.x.shape[1]
    head = Residual(folded(net), channels)
    with one_thread(), torch.no_grad():
        errors = in_pieces(head, split(normal)[1].x).mean(0)
        head.weight.copy_(1 / (errors.clamp(min=_SMALLEST_ERROR) * channels))
        scores = in_pieces(head, sample).sum(1)
        embedding = in_pieces(inward.eval(), sample)
    return head, metrics | health("the autoencoder", embedding, start, scores)


def checked_noise(noise: float) -> float:
    """Raises ConfigError unless it is a number from 0 to 10, in scales of a channel."""
    if (
        not isinstance(noise, int | float)
        or isinstance(noise, bool)
        or not 0 <= noise <= _MOST_NOISE
    ):
        raise ConfigError(f"noise is {noise!r}; numbers from 0 to {_MOST_NOISE:g} are valid")
    return float(noise)


class _Rebuilding:
    """The error of rebuilding examples; while the net learns, from noisy ones."""

    def __init__(self, noise: float, seed: int) -> None:
        self.noise, self._random = noise, torch.Generator().manual_seed(seed)

    def __call__(self, net: nn.Module, data: Examples) -> Loss:
        given = data.x
        if net.training and self.noise:
            given = given + self.noise * torch.randn(given.shape, generator=self._random)
        return Loss((net(given) - data.x).square().flatten(1).mean(1), torch.zeros(()))
