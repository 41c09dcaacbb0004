"""Contrasting shifted instances, and the changes of a signal that it learns from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detect.deep.augment import SHIFTS, kept_normal, shifts_called
from monitor.detect.deep.contrastive import Contrastive, _centres
from monitor.detect.deep.training import one_thread
from monitor.detect.seeded_faults import found_by
from monitor.errors import ConfigError, ModelError
from monitor.testing import anomalous_examples, normal_examples
from monitor.types import Array

SHAPE = (2, 40)


def waves(count: int, seed: int = 0) -> Array:
    """Two channels with one wave of any phase, one a quarter turn behind the other."""
    random = np.random.default_rng(seed)
    time = np.arange(SHAPE[1]) / 4 + random.uniform(0, 6.28, (count, 1, 1))
    wave = np.concatenate([np.sin(time), np.cos(time)], axis=1)
    return np.asarray(wave + random.normal(0, 0.1, wave.shape), np.float32)


@pytest.fixture(scope="module")
def detector() -> Contrastive:
    made = Contrastive(SHAPE, epochs=4, latent=16, memory=32)
    made.fit(waves(300))
    return made


@pytest.mark.parametrize("kind", ["level", "backwards", "stuck"])
def test_it_finds_another_level_a_wave_that_runs_backwards_and_a_stuck_channel(
    detector: Contrastive, kind: str
) -> None:
    odd = waves(80, seed=6)
    if kind == "level":
        odd[:, 0] += 1.5
    elif kind == "backwards":
        odd = np.ascontiguousarray(odd[:, :, ::-1])
    else:
        odd[:, 1] = odd[:, 1, :1]
    assert found_by(detector.score(waves(200, seed=5)), detector.score(odd)) > 0.85


def test_a_normal_example_scores_about_one(detector: Contrastive) -> None:
    assert float(detector.score(waves(200, seed=5)).mean()) == pytest.approx(1, abs=0.4)


def test_loud_is_not_normal(detector: Contrastive) -> None:
    """A long embedding is a sign of what is known, but not one that outweighs its direction."""
    unlike = detector.parts(20 * waves(50, seed=5))[:, :5].sum(axis=1)
    assert unlike.min() > 0
    wild = detector.score(20 * anomalous_examples(SHAPE, 50))
    assert np.median(wild) > np.quantile(detector.score(waves(200, seed=5)), 0.9)


@pytest.mark.parametrize("encoder", ["conv", "patch"])
def test_the_compiled_forms_agree(encoder: str) -> None:
    made, x = Contrastive((3, 21), epochs=1, encoder=encoder), normal_examples((3, 21), 8)
    made.fit(normal_examples((3, 21), 40))
    for backend in ("torch", "onnx"):
        parts = made.compile(8, backend).parts(x)
        np.testing.assert_allclose(parts, made.parts(x), rtol=1e-5, atol=2e-6)


def test_a_score_in_onnx_does_not_depend_on_the_place_to_the_bit(detector: Contrastive) -> None:
    program, x = detector.compile(64, "onnx"), normal_examples(SHAPE, 64)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(64)
        assert np.array_equal(program(x[order]), program(x)[order])


def test_labelled_anomalies_are_not_learned() -> None:
    wild, plain, mixed = anomalous_examples(SHAPE, 40), *(Contrastive(SHAPE, epochs=1),) * 2
    plain.fit(waves(60))
    expected = plain.score(wild)
    labels = np.repeat(np.array([0, 1], np.float32), [60, 40])
    mixed.fit(np.concatenate([waves(60), wild]), labels)
    assert np.array_equal(mixed.score(wild), expected)


def test_fewer_examples_than_memory_are_enough() -> None:
    made = Contrastive(SHAPE, epochs=1, memory=64)
    made.fit(waves(20))
    assert np.isfinite(made.score(waves(5))).all()


def test_the_centres_are_where_the_directions_are() -> None:
    random = torch.Generator().manual_seed(1)
    axes = torch.eye(3).repeat(50, 1) + 0.05 * torch.randn(150, 3, generator=random)
    centres = _centres(torch.nn.functional.normalize(axes), 3)
    torch.testing.assert_close((centres @ torch.eye(3)).amax(1), torch.ones(3), rtol=0, atol=0.01)
    assert sorted(centres.argmax(1).tolist()) == [0, 1, 2]


def test_weights_of_another_memory_are_refused(detector: Contrastive) -> None:
    with pytest.raises(ModelError, match="'memory' are float32"):
        Contrastive(SHAPE, latent=16, memory=31).restore(detector.state())


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"shifts": []}, r"shifts is \[\]; valid is a list of some of reverse, flip"),
        ({"shifts": ["rotate"]}, "rotate"),
        ({"shifts": ["flip", "flip"]}, "valid is a list"),
        ({"shifts": "flip"}, "shifts is 'flip'"),
        ({"memory": 0}, "memory is 0"),
        ({"encoder": "lstm"}, "encoder is 'lstm'"),
    ],
)
def test_parameters_that_make_no_sense_are_named(params: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Contrastive(SHAPE, **params)


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 70), st.sampled_from(sorted(SHIFTS)))
def test_a_shift_is_what_its_numbers_say_and_no_row_touches_another(
    samples: int, name: str
) -> None:
    with one_thread():
        shifts = shifts_called([name], (samples,))
        x = torch.randn(3, 2, samples)
        shifted = shifts(x).reshape(3, 2, 2, samples)
    assert torch.equal(shifted[:, 0], x)
    index, sign, offset = SHIFTS[name](samples)
    assert torch.equal(shifted[:, 1], sign * x[:, :, index] + offset)
    assert not torch.equal(shifted[:, 1], x)
    assert int(index.min()) >= 0
    assert int(index.max()) < samples


def test_the_shifts_that_reorder_lose_nothing_but_at_an_odd_end() -> None:
    for name in ("reverse", "permute", "swap"):
        index, _, _ = SHIFTS[name](32)
        assert sorted(index.tolist()) == list(range(32))


def test_augmentation_depends_on_the_seed_alone_and_keeps_the_signal() -> None:
    x = torch.from_numpy(waves(50))
    seen = [kept_normal(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    assert float((seen[0] - x).square().mean()) < 0.5 * float(x.var())
