"""The training loop of every net: shuffled batches, trimmed loss, early stop, best weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from rich.progress import Progress
from torch import Tensor, nn

from monitor.detect import curves
from monitor.errors import ConfigError, ModelError
from monitor.types import Array

MINIMUM = 16
_TRIM_FROM = 3
_EPOCH_STEPS = (32, 500)
_PIECE = 2**22


@dataclass(frozen=True, slots=True)
class Training:
    """How long and how fast a net learns.

    An epoch is one pass over the examples, but at least 32 and at most 500 batches of `batch`
    examples. Training stops after `epochs`, or when the loss on held-out examples has not
    fallen for `patience` epochs. `trim` is the share of each batch, the worst, that is dropped from
    the third epoch on: 0 where all examples are known to be normal. Raises ConfigError for values
    that make no sense.
    """

    epochs: int = 30
    batch: int = 64
    learning_rate: float = 2e-3
    patience: int = 6
    seed: int = 0
    trim: float = 0.05

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 10_000),
            ("batch", 2, 65_536),
            ("patience", 1, 10_000),
        ):
            whole_number(name, getattr(self, name), low, high)
        whole_number("seed", self.seed, 0, 2**63 - 1)
        rate = self.learning_rate
        if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate <= 1:
            raise ConfigError(f"learning_rate is {rate!r}; numbers over 0 and up to 1 are valid")
        share = self.trim
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share < 0.5:
            raise ConfigError(f"trim is {share!r}; numbers from 0 to under 0.5 are valid")


class Examples(NamedTuple):
    """What a net learns from: `x` is `(N, *shape)`, `y` `(N,)` as in `Trainable.fit`."""

    x: Tensor
    y: Tensor


class Loss(NamedTuple):
    """`rows` is the loss of each example, of which the worst are dropped; `rest` is added whole."""

    rows: Tensor
    rest: Tensor


Objective = Callable[[nn.Module, Examples], Loss]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Nets made inside get weights that depend on the seed alone; torch's own seed is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: faster for nets this small, and the same sums on any machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def whole_number(name: str, value: object, low: int, high: int) -> None:
    """Raises ConfigError unless `value` is a whole number from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; whole numbers from {low} to {high} are valid")


def examples(
    x: Array, y: Array | None, shape: tuple[int, ...], *, every_class: bool = False
) -> Examples:
    """Checked tensors of what `fit` was given; all unknown (-1) where there are no labels. Those of
    further classes (2, 3, ...) are left out, but for `every_class`.

    Raises ModelError where shapes do not fit, values are not finite, or fewer than MINIMUM
    examples are not anomalies.
    """
    if x.shape[1:] != shape or (y is not None and y.shape != x.shape[:1]):
        labels = "" if y is None else f" and labels {y.shape}"
        raise ModelError(f"examples {x.shape}{labels} do not fit: valid are (N, *{shape}) and (N,)")
    data = torch.from_numpy(x.astype("float32"))
    known = torch.full((len(x),), -1.0) if y is None else torch.from_numpy(y.astype("float32"))
    if not torch.isfinite(data).all():
        raise ModelError("the training examples hold NaN or infinity; leave those windows out")
    if not every_class:
        data, known = data[known < 2], known[known < 2]
    usable = int((known <= 0).sum())
    if usable < MINIMUM:
        raise ModelError(f"{usable} examples are not anomalies; training needs at least {MINIMUM}")
    return Examples(data, known)


def piece(x: Tensor) -> int:
    """How many of the examples `(N, ...)` to pass through a net at once: 256, fewer large ones."""
    return min(max(_PIECE // max(math.prod(x.shape[1:]), 1), 8), 256)


def split(data: Examples) -> tuple[Examples, Examples]:
    """Training examples, and the last 15 % without anomalies, after a gap of one, held out."""
    edge = len(data.x) - max(2, round(0.15 * len(data.x)))
    training = Examples(data.x[: edge - 1], data.y[: edge - 1])
    normal = data.y[edge:] <= 0
    held_out = Examples(data.x[edge:][normal], data.y[edge:][normal])
    return training, held_out if len(held_out.x) else training


@one_thread()
def train(
    net: nn.Module, objective: Objective, data: Examples, plan: Training, *, progress: bool = False
) -> dict[str, float]:
    """Train in place, ending with the weights that did best on the held-out part of `data`.

    From the third epoch on the worst 5 % of each batch are dropped, so that a few anomalies
    among the examples are not learned. Returns `loss` (held out), `epochs` and `examples`.
    Raises ModelError where the loss is not finite.
    """
    training, held_out = split(data)
    random = torch.Generator().manual_seed(plan.seed)
    optimiser = torch.optim.AdamW(
        net.parameters(), plan.learning_rate, weight_decay=1e-4, fused=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.epochs)
    best, curve = _Best(net, plan.patience), _Curve()
    with Progress(disable=not progress) as bar:
        task = bar.add_task("training", total=plan.epochs)
        for epoch in range(1, plan.epochs + 1):
            net.train()
            for rows in _batches(len(training.x), plan.batch, random):
                batch = Examples(training.x[rows], training.y[rows])
                optimiser.zero_grad()
                loss = _trimmed(objective(net, batch), plan.trim if epoch >= _TRIM_FROM else 0)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                curve.steps.append(float(loss.detach()))
            schedule.step()
            left = _held_out_loss(net, objective, held_out)
            curve.close_epoch(left)
            bar.update(task, advance=1, description=f"training, held-out loss {left:.4g}")
            if best.over(left, epoch):
                bar.update(task, completed=plan.epochs)
                break
    curves.tell(curve.training, curve.held_out)
    return {**best.restore(), "examples": float(len(data.x))}


def _batches(count: int, size: int, random: torch.Generator) -> Iterator[Tensor]:
    """The rows of each batch of one epoch, all of one size (`size`, or `count` if that is less)."""
    size = min(size, count)
    low, high = _EPOCH_STEPS
    steps = min(max(-(-count // size), low), high)
    passes = -(-steps * size // count)
    order = torch.cat([torch.randperm(count, generator=random) for _ in range(passes)])
    yield from torch.split(order[: steps * size], size)


def _trimmed(loss: Loss, share: float) -> Tensor:
    keep = len(loss.rows) - int(share * len(loss.rows))
    rows = loss.rows if keep == len(loss.rows) else loss.rows.topk(keep, largest=False).values
    return rows.sum() / max(1, keep) + loss.rest


@torch.no_grad()
def _held_out_loss(net: nn.Module, objective: Objective, held_out: Examples) -> float:
    net.eval()
    size = piece(held_out.x)
    parts = zip(torch.split(held_out.x, size), torch.split(held_out.y, size), strict=True)
    total = sum(float(objective(net, Examples(x, y)).rows.sum()) for x, y in parts)
    return total / len(held_out.x)


class _Curve:
    """The losses of a training so far: the mean of each epoch's steps, and what is held out."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.training: list[float] = []
        self.held_out: list[float] = []

    def close_epoch(self, held_out: float) -> None:
        self.training.append(sum(self.steps) / len(self.steps))
        self.held_out.append(held_out)
        self.steps.clear()


class _Best:
    """The weights of the epoch with the lowest held-out loss so far."""

    def __init__(self, net: nn.Module, patience: int) -> None:
        self.net, self.patience = net, patience
        self.loss, self.epoch = float("inf"), 0
        self.weights: dict[str, Tensor] = {}

    def over(self, loss: float, epoch: int) -> bool:
        """Take note of an epoch; True when there has been no progress for long enough."""
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            self.weights = {key: value.clone() for key, value in self.net.state_dict().items()}
        return epoch - self.epoch >= self.patience

    def restore(self) -> dict[str, float]:
        if not self.weights:
            raise ModelError(
                "the training loss was never a finite number; check the examples for wild values "
                "or lower learning_rate"
            )
        self.net.load_state_dict(self.weights)
        return {"loss": self.loss, "epochs": float(self.epoch)}
