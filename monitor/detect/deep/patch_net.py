"""Encoders and decoders of products of matrices alone: each stage joins neighbours and maps them.

The kernel is as long as the stride, so a stage is a linear layer on a reshape: no sample is read
twice and nothing is gathered (as the patch embedding of Dosovitskiy et al., "An image is worth
16x16 words", ICLR 2021, at every stage). Samples are put in the order of nested patches once, at
the entrance; after that neighbours lie side by side in memory whatever the stage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, pairwise

from torch import Tensor, nn

from monitor.detect.deep.nets import STRIDES, Crop, Pad, innermost, padded


class Patches(nn.Module):
    """Samples in the order of nested patches, channels last: `(N, C, *sides) -> (N, samples)`.

    `sizes` and `order` are the shape of an example and its new order of axes, which is all that
    happens: a reshape, a permutation, a reshape.
    """

    def __init__(self, channels: int, sides: Sequence[int], stages: int) -> None:
        super().__init__()
        unit = STRIDES[len(sides)]
        levels = 1 if len(sides) == 1 else stages + 1
        split = [(side // unit ** (levels - 1), *[unit] * (levels - 1)) for side in sides]
        self.sizes = (channels, *chain.from_iterable(split))
        places = [
            1 + side * levels + level for level in range(levels) for side in range(len(sides))
        ]
        self.order = (*places, 0)

    def forward(self, x: Tensor) -> Tensor:
        axes = [0, *(place + 1 for place in self.order)]
        return x.reshape(-1, *self.sizes).permute(axes).flatten(1)


class Unpatched(nn.Module):
    """The way back: `(rows, columns) -> (N, C, *sides)`."""

    def __init__(self, channels: int, sides: Sequence[int], stages: int) -> None:
        super().__init__()
        inward = Patches(channels, sides, stages)
        self.shape = (channels, *sides)
        self.sizes = tuple(inward.sizes[place] for place in inward.order)
        self.order = tuple(inward.order.index(place) for place in range(len(inward.order)))

    def forward(self, x: Tensor) -> Tensor:
        axes = [0, *(place + 1 for place in self.order)]
        return x.reshape(-1, *self.sizes).permute(axes).reshape(-1, *self.shape)


class Rows(nn.Module):
    """The same numbers in rows of a given length: neighbours are joined, or parted."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.length)


def patch_encoder(shape: tuple[int, ...], widths: Sequence[int], latent: int) -> nn.Sequential:
    """`(N, *shape) -> (N, latent)`, without biases and bounded activations, as `nets.encoder`."""
    sides, joined = shape[1:], _joined(shape)
    target = padded(sides, len(widths))
    layers: list[nn.Module] = [Pad(sides, target)] if target != sides else []
    layers.append(Patches(shape[0], target, len(widths)))
    for before, width in pairwise((shape[0], *widths)):
        layers += [
            Rows(joined * before),
            nn.Linear(joined * before, width, bias=False),
            nn.BatchNorm1d(width, affine=False),
            nn.LeakyReLU(0.1),
        ]
    flat = math.prod(innermost(target, widths))
    return nn.Sequential(*layers, Rows(flat), nn.Linear(flat, latent, bias=False))


def patch_decoder(shape: tuple[int, ...], widths: Sequence[int], latent: int) -> nn.Sequential:
    """`(N, latent) -> (N, *shape)`, the encoder's mirror image, with biases."""
    sides, joined = shape[1:], _joined(shape)
    target = padded(sides, len(widths))
    layers: list[nn.Module] = [nn.Linear(latent, math.prod(innermost(target, widths)))]
    outward = (*reversed(widths), shape[0])
    for before, width in pairwise(outward):
        layers += [
            nn.LeakyReLU(0.1),
            Rows(before),
            nn.Linear(before, joined * width),
            nn.BatchNorm1d(joined * width),
        ]
    layers.pop()  # the last layer's scale is the data's own
    layers.append(Unpatched(shape[0], target, len(widths)))
    return nn.Sequential(*layers, *([Crop(sides)] if target != sides else []))


def _joined(shape: tuple[int, ...]) -> int:
    """How many neighbours a stage joins."""
    return math.prod(STRIDES[len(shape) - 1] for _ in shape[1:])
