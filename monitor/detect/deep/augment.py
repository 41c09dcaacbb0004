"""Changes of a signal: those that keep it normal, and those that make something else of it.

The former teach a net what does not matter; the latter are the "shifted" classes it learns to tell
apart (Tack et al., "CSI", NeurIPS 2020, section 2.2, in which images are rotated). For signals see
Eldele et al., "Time-series representation learning via temporal and contextual contrasting", IJCAI
2021, section 3.1, which jitters, scales and permutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from monitor.detect.deep.heads import Shifts
from monitor.detect.deep.turns import TURNS, turned_places
from monitor.errors import ConfigError

_JITTER = 0.1
_SCALING = 0.1
_DELAY = 16
_TREND = 2.0

Drawn = tuple[Tensor, float, Tensor]


def kept_normal(x: Tensor, random: torch.Generator) -> Tensor:
    """Other recordings of the same: `(N, C, T) -> (N, C, T)`.

    A little noise, a size that is up to 10 % off in each channel, and a delay or an advance of up
    to a sixteenth of the window, for which the first or last sample is held.
    """
    count, channels, samples = x.shape
    most = samples // _DELAY
    delay = torch.randint(-most, most + 1, (count, 1), generator=random)
    places = (torch.arange(samples) + delay).clamp(0, samples - 1)
    moved = x.gather(2, places[:, None, :].expand(count, channels, samples))
    size = 1 + _SCALING * (2 * torch.rand(count, channels, 1, generator=random) - 1)
    return moved * size + _JITTER * torch.randn(x.shape, generator=random)


def _itself(samples: int) -> Drawn:
    return torch.arange(samples), 1.0, torch.zeros(samples)


def _reverse(samples: int) -> Drawn:
    return torch.arange(samples).flip(0), 1.0, torch.zeros(samples)


def _flip(samples: int) -> Drawn:
    return torch.arange(samples), -1.0, torch.zeros(samples)


def _permute(samples: int) -> Drawn:
    """Quarters in the order 3 1 4 2: no two that were neighbours stay so."""
    quarters = torch.arange(samples).tensor_split(4)
    return torch.cat([quarters[place] for place in (2, 0, 3, 1)]), 1.0, torch.zeros(samples)


def _trend(samples: int) -> Drawn:
    return torch.arange(samples), 1.0, torch.linspace(-_TREND, _TREND, samples)


def _level(samples: int) -> Drawn:
    return torch.arange(samples), 1.0, torch.full((samples,), _TREND)


def _swap(samples: int) -> Drawn:
    """Neighbours change places: a rougher signal."""
    return (torch.arange(samples) ^ 1).clamp(max=samples - 1), 1.0, torch.zeros(samples)


def _hold(samples: int) -> Drawn:
    """Every fourth sample, held: a coarser signal."""
    return torch.arange(samples) // 4 * 4, 1.0, torch.zeros(samples)


SHIFTS: dict[str, Callable[[int], Drawn]] = {
    "reverse": _reverse,
    "flip": _flip,
    "permute": _permute,
    "trend": _trend,
    "level": _level,
    "hold": _hold,
    "swap": _swap,
}


USUAL_SHIFTS = {1: ("reverse", "level", "trend", "swap"), 2: ("rotate90", "rotate180", "rotate270")}


def shifts_called(names: Sequence[str] | None, sides: tuple[int, ...]) -> Shifts:
    """The example itself, and the transformations of these names, USUAL_SHIFTS if not given.

    `sides` are `(T,)` of a window or `(H, W)` of a frame. Raises ConfigError for anything but a
    list of different names of SHIFTS, or of TURNS for frames.
    """
    choices: Sequence[str] = list(SHIFTS if len(sides) == 1 else TURNS)
    names = USUAL_SHIFTS[len(sides)] if names is None else names
    valid = isinstance(names, list | tuple) and len(names) and len(set(names)) == len(names)
    if not valid or any(name not in choices for name in names):
        raise ConfigError(f"shifts is {names!r}; valid is a list of some of {', '.join(choices)}")
    drawn = [_itself(math.prod(sides)), *(_drawn(name, sides) for name in names)]
    index, sign, offset = zip(*drawn, strict=True)
    return Shifts(torch.stack(index), torch.tensor(sign), torch.stack(offset))


def _drawn(name: str, sides: tuple[int, ...]) -> Drawn:
    if len(sides) == 1:
        return SHIFTS[name](sides[0])
    places = turned_places(name, sides)
    return places, 1.0, torch.zeros(len(places))
