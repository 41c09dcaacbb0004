"""Deep one-class features: descriptive, learned on other classes, and compact for the normal one.

Perera and Patel, "Learning deep features for one-class classification", IEEE Transactions on Image
Processing 28 (2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from monitor.detect.deep.lessons import Classes, references_of
from monitor.detect.deep.metric import MetricLearner
from monitor.detect.deep.training import Examples
from monitor.errors import ConfigError, ModelError


class DeepOneClass(MetricLearner):
    """Scores the local outlier factor of an example's features among those of normal examples.

    The net learns to tell known other classes apart (descriptiveness) and, in the same step, to
    put normal examples close together (compactness, which counts `compact` times; section III of
    the paper). It learns nothing from known anomalies, and cannot do without reference classes:
    labels 2, 3, ... of `Trainable.fit`. `head` is lof, euclid or mahalanobis; the other
    parameters are those of `l2_softmax`. Raises ConfigError for values that cannot be used.
    """

    uses_labels: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = True
    heads: ClassVar[tuple[str, ...]] = ("lof", "euclid", "mahalanobis")
    directions: ClassVar[bool] = False

    def __init__(
        self, shape: Sequence[int], *, head: str = "lof", compact: float = 0.1, **params: Any
    ) -> None:
        if isinstance(compact, bool) or not isinstance(compact, int | float) or not compact > 0:
            raise ConfigError(f"compact is {compact!r}; numbers over 0 are valid")
        self.compact = float(compact)
        super().__init__(shape, head=head, **params)

    def _classes(self, data: Examples) -> Classes:
        found = references_of(data)
        if len(found.counts) < 3:
            raise ModelError(
                f"the training examples have {len(found.counts) - 1} reference classes (labels 2, "
                "3, ...); DOC needs at least 2: give them, or take l2_softmax, which makes its own"
            )
        return found

    def _shares(self, count: int) -> Tensor:
        """As many normal examples as others."""
        shares = torch.ones(count)
        shares[0] = count - 1
        return shares

    def _classifier(self, count: int) -> nn.Module:
        return _DescriptiveCompact(self.latent, count - 1, self.compact)


class _DescriptiveCompact(nn.Module):
    """Cross-entropies of reference examples; for normal ones the squared distance from the mean of
    the others in the batch, by dimension.
    """

    def __init__(self, size: int, count: int, compact: float) -> None:
        super().__init__()
        self.linear, self.compact = nn.Linear(size, count), compact

    def forward(self, embedding: Tensor, y: Tensor) -> Tensor:
        normal = y == 0
        count = int(normal.sum())
        losses = embedding.new_zeros(len(y))
        if count > 1:
            own = embedding[normal]
            apart = (own - own.mean(0)) * (count / (count - 1))
            losses[normal] = self.compact * apart.square().mean(1)
        if count < len(y):
            told = self.linear(embedding[~normal])
            losses[~normal] = cross_entropy(told, y[~normal] - 1, reduction="none")
        return losses
