"""The normal distribution of a net's latent numbers, from which new examples can be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from monitor.errors import ModelError
from monitor.types import Array, State

_MEAN, _FACTOR = "codes_mean", "codes_factor"


class Codes(NamedTuple):
    """Latent numbers are `mean` `(L,)` plus standard normal ones times `factor` `(L, L)`."""

    mean: Array
    factor: Array

    def drawn(self, count: int, seed: int) -> Tensor:
        """`(count, L)`, the same for the same seed."""
        rows = standard_normal(count, len(self.mean), seed).double()
        factor, mean = (torch.from_numpy(array).double() for array in (self.factor, self.mean))
        return (rows @ factor + mean).float()

    def state(self) -> State:
        """Both arrays, under the names that `taken` looks for."""
        return {_MEAN: self.mean.copy(), _FACTOR: self.factor.copy()}


def standard_normal(count: int, latent: int, seed: int) -> Tensor:
    """`(count, latent)`, the same for the same seed."""
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.standard_normal((count, latent), np.float32))


def fitted(embedding: Tensor) -> Codes:
    """Mean and covariance of the latent numbers `(N, L)` of training examples."""
    rows = embedding.double().numpy()
    values, vectors = np.linalg.eigh(np.cov(rows, rowvar=False).reshape(rows.shape[1], -1))
    factor = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    return Codes(rows.mean(0).astype(np.float32), factor.astype(np.float32))


def taken(state: Mapping[str, Array], latent: int) -> tuple[Codes | None, State]:
    """The codes among the arrays of a state, and the others. A model that was trained before codes
    were kept has none. Raises ModelError where they do not fit.
    """
    rest = {name: array for name, array in state.items() if name not in (_MEAN, _FACTOR)}
    if len(rest) == len(state):
        return None, rest
    for name, shape in ((_MEAN, (latent,)), (_FACTOR, (latent, latent))):
        found = state.get(name)
        if found is None or found.dtype != np.float32 or found.shape != shape:
            told = "missing" if found is None else f"{found.dtype} {found.shape}"
            raise ModelError(f"weights {name!r} are {told}; valid is float32 {shape}")
        if not np.isfinite(found).all():
            raise ModelError(f"weights {name!r} hold NaN or infinity")
    return Codes(np.array(state[_MEAN]), np.array(state[_FACTOR])), rest
