"""Deviation networks: a few known anomalies are pushed away from a normal score of 0.

Pang, Shen and van den Hengel, "Deep anomaly detection with deviation networks", KDD 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from monitor.detect.deep.dense import check_dense, check_sides, dense
from monitor.detect.deep.heads import Deviation
from monitor.detect.deep.health import in_pieces, refuse_one_score, thinned
from monitor.detect.deep.sizes import shrink_to
from monitor.detect.deep.torch_base import PartsDetector, checked_widths
from monitor.detect.deep.training import (
    Examples,
    Loss,
    Objective,
    Training,
    examples,
    seeded,
    train,
)
from monitor.errors import ModelError
from monitor.types import Array, State

_MARGIN = 5.0
_FARTHEST = 10.0
_MOST_PIXELS = 3072  # 32 x 32 in colour


class DeviationNetwork(PartsDetector):
    """Scores how many standard deviations an example is above the normal score, as
    (u + sqrt(u^2 + 4)) / 2: about 1 for a normal one, about 5 for one like the labelled anomalies.

    A small dense net makes the number u of the window's statistics. Normal and unlabelled examples
    are to have 0, labelled anomalies at least 5: the mean and the standard deviation of the
    Gaussian prior are 0 and 1 (equations 3 to 7 of the paper, with the prior itself in place of a
    sample of it). Each step sees as many labelled anomalies as others, drawn with repetition. It
    finds what is like the labels, so use it beside detectors that need none. A frame is shrunk to
    at most 3,072 numbers. `widths` are the hidden layers, the rest are fields of `Training`.
    Raises ConfigError for values that cannot be used.
    """

    view: ClassVar[str] = "statistics"
    uses_labels: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True

    def __init__(
        self,
        shape: Sequence[int],
        *,
        widths: Sequence[int] = (20,),
        epochs: int = 20,
        learning_rate: float = 1e-3,
        **training: Any,
    ) -> None:
        super().__init__(check_sides(shape))
        self.shrink = shrink_to(self.shape, _MOST_PIXELS)
        self.widths, self.size = checked_widths(widths), math.prod(self.shrink.shape(self.shape))
        check_dense((self.size, *self.widths, 2))
        self.training = Training(epochs=epochs, learning_rate=learning_rate, **training)
        self.net: Deviation = self._scorer().eval()

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from `(N, *shape)`, labels as in `Trainable`, of which some must be 1.

        Raises ModelError for too few or unusable examples, and without a labelled anomaly.
        """
        data = examples(x, y, self.shape)
        known, others = data.x[data.y > 0], Examples(data.x[data.y <= 0], data.y[data.y <= 0])
        if not len(known):
            raise ModelError(
                f"none of the {len(data.x)} training examples is labelled as an anomaly (1); a "
                "deviation network learns from some: give labels, or take deep_svdd"
            )
        net = self._scorer()
        _standardise(net, self.shrink(others.x).flatten(1))
        objective = _deviations(known, torch.Generator().manual_seed(self.training.seed))
        self.metrics = train(net, objective, others, self.training, progress=self.show_progress)
        refuse_one_score("the deviation network", in_pieces(net, thinned(others.x)).sum(1))
        self.metrics["anomalies"] = float(len(known))
        self.net, self.ready = net.eval().requires_grad_(False), True

    def restore(self, state: State) -> None:
        """Take weights from `state()`. Raises ModelError where they do not fit; nothing is kept."""
        scale = state.get("scale")
        if scale is None or scale.dtype != np.float32 or not (scale > 0).all():
            raise ModelError("'scale' is missing, or holds values that are not float32 over 0")
        super().restore(state)

    def _scorer(self) -> Deviation:
        with seeded(self.training.seed):
            layers = dense((self.size, *self.widths, 2))
            return Deviation(layers, self.size, _FARTHEST, self.shrink)


def _standardise(net: Deviation, rows: Tensor) -> None:
    """By medians and interquartile ranges; a tenth of the deviation for what mostly rests."""
    values = rows.double().numpy()
    low, centre, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    scale = np.maximum((high - low) / 1.349, values.std(axis=0) / 10)
    scale = np.maximum(scale, np.maximum(1e-3 * np.abs(centre), 1e-6))
    net.centre.copy_(torch.from_numpy(centre))
    net.scale.copy_(torch.from_numpy(scale))


def _deviations(known: Tensor, random: torch.Generator) -> Objective:
    """|u| of the examples, and how much as many of the known anomalies lack to the margin."""

    def objective(net: nn.Module, data: Examples) -> Loss:
        assert isinstance(net, Deviation)
        drawn = torch.randint(len(known), (len(data.x),), generator=random)
        normal, odd = net.raw(torch.cat([data.x, known[drawn]])).flatten().tensor_split(2)
        lacking = torch.relu(_MARGIN - odd).mean()
        return Loss(normal.abs() + lacking, torch.zeros(()))

    return objective
