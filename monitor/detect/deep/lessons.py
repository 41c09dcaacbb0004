"""What a metric-learning net is to tell apart: classes of examples, and batches drawn from them.

Class 0 is what is normal. Then come the known other classes; where there are none, what becomes of
normal examples that are turned (Golan and El-Yaniv, "Deep anomaly detection using geometric
transformations", NeurIPS 2018). Known anomalies are a class too. The last one is normal examples
with a piece of something else in them (Li, Sohn, Yoon and Pfister, "CutPaste", CVPR 2021): no
neighbour of the normal ones is nearer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from monitor.detect.deep.augment import kept_normal, shifts_called
from monitor.detect.deep.training import Examples

_SMALLEST, _LARGEST = 0.15, 0.6  # of each side of a piece
_MOVE, _GAIN, _NOISE = 14, 0.1, 0.05
_FULL = 512
_STEPS = (32, 500)


class Classes(NamedTuple):
    """Examples `x` of all classes, those of one class together: class k begins at `starts[k]`, and
    has `counts[k]`. Those of the last class are to be changed when drawn, if `pasted`.
    """

    x: Tensor
    starts: Tensor
    counts: Tensor
    pasted: bool

    def steps(self, batch: int) -> int:
        """Batches of an epoch, in which each class has as many examples as the normal one."""
        wanted = len(self.counts) * min(int(self.counts[0]), _FULL) // batch
        return min(max(wanted, _STEPS[0]), _STEPS[1])

    def draw(self, y: Tensor, random: torch.Generator) -> Tensor:
        """An example of each wanted class `(N,)`, a little changed: `(N, *shape)`."""
        x = varied(self._any(y, random), random)
        if self.pasted and bool((last := y == len(self.counts) - 1).any()):
            donors = torch.where(
                torch.rand(int(last.sum()), generator=random) < 0.5,
                0,
                torch.randint(len(self.counts), (int(last.sum()),), generator=random),
            )
            x[last] = _pasted(x[last], varied(self._any(donors, random), random), random)
        return x

    def _any(self, y: Tensor, random: torch.Generator) -> Tensor:
        places = (torch.rand(len(y), generator=random) * self.counts[y]).long()
        return self.x[self.starts[y] + places]


def classes_of(data: Examples) -> Classes:
    """The classes of examples with labels as in `Trainable.fit`."""
    normal, known = data.x[data.y <= 0], data.x[data.y == 1]
    others = _others(data)
    found = [normal, *(others or turned(normal)), *([known] if len(known) else []), normal]
    return _together(found, pasted=True)


def references_of(data: Examples) -> Classes:
    """Normal examples, and the known other classes alone."""
    return _together([data.x[data.y <= 0], *_others(data)], pasted=False)


def turned(x: Tensor) -> list[Tensor]:
    """What normal examples never are: signals reversed, lifted, tilted or roughened, images turned
    by quarters (`USUAL_SHIFTS`).
    """
    shifts = shifts_called(None, tuple(x.shape[2:]))
    found = shifts(x).reshape(len(x), -1, *x.shape[1:])
    return [found[:, place].contiguous() for place in range(1, found.shape[1])]


def varied(x: Tensor, random: torch.Generator) -> Tensor:
    """Other recordings of the same: signals as `kept_normal` has it, images moved by up to a
    fourteenth of a side, up to 10 % stronger or weaker, with a little noise.
    """
    if x.dim() == 3:
        return kept_normal(x, random)
    rows, columns = (_moved(side, len(x), random) for side in x.shape[2:])
    x = _picked(x, rows, columns)
    gain = 1 + _GAIN * (2 * torch.rand(len(x), 1, 1, 1, generator=random) - 1)
    return x * gain + _NOISE * torch.randn(x.shape, generator=random)


def _others(data: Examples) -> list[Tensor]:
    """The examples of each further class, in the order of their labels."""
    return [data.x[data.y == label] for label in sorted({y for y in data.y.tolist() if y > 1})]


def _together(found: list[Tensor], *, pasted: bool) -> Classes:
    counts = torch.tensor([len(each) for each in found])
    return Classes(torch.cat(found), counts.cumsum(0) - counts, counts, pasted)


def _moved(side: int, count: int, random: torch.Generator) -> Tensor:
    most = side // _MOVE
    by = torch.randint(-most, most + 1, (count, 1), generator=random)
    return (torch.arange(side) + by).clamp(0, side - 1)


def _pasted(x: Tensor, donors: Tensor, random: torch.Generator) -> Tensor:
    """A piece of each donor in each example, at another place: `(N, *shape), (N, *shape)`."""
    if x.dim() == 3:
        x, donors = x[:, :, None], donors[:, :, None]
    inside, sources = zip(*(_piece(side, len(x), random) for side in x.shape[2:]), strict=True)
    mask = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.where(mask, _picked(donors, *sources), x).reshape(len(x), *_sides(x))


def _sides(x: Tensor) -> tuple[int, ...]:
    return (x.shape[1], *(side for side in x.shape[2:] if side > 1))


def _piece(side: int, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which places of a side a piece covers, and which of the donor's it shows: `(N, side)`."""
    share = _SMALLEST + (_LARGEST - _SMALLEST) * torch.rand(count, generator=random)
    length = (share * side).round().long().clamp(1, side)
    here, there = (
        (torch.rand(count, generator=random) * (side - length + 1)).long() for _ in range(2)
    )
    place = torch.arange(side)
    inside = (place >= here[:, None]) & (place < (here + length)[:, None])
    return inside, (place + (there - here)[:, None]).clamp(0, side - 1)


def _picked(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Of each image its own rows and columns: `(N, C, H, W), (N, H), (N, W) -> (N, C, H, W)`."""
    which = torch.arange(len(x))[:, None, None]
    return x[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
