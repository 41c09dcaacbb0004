"""The kinds of encoder that a net can have; docs/adr/0010-encoders.md compares them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import nn

from monitor.detect.deep.nets import decoder, encoder
from monitor.detect.deep.patch_net import patch_decoder, patch_encoder
from monitor.errors import ConfigError

Maker = Callable[[tuple[int, ...], Sequence[int], int], nn.Sequential]


class Kind(NamedTuple):
    """Makes nets of `(shape, widths, latent)`: inward `(N, *shape) -> (N, latent)`, and back."""

    encoder: Maker
    decoder: Maker


ENCODERS = {
    "conv": Kind(encoder, decoder),
    "patch": Kind(patch_encoder, patch_decoder),
}


def encoder_kind(name: str) -> Kind:
    """The kind called `name`. Raises ConfigError naming the choices."""
    if name not in ENCODERS:
        raise ConfigError(f"encoder is {name!r}; valid are {', '.join(ENCODERS)}")
    return ENCODERS[name]
