"""Small convolutional encoders and decoders for `(C, T)` and `(C, H, W)`, and their scores.

This is the only file that looks at the number of dimensions of an example. Each stage of an
encoder divides the length by 4 (an image's sides by 2) with a kernel of twice the stride, so
neighbouring positions overlap, and most of the work is done on short sequences: that is what
makes these nets cheap. Nets are plain sequences of the layers below, so that `onnx_backend` can
translate them one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

from monitor.errors import ConfigError

MOST_WEIGHTS = 100_000_000
STRIDES = {1: 4, 2: 2}
_CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
_TRANSPOSED: dict[int, type[nn.ConvTranspose1d | nn.ConvTranspose2d]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
}
_NORMS: dict[int, type[nn.BatchNorm1d | nn.BatchNorm2d]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


class Pad(nn.Module):
    """Append zeros until each side has the given length."""

    def __init__(self, sides: Sequence[int], target: Sequence[int]) -> None:
        super().__init__()
        self.extra = tuple(t - s for s, t in zip(sides, target, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        return pad(x, [amount for extra in reversed(self.extra) for amount in (0, extra)])


class Crop(nn.Module):
    """Keep the first samples (rows, columns) of each side."""

    def __init__(self, sides: Sequence[int]) -> None:
        super().__init__()
        self.sides = tuple(sides)

    def forward(self, x: Tensor) -> Tensor:
        for axis, side in enumerate(self.sides, start=2):
            x = x.narrow(axis, 0, side)
        return x


class Residual(nn.Module):
    """Weighted mean squared difference between input and output: `(N, C, ...) -> (N, C)`."""

    weight: Tensor

    def __init__(self, net: nn.Sequential, channels: int) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("weight", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.net(x)
        return (output - x).square().flatten(2).mean(2) * self.weight


class Distance(nn.Module):
    """Weighted squared distance of the output from a centre, by dimension: `(N, ...) -> (N, D)`."""

    centre: Tensor
    weight: Tensor

    def __init__(self, net: nn.Sequential, dimensions: int) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("centre", torch.zeros(dimensions))
        self.register_buffer("weight", torch.ones(dimensions))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.net(x)
        return (output - self.centre).square() * self.weight


def check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape as a tuple. Raises ConfigError for anything but (C, T >= 4) or (C, H, W >= 4)."""
    if len(shape) not in (2, 3) or min(shape) < 1 or min(shape[1:]) < 4:
        raise ConfigError(
            f"shape {tuple(shape)} cannot be used by a convolutional net; valid are (channels, "
            "samples) and (channels, height, width) with at least 4 samples or pixels a side"
        )
    return tuple(int(side) for side in shape)


def check_weights(shape: tuple[int, ...], widths: Sequence[int], latent: int) -> None:
    """Raises ConfigError for an encoder of over MOST_WEIGHTS, before memory is taken for it."""
    sides, unit = shape[1:], STRIDES[len(shape) - 1]
    kernel = (2 * unit) ** len(sides)
    stages = sum(kernel * before * width for before, width in pairwise((shape[0], *widths)))
    count = stages + latent * math.prod(innermost(padded(sides, len(widths)), widths))
    if count > MOST_WEIGHTS:
        raise ConfigError(
            f"widths {tuple(widths)} and latent {latent} for examples {shape} make {count} "
            f"weights; at most {MOST_WEIGHTS} are valid: take smaller ones"
        )


def encoder(shape: tuple[int, ...], widths: Sequence[int], latent: int) -> nn.Sequential:
    """`(N, *shape) -> (N, latent)`, without biases and bounded activations: no layer can map
    every input to the same point by its own constants (Ruff et al. 2018, section 3.3).
    """
    sides, stride = shape[1:], STRIDES[len(shape) - 1]
    conv, norm = _CONVOLUTIONS[len(sides)], _NORMS[len(sides)]
    target = padded(sides, len(widths))
    layers: list[nn.Module] = [Pad(sides, target)] if target != sides else []
    for before, width in pairwise((shape[0], *widths)):
        layers += [
            conv(before, width, 2 * stride, stride, stride // 2, bias=False),
            norm(width, affine=False),
            nn.LeakyReLU(0.1),
        ]
    flat = math.prod(innermost(target, widths))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, latent, bias=False))


def decoder(shape: tuple[int, ...], widths: Sequence[int], latent: int) -> nn.Sequential:
    """`(N, latent) -> (N, *shape)`, the encoder's mirror image, with biases."""
    sides, stride = shape[1:], STRIDES[len(shape) - 1]
    transposed, norm = _TRANSPOSED[len(sides)], _NORMS[len(sides)]
    target = padded(sides, len(widths))
    inner = innermost(target, widths)
    layers: list[nn.Module] = [nn.Linear(latent, math.prod(inner)), nn.Unflatten(1, inner)]
    outward = (*reversed(widths), shape[0])
    for before, width in pairwise(outward):
        layers += [
            nn.LeakyReLU(0.1),
            transposed(before, width, 2 * stride, stride, stride // 2),
            norm(width),
        ]
    layers.pop()  # the last layer's scale is the data's own
    return nn.Sequential(*layers, *([Crop(sides)] if target != sides else []))


def folded(net: nn.Sequential) -> nn.Sequential:
    """A copy for inference, each batch normalisation multiplied into the layer before it."""
    return nn.Sequential(*_folded(list(net.eval()))).eval()


def _folded(layers: list[nn.Module]) -> Iterator[nn.Module]:
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        if isinstance(layer, nn.Linear) and isinstance(after, nn.BatchNorm1d):
            yield _fused_linear(layer, after)
        elif isinstance(after, nn.BatchNorm1d | nn.BatchNorm2d):
            transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)
            yield fuse_conv_bn_eval(layer, after, transpose=transposed)  # type: ignore[type-var]
        else:
            yield layer


def _fused_linear(layer: nn.Linear, norm: nn.BatchNorm1d) -> nn.Linear:
    """One layer for inference that does what both do."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    scale = torch.rsqrt(variance + norm.eps)
    shift = -mean * scale
    if norm.affine:
        scale, shift = norm.weight * scale, norm.weight * shift + norm.bias
    both = nn.Linear(layer.in_features, layer.out_features)
    with torch.no_grad():
        both.weight.copy_(layer.weight * scale[:, None])
        both.bias.copy_(shift if layer.bias is None else layer.bias * scale + shift)
    return both.eval()


def padded(sides: tuple[int, ...], stages: int) -> tuple[int, ...]:
    """The sides rounded up to what the stages divide without rest."""
    unit = STRIDES[len(sides)] ** stages
    return tuple(-(-side // unit) * unit for side in sides)


def innermost(target: tuple[int, ...], widths: Sequence[int]) -> tuple[int, ...]:
    """The shape behind the last stage."""
    unit = STRIDES[len(target)] ** len(widths)
    return (widths[-1], *(side // unit for side in target))
