"""A normalising flow of affine couplings as the head of a net."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monitor.detect.deep.sizes import Shrink

MOST_LOG_SCALE = 2.0
FARTHEST = 1e4


class Coupling(nn.Module):
    """Scales and shifts one half of the numbers as the other half says: `(N, D) -> (N, D)` twice,
    the new numbers and the logarithms of the scales.

    Begins as the identity. Scales and shifts come from bounded activations, so what is far out
    stays far out (Dinh, Sohl-Dickstein and Bengio 2017, section 3.2).
    """

    kept: Tensor

    def __init__(self, kept: Tensor, hidden: int) -> None:
        super().__init__()
        self.register_buffer("kept", kept, persistent=False)
        self.inward = nn.Linear(len(kept), hidden)
        self.scales = nn.Linear(hidden, len(kept))
        self.shifts = nn.Linear(hidden, len(kept))
        for layer in (self.scales, self.shifts):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        told, moved = torch.tanh(self.inward(z * self.kept)), 1 - self.kept
        logs = torch.tanh(self.scales(told)) * moved * MOST_LOG_SCALE
        return z * logs.exp() + self.shifts(told) * moved, logs


class Flow(nn.Module):
    """The negative log likelihood of examples by dimension, in nats, from `least` on and in units
    of 1 / `weight`: `(N, ...) -> (N, 1)`, 0 below that.

    Numbers are put on the scale `centre`, `inverse` `(D,)` and clipped, whitened by `first`, and
    passed through `steps`; the result has a standard normal distribution where an example is
    normal. The constant log(2 pi) / 2 is left out. Frames pass through `shrink` before.
    """

    centre: Tensor
    inverse: Tensor
    least: Tensor
    weight: Tensor

    def __init__(self, size: int, steps: Sequence[Coupling], shrink: Shrink | None = None) -> None:
        super().__init__()
        self.shrink = Shrink(1) if shrink is None else shrink
        self.first = nn.Linear(size, size)
        self.steps = nn.ModuleList(steps)
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("inverse", torch.ones(size))
        self.register_buffer("least", torch.zeros(1))
        self.register_buffer("weight", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        surprise = self.surprise(self.standard(x)).mean(1, keepdim=True)
        return ((surprise - self.least) * self.weight).clamp(min=0)

    def standard(self, x: Tensor) -> Tensor:
        """Whitened numbers on a robust scale: `(N, ...) -> (N, D)`."""
        scaled = (self.shrink(x).flatten(1) - self.centre) * self.inverse
        white: Tensor = self.first(scaled.clamp(-FARTHEST, FARTHEST))
        return white

    def normal(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Whitened numbers through all steps: `(N, D) -> (N, D)` twice, as in Coupling."""
        total = torch.zeros_like(z)
        for step in self.steps:
            z, logs = step(z)
            total = total + logs
        return z, total

    def surprise(self, z: Tensor) -> Tensor:
        """The negative log likelihood of whitened numbers, by dimension: `(N, D) -> (N, D)`."""
        z, logs = self.normal(z)
        return z.square() / 2 - logs


def halves(size: int, count: int, seed: int) -> list[Tensor]:
    """1 where a coupling keeps a number: `count` of `(size,)`, in pairs that keep opposite halves.

    The halves are drawn anew for each pair.
    """
    random = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    for _ in range(-(-count // 2)):
        kept = (torch.randperm(size, generator=random) % 2).float()
        found += [kept, 1 - kept]
    return found[:count]
