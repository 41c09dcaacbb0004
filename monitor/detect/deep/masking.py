"""Masks that hide each part of an example once, and the score of the guesses in their place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

FLOOR = 1e-4
LEAST_RATIO = 1e-6


class Guess(nn.Module):
    """How far the errors of guessing what is hidden are from the usual: `(N, C, ...) -> (N, C)`.

    Each of `masks` `(K, C, ...)` hides another part behind `token` `(C, ...)`, all K together
    every number once; `net` guesses the example from the rest, K times. The part of a channel is
    r - 1 - log r, where r is its mean squared error in units of what is usual (1 / `weight`):
    0 if it is as usual, more if it is larger or smaller.
    """

    masks: Tensor
    token: Tensor
    weight: Tensor

    def __init__(self, net: nn.Sequential, masks: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("masks", masks, persistent=False)
        self.register_buffer("token", torch.zeros(masks.shape[1:]))
        self.register_buffer("weight", torch.ones(masks.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        errors = (guessed(self.net, x, self.masks, self.token) - x).square().flatten(2).mean(2)
        ratio = ((errors + FLOOR) * self.weight).clamp(min=LEAST_RATIO)
        return (ratio - 1 - ratio.log()).clamp(min=0) / len(self.weight)


def guessed(net: nn.Module, x: Tensor, masks: Tensor, token: Tensor) -> Tensor:
    """Each number as the net guesses it where it is hidden: `(N, C, ...) -> (N, C, ...)`."""
    shown = x[:, None] * (1 - masks) + masks * token
    guesses = net(shown.flatten(0, 1)).unflatten(0, shown.shape[:2])
    told: Tensor = (guesses * masks).sum(1)
    return told


def complementary_masks(shape: Sequence[int], count: int, patch: int) -> Tensor:
    """1 where hidden: `(count, *shape)`, of patches with `patch` samples (pixels) a side.

    Each number is hidden by one of them. Neighbouring patches are hidden by different ones, and
    so are the same samples of neighbouring channels.
    """
    place = torch.arange(shape[0]).reshape(-1, *(1 for _ in shape[1:]))
    for axis, side in enumerate(shape[1:]):
        along = torch.arange(side) // patch
        place = place + along.reshape(-1, *(1 for _ in shape[axis + 2 :]))
    return torch.stack([place % count == k for k in range(count)]).float()
