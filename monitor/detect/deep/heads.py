"""Heads of nets beyond those of `nets.py`: what turns embeddings into the parts of a score."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from monitor.detect.deep.sizes import Shrink


class Deviation(nn.Module):
    """One number u of standardised examples, as (u + sqrt(u^2 + 4)) / 2: over 0, 1 where u is 0,
    u where it is large: `(N, ...) -> (N, 1)`.

    `centre` and `scale` are those of the P numbers of an example; what is farther than `farthest`
    scales away counts as that. `net` gives two numbers, of which u is the difference: a product
    with a single column is rounded by a row's place among the others, and so is an exponential.
    Frames pass through `shrink` before.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, net: nn.Sequential, size: int, farthest: float, shrink: Shrink) -> None:
        super().__init__()
        self.net, self.farthest, self.shrink = net, farthest, shrink
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        u = self.raw(x)
        return (u + (u * u + 4).sqrt()) * 0.5

    def raw(self, x: Tensor) -> Tensor:
        """u, of any sign: `(N, ...) -> (N, 1)`."""
        z = (self.shrink(x).flatten(1) - self.centre) / self.scale
        for_it, against = self.net(z.clamp(-self.farthest, self.farthest)).split(1, dim=1)
        difference: Tensor = for_it - against
        return difference


class Shifts(nn.Module):
    """K fixed transformations of an example: `(N, C, ...) -> (N * K, C, ...)`, those of a row
    together.

    The k-th is `sign[k] * x[..., index[k]] + offset[k]`, where the T pixels of a frame stand row
    after row; `index` and `offset` are `(K, T)`. They follow from a detector's parameters, so they
    are no part of its state.
    """

    index: Tensor
    sign: Tensor
    offset: Tensor

    def __init__(self, index: Tensor, sign: Tensor, offset: Tensor) -> None:
        super().__init__()
        for name, value in (("index", index), ("sign", sign), ("offset", offset)):
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        shifted = x.flatten(2)[:, :, self.index] * self.sign[:, None] + self.offset
        return shifted.transpose(1, 2).reshape(-1, *x.shape[1:])


class Likeness(nn.Module):
    """How unlike what is known the embeddings of an example's transformations are: `(N, C, ...) ->
    (N, 2 * K)`; frames pass through `shrink` before.

    The first K parts are 1 - similarity: the cosine to the nearest of the `memory` `(K, M, D)` of
    that transformation, times the length of the embedding in units of what is usual (`norm`,
    `(K,)`), at most 1. The others are the cross-entropies of telling which transformation it was.
    """

    memory: Tensor
    norm: Tensor
    weight: Tensor

    def __init__(
        self,
        shifts: Shifts,
        encoder: nn.Sequential,
        ends: tuple[nn.Linear, nn.Linear],
        size: int,
        shrink: Shrink,
    ) -> None:
        super().__init__()
        self.shifts, self.encoder, self.shrink = shifts, encoder, shrink
        self.projection, self.classifier = ends
        count = len(shifts.index)
        self.register_buffer("memory", torch.zeros(count, size, self.projection.out_features))
        self.register_buffer("norm", torch.ones(count))
        self.register_buffer("weight", torch.ones(2 * count))

    def forward(self, x: Tensor) -> Tensor:
        count = len(self.norm)
        seen = self.encoder(self.shifts(self.shrink(x)))
        embedding = self.projection(seen).reshape(-1, count, self.memory.shape[2])
        told = log_softmax(self.classifier(seen), 1).reshape(-1, count * count)
        length = (embedding.square().mean(2) + 1e-12).sqrt()
        cosines = (embedding / length[:, :, None]).transpose(0, 1) @ self.memory.transpose(1, 2)
        nearest = cosines.amax(2).T * (length / self.norm).clamp(max=1)
        parts = torch.cat([1 - nearest, -told[:, :: count + 1]], 1)
        return parts.clamp(min=0) * self.weight
