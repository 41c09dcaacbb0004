"""What nets take by default for examples of a size: frames come in more sizes than windows do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from monitor.detect.deep.training import Training

WINDOW_WIDTHS = (16, 32)
_INNERMOST = 8  # pixels a side behind the last stage
_STAGES = (2, 6)
_WIDEST = 64
_SMALL = 48 * 48  # pixels of a frame that needs no more than a window does
_LARGE = 64 * 64


class Shrink(nn.Module):
    """The mean of each square of `factor` pixels a side: `(N, C, H, W) -> (N, C, H', W')`.

    What is left over at the lower and the right edge is dropped; 1 changes nothing, whatever the
    shape.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x if self.factor == 1 else avg_pool2d(x, self.factor)

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an example behind it."""
        return given[0], *(side // self.factor for side in given[1:])


def shrink_to(shape: tuple[int, ...], most: int) -> Shrink:
    """As little as leaves at most `most` numbers of a frame `(C, H, W)`; windows stay."""
    factor = 1
    if len(shape) == 3:
        sides = min(shape[1:])
        while factor < sides and math.prod(Shrink(factor).shape(shape)) > most:
            factor += 1
    return Shrink(factor)


def usual_widths(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of an encoder's stages: frames are halved until about 8 pixels a side are left."""
    if len(shape) == 2:
        return WINDOW_WIDTHS
    low, high = _STAGES
    stages = min(max(math.ceil(math.log2(max(shape[1:]) / _INNERMOST)), low), high)
    first = WINDOW_WIDTHS[0] if stages < 5 else WINDOW_WIDTHS[0] // 2
    return tuple(min(first * 2**stage, _WIDEST) for stage in range(stages))


def usual_latent(shape: tuple[int, ...], window: int) -> int:
    """`window` for windows and frames of up to 48 x 48 pixels, twice as many for larger ones."""
    large = len(shape) == 3 and math.prod(shape[1:]) > _SMALL
    return 2 * window if large else window


def usual_training(shape: tuple[int, ...], given: Mapping[str, Any], **usual: Any) -> Training:
    """`usual` where `given` does not say otherwise; batches of 16 for frames over 64 x 64 pixels,
    of which even one is many examples of what is around a pixel.
    """
    large = len(shape) == 3 and math.prod(shape[1:]) > _LARGE
    return Training(**{**({"batch": 16} if large else {}), **usual, **given})
