"""Metric learning: a net that tells known classes apart, and then judges by where it puts things.

Its classifier is thrown away after training. What detectors of this kind share: classes, training,
judging, state.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from rich.progress import track
from torch import Tensor, nn

from monitor.arrays import put_under, under
from monitor.detect import curves
from monitor.detect.classical.rows import TRIM
from monitor.detect.deep.health import in_pieces, refuse_one_score, thinned
from monitor.detect.deep.judges import HEADS, Judge, check_head, judge
from monitor.detect.deep.layered import Layered
from monitor.detect.deep.lessons import Classes, classes_of
from monitor.detect.deep.nets import encoder, folded
from monitor.detect.deep.torch_base import NetDetector, Program
from monitor.detect.deep.training import Examples, Training, examples, one_thread, seeded
from monitor.errors import ModelError
from monitor.types import Array, State

_TRIM_FROM = 3
_HEAD = "head"


class Judged(Program):
    """The rows of a net for a fixed number of examples, and what a judge says of them."""

    def __init__(self, rows: Program, judged: Judge) -> None:
        super().__init__(rows.parts, rows.backend)
        self.judged = judged

    def __call__(self, x: Array) -> Array:
        """`(chunk, *shape) -> (chunk,)`."""
        return self.judged.score(self.parts(x))


class MetricLearner(NetDetector):
    """What detectors by metric learning have in common. Not a detector itself: a subclass has
    `_classifier`, which gives the loss of each row of a batch.
    """

    uses_labels: ClassVar[bool] = True
    heads: ClassVar[tuple[str, ...]] = HEADS
    directions: ClassVar[bool] = True

    def __init__(
        self,
        shape: Sequence[int],
        *,
        head: str = "layers",
        widths: Sequence[int] | None = None,
        latent: int = 64,
        **training: Any,
    ) -> None:
        super().__init__(shape, widths, latent)
        self.head = check_head(head, self.heads)
        self.training = Training(**{"epochs": 10, **training})
        self.net: Layered = Layered(folded(self._encoder()), self.shape)
        self.judge: Judge = self._new_judge()

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from `(N, *shape)`, labels as in `Trainable`.

        Raises ModelError for too few or unusable examples, and for a net that tells nothing.
        """
        data = examples(x, y, self.shape, every_class=True)
        classes = self._classes(data)
        with one_thread(), seeded(self.training.seed):
            net, classifier = self._encoder(), self._classifier(len(classes.counts))
            loss = self._learn(net, classifier, classes)
            self.net = Layered(folded(net), self.shape)
            self._settle(data)
        self.metrics = {"loss": loss, "classes": float(len(classes.counts))}
        self.metrics |= {"anomalies": float((data.y == 1).sum()), "examples": float(len(data.x))}
        self.ready = True

    def rejudge(self, head: str, x: Array, y: Array | None = None) -> None:
        """Judge by another head from now on, with the same net: `x` and `y` as for `fit`."""
        data = examples(x, y, self.shape, every_class=True)
        self.head = check_head(head, self.heads)
        self._learn_to_judge(data)

    def score(self, x: Array) -> Array:
        """`(N, *shape) -> (N,)`, by torch. In calls of another N the last bits may differ.

        Raises ModelError before training and for examples of another shape.
        """
        return self.judge.score(self.parts(x))

    def embed(self, x: Array) -> Array:
        """What the head judges: `(N, *shape) -> (N, D)`."""
        return self.parts(x)

    def compile(self, chunk: int, backend: str = "auto") -> Program:
        """The score for calls of exactly `chunk` examples; see `PartsDetector.compile`."""
        return Judged(super().compile(chunk, backend), self.judge)

    def state(self) -> State:
        """The net's weights, and the arrays of what judges."""
        return {**super().state(), **put_under(_HEAD, self.judge.state())}

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit; nothing is kept."""
        head = under(_HEAD, state)
        restored = self._new_judge()
        restored.restore(head)
        super().restore({k: v for k, v in state.items() if k not in put_under(_HEAD, head)})
        self.judge = restored

    @abstractmethod
    def _classifier(self, count: int) -> nn.Module:
        """A module `(N, latent), (N,) -> (N,)`: embeddings and classes to losses."""

    def _classes(self, data: Examples) -> Classes:
        return classes_of(data)

    def _shares(self, count: int) -> Tensor:
        """How often each class is drawn, in proportion."""
        return torch.ones(count)

    def _encoder(self) -> nn.Sequential:
        with seeded(self.training.seed):
            return encoder(self.shape, self.widths, self.latent)

    def _new_judge(self) -> Judge:
        local = self.net.centre.shape[0]
        return judge(self.head, local, self.latent, directions=self.directions)

    def _learn(self, net: nn.Sequential, classifier: nn.Module, classes: Classes) -> float:
        """Train both in place; the mean loss of the last epoch."""
        plan, weights = self.training, [*net.parameters(), *classifier.parameters()]
        random = torch.Generator().manual_seed(plan.seed)
        steps = classes.steps(plan.batch)
        optimiser = torch.optim.AdamW(weights, plan.learning_rate, weight_decay=1e-4, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.epochs * steps)
        shares, totals = self._shares(len(classes.counts)), list[float]()
        net.train()
        hidden = not self.show_progress
        for epoch in track(range(1, plan.epochs + 1), "training", disable=hidden):
            totals.append(0.0)
            for _ in range(steps):
                y = torch.multinomial(shares, plan.batch, replacement=True, generator=random)
                losses = classifier(net(classes.draw(y, random)), y)
                loss = _trimmed(losses, y, epoch)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                totals[-1] += float(loss.detach()) / steps
        if not torch.isfinite(torch.cat([weight.flatten() for weight in weights])).all():
            raise ModelError(
                "the training loss was never a finite number; check the examples for wild values "
                "or lower learning_rate"
            )
        curves.tell(totals, ())
        return totals[-1]

    def _settle(self, data: Examples) -> None:
        """Learn what is usual: of the net's inside, and of where it puts normal examples."""
        self.net.eval().requires_grad_(False)
        normal = data.x[data.y <= 0]
        self.net.settle(normal, TRIM)
        refuse_one_score("the metric net", in_pieces(self.net, thinned(normal)).sum(1))
        self._learn_to_judge(data)

    def _learn_to_judge(self, data: Examples) -> None:
        """From where the net puts normal examples, and known anomalies."""
        normal, known = data.x[data.y <= 0], data.x[data.y == 1]
        rows = in_pieces(self.net, normal).numpy()
        odd = in_pieces(self.net, known).numpy() if len(known) else rows[:0]
        self.judge = self._new_judge()
        self.judge.fit(rows, odd)


def _trimmed(losses: Tensor, y: Tensor, epoch: int) -> Tensor:
    """The mean loss; of normal examples the worst do not count from the third epoch on."""
    normal = losses[y == 0]
    drop = int(TRIM * len(normal) + 0.5) if epoch >= _TRIM_FROM else 0
    kept = normal.topk(len(normal) - drop, largest=False).values if drop else normal
    return torch.cat([kept, losses[y > 0]]).mean()
