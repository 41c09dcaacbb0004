"""The kinds of encoder that a net can have; docs/adr/0010-encoders.md compares them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import nn

from monitor.detect.deep import dense, sizes
from monitor.detect.deep.nets import check_shape, check_weights, decoder, encoder
from monitor.detect.deep.patch_net import patch_decoder, patch_encoder
from monitor.errors import ConfigError

Maker = Callable[[tuple[int, ...], Sequence[int], int], nn.Sequential]


class Kind(NamedTuple):
    """Makes nets of `(shape, widths, latent)`: inward `(N, *shape) -> (N, latent)`, and back.

    `widths` are the usual ones for a shape; `check` raises ConfigError for what cannot be made.
    """

    encoder: Maker
    decoder: Maker
    widths: Callable[[tuple[int, ...]], tuple[int, ...]]
    check: Callable[[tuple[int, ...], Sequence[int], int], None]


def _check_stages(shape: tuple[int, ...], widths: Sequence[int], latent: int) -> None:
    check_weights(check_shape(shape), widths, latent)


def _dense_encoder(shape: tuple[int, ...], widths: Sequence[int], latent: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *dense.dense((math.prod(shape), *widths, latent)))


def _dense_decoder(shape: tuple[int, ...], widths: Sequence[int], latent: int) -> nn.Sequential:
    layers = dense.dense((latent, *reversed(widths), math.prod(shape)))
    return nn.Sequential(*layers, nn.Unflatten(1, shape))


def _dense_widths(shape: tuple[int, ...]) -> tuple[int, ...]:
    return dense.usual_widths(math.prod(shape))


def _check_dense(shape: tuple[int, ...], widths: Sequence[int], latent: int) -> None:
    dense.check_dense((math.prod(shape), *widths, latent))


ENCODERS = {
    "conv": Kind(encoder, decoder, sizes.usual_widths, _check_stages),
    "patch": Kind(patch_encoder, patch_decoder, sizes.usual_widths, _check_stages),
}
WITH_DENSE = {
    **ENCODERS,
    "dense": Kind(_dense_encoder, _dense_decoder, _dense_widths, _check_dense),
}
_CONVOLVED = 16  # pixels a side from which on a frame has parts that look alike


def encoder_kind(name: str, kinds: Mapping[str, Kind] = ENCODERS) -> Kind:
    """The kind called `name`. Raises ConfigError naming the choices."""
    if name not in kinds:
        raise ConfigError(f"encoder is {name!r}; valid are {', '.join(kinds)}")
    return kinds[name]


def usual_encoder(shape: tuple[int, ...]) -> str:
    """`conv` for frames of at least 16 pixels a side, else `dense`."""
    return "conv" if len(shape) == 3 and min(shape[1:]) >= _CONVOLVED else "dense"
