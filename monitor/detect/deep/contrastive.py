"""Contrasting shifted instances: what is unlike all that is known, however it is turned.

Tack, Mo, Jeong and Shin, "CSI: Novelty detection via contrastive learning on distributionally
shifted instances", NeurIPS 2020, for signals too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from monitor.detect.deep.augment import kept_normal, shifts_called
from monitor.detect.deep.encoders import encoder_kind
from monitor.detect.deep.heads import Likeness
from monitor.detect.deep.health import in_pieces
from monitor.detect.deep.nets import check_shape, folded
from monitor.detect.deep.sizes import shrink_to, usual_latent, usual_training, usual_widths
from monitor.detect.deep.torch_base import NetDetector
from monitor.detect.deep.training import (
    Examples,
    Loss,
    Objective,
    examples,
    seeded,
    split,
    train,
    whole_number,
)
from monitor.detect.deep.turns import kept_frames
from monitor.types import Array

_LATENT = 32
_MOST_PIXELS = 3 * 64 * 64
_ENCODER = {2: "patch", 3: "conv"}  # by the axes of an example
_USUAL = {"epochs": 10, "batch": 32}
_TEMPERATURE = 0.5
_ROUNDS = 10
_SMALLEST = 1e-3

Kept = Callable[[Tensor, torch.Generator], Tensor]


class Contrastive(NetDetector):
    """Scores how far an example's embeddings are from all that is known, by direction and length,
    and how badly the net tells what was done to it: about 1 for a normal example.

    The net learns that the same window with a little noise, another size or a small delay is the
    same, that another window is not, and neither is the same one turned into something else by
    one of `shifts`; and to tell which. The score has the four terms of the paper's section 2.3
    for each of them: similarity to the nearest of `memory` centres of training embeddings, times
    the embedding's length (in units of what is usual, at most 1, so that loud is not normal), and
    the cross-entropy of naming it; each in units of what it is on held-out normal examples.
    Frames are shrunk to at most 64 x 64 pixels in colour; what stays normal of them are small
    crops and moves and another light, and the mirror image if `mirrored`; what does not are turns
    by right angles. `widths`, `latent` and `encoder` are as in `conv_ae` (`patch` for windows,
    `conv` for frames if not given), the rest are fields of `Training`. Raises ConfigError for
    values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        shifts: Sequence[str] | None = None,
        mirrored: bool = False,
        memory: int = 64,
        encoder: str | None = None,
        widths: Sequence[int] | None = None,
        latent: int | None = None,
        **training: Any,
    ) -> None:
        given = check_shape(shape)
        self.shrink = shrink_to(given, _MOST_PIXELS)
        self.small = self.shrink.shape(given)
        wide = usual_widths(self.small) if widths is None else widths
        super().__init__(
            given, wide, usual_latent(self.small, _LATENT) if latent is None else latent
        )
        whole_number("memory", memory, 1, 4096)
        self.kind, self.memory = encoder_kind(encoder or _ENCODER[len(given)]), memory
        self.shifts = shifts_called(shifts, self.small[1:])
        self.training = usual_training(self.small, training, **_USUAL)
        self.kept = partial(kept_frames, mirrored=mirrored) if len(given) == 3 else kept_normal
        self.net: Likeness = _served(self._likeness())

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from `(N, C, T)`; labelled anomalies are left out.

        Raises ModelError for too few or unusable examples.
        """
        data = examples(x, y, self.shape)
        data = Examples(data.x[data.y <= 0], data.y[data.y <= 0])
        net = self._likeness()
        random = torch.Generator().manual_seed(self.training.seed)
        objective = _contrast(self.kept, random)
        self.metrics = train(net, objective, data, self.training, progress=self.show_progress)
        known, held_out = split(data)
        _remember(_served(net), known.x)
        with torch.no_grad():
            usual = in_pieces(net, held_out.x).mean(0)
            net.weight.copy_(1 / (usual.clamp(min=_SMALLEST) * len(usual)))
        self.net, self.ready = net, True

    def _likeness(self) -> Likeness:
        with seeded(self.training.seed):
            inward = self.kind.encoder(self.small, self.widths, self.latent)
            projection = nn.Linear(self.latent, self.latent)
            classifier = nn.Linear(self.latent, len(self.shifts.index))
        ends = (projection, classifier)
        return Likeness(self.shifts, inward, ends, self.memory, self.shrink)


def _served(net: Likeness) -> Likeness:
    """The inference form of a net, in place."""
    net.encoder = folded(net.encoder)
    return net.eval()


def _contrast(kept: Kept, random: torch.Generator) -> Objective:
    """NT-Xent over two looks at each shifted example, and the cross-entropy of naming the shift."""

    def objective(net: nn.Module, data: Examples) -> Loss:
        assert isinstance(net, Likeness)
        small = net.shrink(data.x)
        looks = torch.cat([kept(small, random), kept(small, random)])
        seen = net.encoder(net.shifts(looks))
        embedding = normalize(net.projection(seen))
        count = len(net.norm)
        same = torch.arange(len(seen)).roll(len(seen) // 2)
        alike = embedding @ embedding.T / _TEMPERATURE
        alike = alike.masked_fill(torch.eye(len(seen), dtype=torch.bool), -torch.inf)
        named = torch.arange(count).repeat(len(looks))
        contrast = cross_entropy(alike, same, reduction="none")
        telling = cross_entropy(net.classifier(seen), named, reduction="none")
        rows = (contrast + telling).reshape(2, len(data.x), count).mean((0, 2))
        return Loss(rows, torch.zeros(()))

    return objective


@torch.no_grad()
def _remember(net: Likeness, x: Tensor) -> None:
    """Centres of the directions of each transformation's embeddings, and their usual length."""
    count, size = len(net.norm), net.memory.shape[2]
    ends = in_pieces(lambda rows: net.projection(net.encoder(net.shifts(net.shrink(rows)))), x)
    embedding = ends.reshape(len(x), count, size)
    net.norm.copy_(embedding.square().mean(2).sqrt().median(0).values.clamp(min=1e-6))
    directions = normalize(embedding, dim=2)
    for place in range(count):
        net.memory[place] = _centres(directions[:, place], net.memory.shape[1]) / size**0.5


def _centres(directions: Tensor, count: int) -> Tensor:
    """Spherical k-means `(N, D) -> (count, D)` (Dhillon and Modha 2001), from evenly spaced
    examples; with fewer examples than centres some stand more than once.
    """
    places = torch.linspace(0, len(directions) - 1, count).round().long()
    centres = directions[places]
    for _ in range(_ROUNDS):
        nearest = (directions @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, directions)
        taken = torch.bincount(nearest, minlength=count) > 0
        centres = torch.where(taken[:, None], normalize(sums), centres)
    return centres
