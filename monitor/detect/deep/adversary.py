"""The nets of an adversarial autoencoder, and the head that scores with all three of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import remove_parametrizations

from monitor.detect.deep.encoders import Kind

_SLOPE = 0.1


class Critic(nn.Module):
    """What a discriminator sees of an example and latent numbers together: `(N, *shape), (N, L) ->
    (N, features)`, and its verdict, higher for real examples: `-> (N,)`.

    `trunk` reads the example, `beside` the latent numbers, `joint` both.
    """

    def __init__(
        self, trunk: nn.Sequential, latent: int, features: int, *, bounded: bool = True
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.beside = nn.Linear(latent, features)
        self.joint = nn.Sequential(
            nn.LeakyReLU(_SLOPE), nn.Linear(2 * features, features), nn.LeakyReLU(_SLOPE)
        )
        self.last = nn.Linear(features, 1, bias=False)
        if bounded:
            for layer in _weighted(self):
                spectral_norm(layer)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        features: Tensor = self.joint(torch.cat([self.trunk(x), self.beside(z)], 1))
        return features

    def verdict(self, x: Tensor, z: Tensor) -> Tensor:
        """How real a pair looks, without bounds: `(N,)`."""
        judged: Tensor = self.last(self(x, z))[:, 0]
        return judged

    def unbounded(self) -> Critic:
        """The inference form, in place: its weights are what the normalisation made of them."""
        for layer in _weighted(self):
            remove_parametrizations(layer, "weight")
        return self.eval().requires_grad_(False)


class Adversary(nn.Module):
    """How far an example is from what it is rebuilt as: `(N, C, ...) -> (N, C + 1)`.

    The first C parts are the mean absolute errors of the channels, the last one is the mean
    absolute difference of what the critic sees of both. `weight` `(C + 1,)` brings them to one
    unit.
    """

    weight: Tensor

    def __init__(
        self, inward: nn.Sequential, outward: nn.Sequential, critic: Critic, channels: int
    ) -> None:
        super().__init__()
        self.inward, self.outward, self.critic = inward, outward, critic
        self.register_buffer("weight", torch.ones(channels + 1))

    def forward(self, x: Tensor) -> Tensor:
        z = self.inward(x)
        rebuilt = self.outward(z)
        errors = (rebuilt - x).abs().flatten(2).mean(2)
        seen = (self.critic(rebuilt, z) - self.critic(x, z)).abs().mean(1, keepdim=True)
        return torch.cat([errors, seen], 1) * self.weight


def critic(
    kind: Kind, shape: tuple[int, ...], widths: tuple[int, ...], latent: int, features: int
) -> Critic:
    """One whose trunk is an encoder of `kind` without normalisation over a batch, which would tell
    real examples from others by their company.
    """
    layers = kind.encoder(shape, widths, features)
    kept = [layer for layer in layers if not isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    return Critic(nn.Sequential(*kept), latent, features)


def reversed_gradient(x: Tensor, strength: float) -> Tensor:
    """The same numbers, whose gradient comes back with the opposite sign, `strength` times as
    large: what is behind it learns the opposite of what is before it (Ganin and Lempitsky,
    "Unsupervised domain adaptation by backpropagation", ICML 2015).
    """
    same = x.view_as(x)
    if same.requires_grad:
        same.register_hook(lambda gradient: -strength * gradient)  # type: ignore[no-untyped-call]
    return same


def _weighted(net: nn.Module) -> list[nn.Module]:
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)
    return [layer for layer in net.modules() if isinstance(layer, kinds)]
