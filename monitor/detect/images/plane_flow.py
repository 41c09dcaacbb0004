"""A normalising flow of maps: couplings whose scales and shifts come from small convolutions.

Yu, Zheng, Wang, Li, Wu, Zhao and Wu, "FastFlow: unsupervised anomaly detection and localization via
2D normalizing flows", 2021, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MOST_LOG_SCALE = 1.9
FARTHEST = 1e3
_KERNELS = (3, 1)


class PlaneCoupling(nn.Module):
    """Scales and shifts the second half of the features as the first half around them says, and
    puts the features in another order: `(N, d, rows, columns) -> (N, d, rows, columns)`, and the
    sum of the logarithms of the scales at each place, `(N, rows, columns)`.

    Begins as a permutation. Scales are bounded, and so are shifts, so what is far out stays far
    out.
    """

    order: Tensor

    def __init__(self, order: Tensor, hidden: int, kernel: int) -> None:
        super().__init__()
        self.register_buffer("order", order, persistent=False)
        self.kept = len(order) // 2
        moved = len(order) - self.kept
        self.inward = nn.Conv2d(self.kept, hidden, kernel, padding="same")
        self.outward = nn.Conv2d(hidden, 2 * moved, kernel, padding="same")
        for parameter in self.outward.parameters():
            nn.init.zeros_(parameter)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = z[:, : self.kept], z[:, self.kept :]
        told = self.outward(torch.tanh(self.inward(kept)))
        logs, shift = told.chunk(2, 1)
        logs = MOST_LOG_SCALE * torch.tanh(logs)
        both = torch.cat([kept, moved * logs.exp() + shift], 1)
        return both[:, self.order], logs.sum(1)


class PlaneFlow(nn.Module):
    """How improbable the features of each place are, given those around it: `(N, d, rows, columns)
    -> (N, rows, columns)`, the negative log likelihood by feature in nats from `least` on, in
    units of 1 / `weight`; 0 below that.

    Features are moved by `centre`, whitened by `first`, and passed through `steps`. The constant
    log(2 pi) / 2 is left out.
    """

    centre: Tensor
    least: Tensor
    weight: Tensor

    def __init__(self, size: int, steps: Sequence[PlaneCoupling]) -> None:
        super().__init__()
        self.size = size
        self.first = nn.Conv2d(size, size, 1, bias=False)
        self.first.requires_grad_(False)
        self.steps = nn.ModuleList(steps)
        self.register_buffer("centre", torch.zeros(size, 1, 1))
        self.register_buffer("least", torch.zeros(1))
        self.register_buffer("weight", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return ((self.surprise(self.standard(x)) - self.least) * self.weight).clamp(min=0)

    def standard(self, x: Tensor) -> Tensor:
        """Whitened features, clipped."""
        white: Tensor = self.first(x - self.centre)
        return white.clamp(-FARTHEST, FARTHEST)

    def normal(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Whitened features through all steps, and the sum of the logarithms of all scales."""
        total = torch.zeros_like(z[:, 0])
        for step in self.steps:
            z, logs = step(z)
            total = total + logs
        return z, total

    def surprise(self, z: Tensor) -> Tensor:
        """The negative log likelihood of whitened features, by feature: `(N, rows, columns)`."""
        z, logs = self.normal(z)
        return (z.square().sum(1) / 2 - logs) / self.size


def plane_flow(size: int, steps: int, hidden: int, seed: int) -> PlaneFlow:
    """One of `steps` couplings, of 3 x 3 and 1 x 1 convolutions in turn, in orders that follow from
    `seed`.
    """
    random = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(size, generator=random) for _ in range(steps)]
    couplings = [
        PlaneCoupling(order, hidden, _KERNELS[place % len(_KERNELS)])
        for place, order in enumerate(orders)
    ]
    return PlaneFlow(size, couplings)
