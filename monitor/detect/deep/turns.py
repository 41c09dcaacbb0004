"""Changes of a frame: those that keep it normal, and those that make something else of it.

As in Tack et al., "CSI", NeurIPS 2020, section 2.2: turns by right angles are the "shifted"
classes that a net learns to tell apart; crops, small moves and another light are not to matter.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

_CROPPED = 0.1
_MOVED = 0.06
_LIGHT = 0.1
_NOISE = 0.02


def kept_frames(x: Tensor, random: torch.Generator, *, mirrored: bool) -> Tensor:
    """Other pictures of the same: `(N, C, H, W) -> (N, C, H, W)`.

    Up to 10 % of each side is cut off, the rest moved by up to 3 % of a side (the border is
    held), the contrast is up to 10 % off and the light by up to 0.1, with a little noise; half of
    them are the wrong way round where `mirrored`.
    """
    size = 1 - _CROPPED * torch.rand(len(x), generator=random)
    theta = torch.zeros(len(x), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = size
    theta[:, :, 2] = _MOVED * (2 * torch.rand(len(x), 2, generator=random) - 1)
    if mirrored:
        theta[:, 0, 0] *= 2 * torch.randint(2, (len(x),), generator=random) - 1
    grid = affine_grid(theta, list(x.shape), align_corners=False)
    moved = grid_sample(x, grid, padding_mode="border", align_corners=False)
    contrast, light = _LIGHT * (2 * torch.rand(2, len(x), 1, 1, 1, generator=random) - 1)
    noise = _NOISE * torch.randn(x.shape, generator=random)
    return torch.addcmul(light + noise, moved, 1 + contrast)


def _turn(places: Tensor, quarters: int) -> Tensor:
    """By right angles; what is not square is squeezed to its old sides, by the nearest pixel."""
    turned = torch.rot90(places, quarters)
    rows, columns = (
        (torch.arange(side) * other) // side
        for side, other in zip(places.shape, turned.shape, strict=True)
    )
    return turned[rows][:, columns]


def _permute(places: Tensor) -> Tensor:
    """Quarters of the frame, each in the place of the one across."""
    return places.roll([side // 2 for side in places.shape], (0, 1))


TURNS: dict[str, Callable[[Tensor], Tensor]] = {
    "rotate90": lambda places: _turn(places, 1),
    "rotate180": lambda places: _turn(places, 2),
    "rotate270": lambda places: _turn(places, 3),
    "mirror": lambda places: places.flip(1),
    "permute": _permute,
}


def turned_places(name: str, sides: tuple[int, ...]) -> Tensor:
    """Which pixel stands in the place of each: `(H * W,)`, row after row; `name` is of TURNS."""
    places = torch.arange(sides[0] * sides[1]).reshape(sides)
    return TURNS[name](places).flatten()
