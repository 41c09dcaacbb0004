"""What tells that a trained net is ill: dead latents, ties, collapse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monitor.detect import build
from monitor.detect.deep import rebuilding
from monitor.detect.deep.health import (
    dead_latents,
    health,
    in_pieces,
    refuse_one_score,
    spread_at_start,
    thinned,
    ties,
)
from monitor.errors import ModelError
from monitor.testing import normal_examples


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_a_dimension_that_hardly_moves_is_dead() -> None:
    assert dead_latents(normal(100, 4) * torch.tensor([5.0, 0.02, 0.0001, 0.0])) == 2


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_ties_are_the_share_of_scores_that_occur_again(values: list[int]) -> None:
    expected = np.mean([values.count(value) > 1 for value in values])
    assert ties(torch.tensor(values, dtype=torch.float32)) == pytest.approx(float(expected))


def test_a_healthy_net_has_all_of_its_spread_and_no_dead_latents() -> None:
    embedding = normal(100, 4)
    found = health("a net", embedding, spread_at_start(embedding), embedding.square().sum(1))
    assert found == {"spread": pytest.approx(1), "dead_latents": 0, "ties": 0}


@pytest.mark.parametrize(("left", "refused"), [(2e-3, False), (0.9e-3, True), (0.0, True)])
def test_an_embedding_that_lost_its_spread_is_refused(left: float, refused: bool) -> None:
    embedding = normal(100, 4)
    start, scores = spread_at_start(embedding), embedding[:, 0]
    if not refused:
        assert health("a net", embedding * left, start, scores)["spread"] == pytest.approx(left)
        return
    with pytest.raises(ModelError, match=r"a net collapsed: the embedding keeps .* of its spread"):
        health("a net", embedding * left, start, scores)


def test_one_single_score_is_refused_and_two_are_not() -> None:
    with pytest.raises(ModelError, match=r"a net collapsed: all 5 .* have the score 0\.5"):
        refuse_one_score("a net", torch.full((5,), 0.5))
    refuse_one_score("a net", torch.tensor([0.5, 0.5, 0.6]))


def test_examples_that_are_all_the_same_cannot_be_told_apart() -> None:
    with pytest.raises(ModelError, match="the 7 training examples are all the same"):
        spread_at_start(torch.ones(7, 3))


@pytest.mark.parametrize("count", [1, 2048, 2049, 10_000])
def test_health_is_measured_on_evenly_spaced_examples(count: int) -> None:
    rows = thinned(torch.arange(count))
    assert len(rows) <= 2048
    assert len(rows) > 1000 or len(rows) == count
    assert len(set(rows.diff().tolist())) <= 1


def test_pieces_give_what_the_whole_gives() -> None:
    x = normal(600, 3)
    assert torch.equal(in_pieces(lambda rows: rows * 2, x), x * 2)


def flattened(net: torch.nn.Module, *_: object, **__: object) -> dict[str, float]:
    """Instead of training: weights that map everything to nearly one point."""
    for weights in net.parameters():
        weights.data.mul_(1e-9)
    return {}


@pytest.mark.parametrize("name", ["conv_ae", "dense_ae"])
def test_an_autoencoder_that_collapses_in_training_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "train", flattened)
    made = build(name, (2, 16))
    with pytest.raises(ModelError, match="the autoencoder collapsed"):
        made.fit(normal_examples((2, 16), 40))
    with pytest.raises(ModelError, match="no weights yet"):
        made.score(normal_examples((2, 16), 1))
