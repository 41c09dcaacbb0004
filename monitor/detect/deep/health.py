"""The health of a trained net, told before it can serve: dead latents, ties, collapse.

A net may fail in silence: it maps every example to the same point (Ruff et al., "Deep one-class
classification", ICML 2018, section 3.3), or leaves most of its latent numbers unused (posterior
collapse: Lucas et al., "Don't blame the ELBO!", NeurIPS 2019). Both look like low losses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from monitor.detect.deep.training import piece
from monitor.errors import ModelError

COLLAPSED = 1e-3
_DEAD = 1e-3
_MOST = 2048


def thinned(x: Tensor) -> Tensor:
    """At most 2,048 examples, evenly spaced: what the health of a net is measured on."""
    return x[:: -(-len(x) // _MOST)]


@torch.no_grad()
def in_pieces(net: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`net` of all examples, at most 256 at a time: `(N, ...) -> (N, ...)`."""
    return torch.cat([net(rows) for rows in torch.split(x, piece(x))])


def spread_at_start(embedding: Tensor) -> Tensor:
    """The standard deviation of each dimension `(N, D) -> (D,)`, before training.

    Raises ModelError where all examples have the same embedding.
    """
    spread = embedding.std(0)
    if not float(spread.max()) > 0:
        raise ModelError(
            f"the {len(embedding)} training examples are all the same; nothing to learn"
        )
    return spread


def health(
    kind: str, embedding: Tensor, start: Tensor, scores: Tensor, *, least: float = COLLAPSED
) -> dict[str, float]:
    """What the training examples tell of a trained net: `spread`, `dead_latents` and `ties`.

    `embedding` is `(N, D)`, `start` the spread `(D,)` that it had before training, `scores` are
    `(N,)`. `spread` is the share that is left of it. Raises ModelError for a net that collapsed:
    less than `least` of the spread is left, or all examples have one single score.
    """
    spread = float(embedding.std(0).mean() / start.mean())
    if spread < least:
        raise ModelError(
            f"{kind} collapsed: the embedding keeps {spread:.1e} of its spread (at least "
            f"{least:g} is needed); lower learning_rate or epochs, or vary the data"
        )
    refuse_one_score(kind, scores)
    return {"spread": spread, "dead_latents": dead_latents(embedding), "ties": ties(scores)}


def refuse_one_score(kind: str, scores: Tensor) -> None:
    """Raises ModelError where all of the `(N,)` scores are the same."""
    if bool((scores == scores[0]).all()):
        raise ModelError(
            f"{kind} collapsed: all {len(scores)} training examples have the score "
            f"{float(scores[0]):.4g}; lower learning_rate or epochs, or vary the data"
        )


def dead_latents(embedding: Tensor) -> float:
    """How many dimensions of `(N, D)` spread less than 0.001 of the one that spreads most."""
    spread = embedding.std(0)
    return float((spread < _DEAD * spread.max()).sum())


def ties(scores: Tensor) -> float:
    """The share of the `(N,)` scores that another example has too."""
    _, counts = np.unique(scores.numpy(), return_counts=True)
    return float(counts[counts > 1].sum()) / len(scores)
