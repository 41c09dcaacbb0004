"""The evidence lower bound of a variational autoencoder as the head of a net."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.quasirandom import SobolEngine

MOST_LOG_VARIANCE = 10.0


class Elbo(nn.Module):
    """The terms of a negative evidence lower bound that depend on the example: `(N, C, ...) ->
    (N, C + 1)`, each at least 0.

    `inward` gives the mean and the log variance of the latent numbers, `(N, 2 * L)`; `outward`
    rebuilds an example from L. The first C parts are the squared errors of each channel, averaged
    over its samples and over the draws mean + deviation * `directions` `(K, L)`; the last one is
    the divergence from the prior in nats. `weight` `(C + 1,)` brings them to one unit.
    """

    directions: Tensor
    weight: Tensor

    def __init__(
        self, inward: nn.Sequential, outward: nn.Sequential, directions: Tensor, channels: int
    ) -> None:
        super().__init__()
        self.inward, self.outward = inward, outward
        self.register_buffer("directions", directions)
        self.register_buffer("weight", torch.ones(channels + 1))

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = codes(self.inward, x)
        deviation = (log_variance / 2).exp()
        draws = mean[:, None] + deviation[:, None] * self.directions
        errors = draw_errors(self.outward, draws, x)
        return torch.cat([errors, divergence(mean, log_variance).sum(1, keepdim=True)], 1) * (
            self.weight
        )


def codes(inward: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The posterior's mean and log variance, each `(N, L)`."""
    mean, log_variance = inward(x).chunk(2, 1)
    return mean, log_variance.clamp(-MOST_LOG_VARIANCE, MOST_LOG_VARIANCE)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of each latent number from a standard normal one, in nats: `(N, L) -> (N, L)`, >= 0
    (Kingma and Welling 2014, appendix B).
    """
    return ((mean.square() + log_variance.exp() - 1 - log_variance) / 2).clamp(min=0)


def draw_errors(outward: nn.Module, draws: Tensor, x: Tensor) -> Tensor:
    """The mean squared error of each channel over the draws `(N, K, L)`: `(N, C)`."""
    rebuilt = outward(draws.flatten(0, 1)).unflatten(0, draws.shape[:2])
    errors: Tensor = (rebuilt - x[:, None]).square().flatten(3).mean((1, 3))
    return errors


def quasi_random(count: int, latent: int, seed: int) -> Tensor:
    """Standard normal directions `(count, latent)` that fill the space evenly, in opposite pairs.

    A scrambled Sobol sequence; a single direction is 0, the mean itself.
    """
    if count == 1:
        return torch.zeros(1, latent)
    engine = SobolEngine(latent, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    points = engine.draw(-(-count // 2), dtype=torch.float64)
    half = torch.special.ndtri(points.clamp(1e-6, 1 - 1e-6)).float()
    return torch.cat([half, -half])[:count]
