"""An encoder read at two depths: the embedding of an example, and how its parts look.

Kept apart from what judges them, so that one pass of the net serves every judge.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FLOOR = 0.3  # of the mean deviation: what hardly moves is not held to more than that


class Layered(nn.Module):
    """`(N, C, ...) -> (N, P + D)`: how far the P channels of the last convolution are from what is
    usual at each place, squared and averaged over the places, and the embedding's D numbers.

    `centre` and `sharpness` (1 / deviation) are those of each channel and place. A Mahalanobis
    distance at several layers tells more than at the last (Lee, Lee, Lee and Shin, "A simple
    unified framework for detecting out-of-distribution samples and adversarial attacks", NeurIPS
    2018): what does not help to tell classes apart is gone by then. Here it is diagonal.
    """

    centre: Tensor
    sharpness: Tensor

    def __init__(self, encoder: nn.Sequential, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.stages, self.end = _halves(encoder)
        with torch.no_grad():
            inner = self.stages.eval()(torch.zeros(1, *shape)).shape[1:]
        self.register_buffer("centre", torch.zeros(inner))
        self.register_buffer("sharpness", torch.ones(inner))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.stages(x)
        return torch.cat([self.off(inner).flatten(2).mean(2), self.end(inner)], 1)

    def off(self, inner: Tensor) -> Tensor:
        """Squared distances of each channel and place: `(N, P, ...) -> (N, P, ...)`."""
        return ((inner - self.centre) * self.sharpness).square()

    @torch.no_grad()
    def settle(self, x: Tensor, trim: float) -> None:
        """Learn what is usual from normal examples, twice: without the share `trim` of them that
        the first time finds farthest away.
        """
        inner = torch.cat([self.stages(rows) for rows in torch.split(x, 256)])
        self._usual(inner)
        distance = torch.cat(
            [self.off(rows).flatten(1).mean(1) for rows in torch.split(inner, 256)]
        )
        order = distance.argsort(stable=True)[: len(x) - int(trim * len(x))]
        self._usual(inner[order.sort().values])

    def _usual(self, inner: Tensor) -> None:
        deviation = inner.std(0)
        least = (_FLOOR * deviation.mean()).clamp(min=1e-6)
        self.centre.copy_(inner.mean(0))
        self.sharpness.copy_((deviation.square() + least.square()).rsqrt())


def _halves(encoder: nn.Sequential) -> tuple[nn.Sequential, nn.Sequential]:
    """The convolutions, and the layers from the flattening on."""
    layers = list(encoder)
    place = next(n for n, layer in enumerate(layers) if isinstance(layer, nn.Flatten))
    return nn.Sequential(*layers[:place]), nn.Sequential(*layers[place:])
