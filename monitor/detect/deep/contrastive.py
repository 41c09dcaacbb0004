"""Contrasting shifted instances: what is unlike all that is known, however it is turned.

Tack, Mo, Jeong and Shin, "CSI: Novelty detection via contrastive learning on distributionally
shifted instances", NeurIPS 2020, for signals in place of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from monitor.detect.deep.augment import kept_normal, shifts_called
from monitor.detect.deep.encoders import encoder_kind
from monitor.detect.deep.heads import Likeness
from monitor.detect.deep.nets import folded
from monitor.detect.deep.torch_base import NetDetector
from monitor.detect.deep.training import (
    Examples,
    Loss,
    Objective,
    Training,
    examples,
    seeded,
    split,
    train,
    whole_number,
)
from monitor.errors import ConfigError
from monitor.types import Array

_TEMPERATURE = 0.5
_ROUNDS = 10
_SMALLEST = 1e-3


class Contrastive(NetDetector):
    """Scores how far an example's embeddings are from all that is known, by direction and length,
    and how badly the net tells what was done to it: about 1 for a normal example.

    The net learns that the same window with a little noise, another size or a small delay is the
    same, that another window is not, and neither is the same one turned into something else by
    one of `shifts`; and to tell which. The score has the four terms of the paper's section 2.3
    for each of them: similarity to the nearest of `memory` centres of training embeddings, times
    the embedding's length (in units of what is usual, at most 1, so that loud is not normal), and
    the cross-entropy of naming it; each in units of what it is on held-out normal examples.
    `widths`, `latent` and `encoder` are as in Deep SVDD, the rest are fields of `Training`.
    Raises ConfigError for values that cannot be used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        shifts: Sequence[str] = ("reverse", "level", "trend", "swap"),
        memory: int = 64,
        widths: Sequence[int] = (16, 32),
        latent: int = 32,
        encoder: str = "patch",
        epochs: int = 10,
        batch: int = 32,
        **training: Any,
    ) -> None:
        super().__init__(shape, widths, latent)
        if len(self.shape) != 2:
            raise ConfigError(f"shape {self.shape} is no signal; valid is (channels, samples)")
        whole_number("memory", memory, 1, 4096)
        self.kind, self.memory = encoder_kind(encoder), memory
        self.shifts = shifts_called(shifts, self.shape[1])
        self.training = Training(epochs=epochs, batch=batch, **training)
        self.net: Likeness = _served(self._likeness())

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from `(N, C, T)`; labelled anomalies are left out.

        Raises ModelError for too few or unusable examples.
        """
        data = examples(x, y, self.shape)
        data = Examples(data.x[data.y <= 0], data.y[data.y <= 0])
        net = self._likeness()
        random = torch.Generator().manual_seed(self.training.seed)
        objective = _contrast(random)
        self.metrics = train(net, objective, data, self.training, progress=self.show_progress)
        known, held_out = split(data)
        _remember(_served(net), known.x)
        with torch.no_grad():
            usual = torch.cat([net(rows) for rows in torch.split(held_out.x, 256)]).mean(0)
            net.weight.copy_(1 / (usual.clamp(min=_SMALLEST) * len(usual)))
        self.net, self.ready = net, True

    def _likeness(self) -> Likeness:
        with seeded(self.training.seed):
            inward = self.kind.encoder(self.shape, self.widths, self.latent)
            projection = nn.Linear(self.latent, self.latent)
            classifier = nn.Linear(self.latent, len(self.shifts.index))
        return Likeness(self.shifts, inward, (projection, classifier), self.memory)


def _served(net: Likeness) -> Likeness:
    """The inference form of a net, in place."""
    net.encoder = folded(net.encoder)
    return net.eval()


def _contrast(random: torch.Generator) -> Objective:
    """NT-Xent over two looks at each shifted example, and the cross-entropy of naming the shift."""

    def objective(net: nn.Module, data: Examples) -> Loss:
        assert isinstance(net, Likeness)
        looks = torch.cat([kept_normal(data.x, random), kept_normal(data.x, random)])
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
    pieces = [net.projection(net.encoder(net.shifts(rows))) for rows in torch.split(x, 256)]
    embedding = torch.cat(pieces).reshape(len(x), count, size)
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
