"""AdaCos: cosines to the centres of classes, with a scale that follows the training.

Zhang, Zhao, Qiao, Wang and Li, "AdaCos: adaptively scaling cosine logits for effectively learning
deep face representations", CVPR 2019.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, one_hot

from monitor.detect.deep.metric import MetricLearner


class AdaCos(MetricLearner):
    """As `l2_softmax`, with AdaCos in place of its loss: no scale has to be chosen.

    The logits are s times the cosines between an embedding and each class' own direction. s begins
    at sqrt(2) log(C - 1), and in each step becomes log(B) / cos(min(pi / 4, median angle)) where B
    is the mean over the batch of the sum of exp(s cos) of the wrong classes (equations 12 and 15 of
    the paper). Parameters are those of `l2_softmax` without `alpha`.
    """

    def _classifier(self, count: int) -> nn.Module:
        return _Adaptive(self.latent, count)


class _Adaptive(nn.Module):
    def __init__(self, size: int, count: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(count, size))
        self.scale = math.sqrt(2) * math.log(max(count - 1, 2))

    def forward(self, embedding: Tensor, y: Tensor) -> Tensor:
        cosines = normalize(embedding, dim=1) @ normalize(self.centres, dim=1).T
        if self.training:
            self._rescale(cosines.detach(), one_hot(y, cosines.shape[1]).bool())
        return cross_entropy(self.scale * cosines, y, reduction="none")

    def _rescale(self, cosines: Tensor, own: Tensor) -> None:
        wrong = torch.exp(self.scale * cosines).masked_fill(own, 0).sum(1).mean()
        angle = torch.acos(cosines[own].clamp(-1, 1)).median().clamp(max=math.pi / 4)
        self.scale = max(float(torch.log(wrong) / torch.cos(angle)), 1.0)
