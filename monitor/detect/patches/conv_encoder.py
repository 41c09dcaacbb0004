"""Patches described by a small convolutional net that learns which of them stand side by side.

PaAno (Park and Kang, "PaAno: patch-based representation learning for time-series anomaly
detection", ICLR 2026): patches that begin within a few samples of each other are to be alike, the
least like of a batch are to stay so. Unlike there a patch is not normalised: its mean and spread
stand beside what the net says of it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from monitor.detect.classical.rows import checked
from monitor.detect.deep.nets import check_shape, encoder, folded
from monitor.detect.deep.training import Examples, Loss, Training, one_thread, seeded, train
from monitor.types import Array, State

WIDTHS = (16, 32)
LATENT = 8
_MARGIN = 0.5
_QUIET = 0.05
_LEVEL = 0.2  # of one scale of the channel, beside a direction of length 1


class ConvEncoder:
    """A direction for each patch of each channel, by one net for all channels, and its level.

    The `patches` of a window overlap by half.
    """

    features = LATENT + 2

    def __init__(self, shape: tuple[int, ...], patches: int, epochs: int) -> None:
        samples = check_shape(shape)[1]
        self.length = max(-(-2 * samples // (patches + 1)), 4)
        self.starts = np.linspace(0, samples - self.length, patches).astype(np.int64)
        self.epochs = epochs
        self.net = folded(encoder((1, self.length), WIDTHS, LATENT))

    def fit(self, x: Array, seed: int) -> None:
        """Train the net on patches drawn from the windows `(N, C, T)`."""
        with seeded(seed):
            net = encoder((1, self.length), WIDTHS, LATENT)
        data = Examples(torch.from_numpy(x), torch.zeros(len(x)))
        plan = Training(epochs=self.epochs, seed=seed, learning_rate=1e-3)
        train(net, _SideBySide(self.length, seed), data, plan)
        self.net = folded(net)

    def encode(self, x: Array, channel: int) -> Array:
        """The patches of one channel of windows `(N, C, T) -> (N, P, F)`, each row alone."""
        places = self.starts[:, None] + np.arange(self.length)
        patches = np.ascontiguousarray(x[:, channel][:, places])
        with one_thread(), torch.inference_mode():
            rows = torch.from_numpy(patches.reshape(-1, 1, self.length))
            direction = normalize(self.net(rows)).numpy().reshape(*patches.shape[:2], LATENT)
        return np.concatenate([direction, _level(patches)], axis=2)

    def state(self) -> State:
        return {name: value.numpy().copy() for name, value in self.net.state_dict().items()}

    def restore(self, state: State) -> None:
        """Take arrays from `state()`; ModelError where they do not fit."""
        wanted = self.net.state_dict()
        arrays = checked(state, {name: tuple(value.shape) for name, value in wanted.items()})
        for name, value in wanted.items():
            value.copy_(torch.from_numpy(arrays[name]))


class _SideBySide:
    """The loss of a batch of windows: of each a patch, one that begins up to an eighth of its
    length away, and the patch of another window that is least like it (a triplet; Schroff,
    Kalenichenko and Philbin, CVPR 2015, but with the easiest negative, as PaAno has it: in normal
    data the hardest is often the same thing at another time).
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.random = torch.Generator().manual_seed(seed)

    def __call__(self, net: nn.Module, data: Examples) -> Loss:
        anchors, others = self._pairs(data.x)
        both: Tensor = normalize(net(torch.cat([anchors, others])[:, None]))
        likeness = both[: len(anchors)] @ both[len(anchors) :].T
        rows = relu(likeness.min(dim=1).values - likeness.diagonal() + _MARGIN)
        return Loss(rows, torch.zeros(()))

    def _pairs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        last, near = x.shape[2] - self.length, max(self.length // 8, 1)
        channel = self._drawn(0, x.shape[1], len(x))
        begin = self._drawn(0, last + 1, len(x))
        beside = (begin + self._drawn(-near, near + 1, len(x))).clamp(0, last)
        rows = x[torch.arange(len(x)), channel]
        steps = torch.arange(self.length)
        return rows.gather(1, begin[:, None] + steps), rows.gather(1, beside[:, None] + steps)

    def _drawn(self, low: int, high: int, count: int) -> Tensor:
        return torch.randint(low, high, (count,), generator=self.random)


def _level(patches: Array) -> NDArray[np.float32]:
    """Mean and log spread of each patch: `(N, P, L) -> (N, P, 2)`."""
    spread = np.log(np.sqrt(patches.var(axis=2) + _QUIET**2))
    return np.asarray(_LEVEL * np.stack([patches.mean(axis=2), spread], axis=2), np.float32)
