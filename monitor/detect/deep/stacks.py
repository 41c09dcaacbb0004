"""Errors of rebuilding a few frames at a time, in units of how they usually vary together."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StackedErrors(nn.Module):
    """The mean squared whitened error of each channel over all stacks of an example's frames:
    `(N, C, T) -> (N, C)`; the parts of an ordinary example sum to about 1.

    A stack is `context` frames in a row, as one vector of `context * C` numbers; `net` rebuilds it.
    `mean` and `whitening` are those of its errors.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, net: nn.Sequential, shape: tuple[int, ...], context: int) -> None:
        super().__init__()
        channels, frames = shape
        self.net, self.channels, self.frames = net, channels, frames
        first = torch.arange(frames - context + 1)
        self.places = (first[:, None] + torch.arange(context)).flatten()
        self.size = context * channels
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("whitening", torch.eye(self.size))

    def forward(self, x: Tensor) -> Tensor:
        return self.squares(x).mean(2) / self.channels

    def stacked(self, x: Tensor) -> Tensor:
        """Every stack of every example: `(N, C, T) -> (N * S, context * C)`."""
        return x.transpose(1, 2)[:, self.places].reshape(-1, self.size)

    def errors(self, x: Tensor) -> Tensor:
        """What the net gets wrong: `(N, C, T) -> (N * S, context * C)`."""
        stacks = self.stacked(x)
        found: Tensor = self.net(stacks) - stacks
        return found

    def squares(self, x: Tensor) -> Tensor:
        """Squared whitened errors in the order of `places`: `(N, C, T) -> (N, C, S * context)`."""
        white = (self.errors(x) - self.mean) @ self.whitening
        return (
            white.square()
            .reshape(len(x), len(self.places), self.channels)
            .transpose(1, 2)
            .contiguous()
        )

    def maps(self, x: Tensor) -> Tensor:
        """The mean of what all stacks that have a frame say of it: `(N, C, T) -> (N, C, T)`."""
        total = torch.zeros(x.shape).index_add_(2, self.places, self.squares(x))
        return total / torch.bincount(self.places, minlength=self.frames)
