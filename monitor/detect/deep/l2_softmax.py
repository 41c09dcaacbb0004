"""L2-constrained softmax: classes are told apart by the direction of an embedding alone.

Ranjan, Castillo and Chellappa, "L2-constrained softmax loss for discriminative face verification",
arXiv 1703.09507, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from monitor.detect.deep.metric import MetricLearner
from monitor.errors import ConfigError


class L2Softmax(MetricLearner):
    """Scores how far an example is from the normal ones in the space of a net that learned to tell
    known classes apart: about 1 for a normal one, with the head `layers`.

    The embedding of each example is scaled to the length `alpha` before the classifier (section
    4.1 of the paper), so classes become narrow cones. Classes are what is normal, known anomalies
    where there are any (a few do), other known classes or else what normal examples become when
    they are turned, and normal examples with a piece of something else. `head` is one of
    `judges.HEADS`; `widths` and `latent` are as in Deep SVDD, the rest are fields of `Training`
    (there is no early stop). Raises ConfigError for values that cannot be used.
    """

    def __init__(self, shape: Sequence[int], *, alpha: float = 8.0, **params: Any) -> None:
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha <= 1000:
            raise ConfigError(f"alpha is {alpha!r}; numbers over 0 and up to 1000 are valid")
        self.alpha = float(alpha)
        super().__init__(shape, **params)

    def _classifier(self, count: int) -> nn.Module:
        return _Scaled(self.latent, count, self.alpha)


class _Scaled(nn.Module):
    """Cross-entropies of a linear classifier of embeddings of one length."""

    def __init__(self, size: int, count: int, alpha: float) -> None:
        super().__init__()
        self.linear, self.alpha = nn.Linear(size, count), alpha

    def forward(self, embedding: Tensor, y: Tensor) -> Tensor:
        logits = self.linear(self.alpha * normalize(embedding, dim=1))
        return cross_entropy(logits, y, reduction="none")
