"""Nets of products of matrices alone, and the choice between them and convolutions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from monitor.detect import build
from monitor.detect.deep import onnx_backend
from monitor.detect.deep.encoders import ENCODERS
from monitor.detect.deep.nets import Distance, Residual, folded
from monitor.detect.deep.patch_net import Patches, Unpatched, patch_decoder, patch_encoder
from monitor.detect.deep.training import one_thread, seeded
from monitor.errors import ConfigError, ModelError
from monitor.testing import anomalous_examples, check_detector, normal_examples

pytestmark = pytest.mark.usefixtures("thread")
SHAPES = [(1, 4), (3, 21), (2, 64), (8, 60), (1, 8, 8), (3, 5, 14)]
signals = st.tuples(st.integers(1, 4), st.integers(4, 70))
images = st.tuples(st.integers(1, 3), st.integers(4, 17), st.integers(4, 17))


@pytest.fixture(scope="module")
def thread() -> Iterator[None]:
    with one_thread():
        yield


def autoencoder(shape: tuple[int, ...]) -> nn.Sequential:
    """With normalisation statistics that are not the neutral ones."""
    with seeded(3):
        inward, outward = patch_encoder(shape, (4, 6), 5), patch_decoder(shape, (4, 6), 5)
        net = nn.Sequential(*inward, *outward).train()
        for _ in range(3):
            net(torch.randn(8, *shape) * 2 + 1)
    return net.eval()


@settings(max_examples=15, deadline=None)
@given(st.one_of(signals, images), st.integers(1, 3))
def test_what_is_encoded_and_decoded_has_its_shape_again(shape: tuple[int, ...], n: int) -> None:
    assert autoencoder(shape)(torch.zeros(n, *shape)).shape == (n, *shape)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.lists(st.integers(1, 3), min_size=1, max_size=2), st.integers(1, 2))
def test_the_order_of_patches_is_undone(channels: int, inner: list[int], stages: int) -> None:
    unit = {1: 4, 2: 2}[len(inner)]
    sides = [side * unit**stages for side in inner]
    x = torch.randn(2, channels, *sides)
    there, back = Patches(channels, sides, stages), Unpatched(channels, sides, stages)
    assert torch.equal(back(there(x)), x)


def test_neighbours_of_an_image_lie_side_by_side_at_every_stage() -> None:
    """Each run of 4 numbers is a square of 2 x 2 pixels, each run of 16 one of 4 x 4."""
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    flat = Patches(1, (8, 8), 2)(image)[0]
    for side in (2, 4):
        for run in flat.reshape(-1, side * side):
            rows, columns = run.div(8, rounding_mode="floor"), run % 8
            assert rows.max() - rows.min() == columns.max() - columns.min() == side - 1


def test_an_output_depends_on_its_own_patch_alone() -> None:
    """Kernel and stride are the same: a sample moves one row of the first stage."""
    stage = patch_encoder((2, 16), (3,), 4)[:3]
    x = torch.randn(1, 2, 16)
    moved = x.clone()
    moved[0, 1, 6] += 1
    changed = (stage(x) != stage(moved)).any(dim=1)
    assert changed.tolist() == [False, True, False, False]


@pytest.mark.parametrize("shape", SHAPES)
def test_folding_the_normalisation_changes_nothing_but_rounding(shape: tuple[int, ...]) -> None:
    net = autoencoder(shape)
    light = folded(net)
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in light)
    x = torch.randn(5, *shape)
    torch.testing.assert_close(light(x), net(x), rtol=1e-4, atol=1e-5)


def test_an_encoder_has_no_learned_constants() -> None:
    net = patch_encoder((2, 32), (4, 8), 5)
    assert all("bias" not in name for name, _ in net.named_parameters())
    assert torch.equal(net.train()(torch.zeros(4, 2, 32)), torch.zeros(4, 5))


@pytest.mark.parametrize("shape", SHAPES)
def test_onnx_runtime_gives_what_torch_gives(shape: tuple[int, ...]) -> None:
    heads: list[Residual | Distance] = [Residual(folded(autoencoder(shape)), shape[0])]
    with seeded(1):
        heads.append(Distance(folded(patch_encoder(shape, (4, 6), 5)), 5))
        x = torch.randn(6, *shape)
    for head in heads:
        program = onnx_backend.OnnxProgram(head, (6, *shape))
        with torch.inference_mode():
            expected = head(x).numpy()
        np.testing.assert_allclose(program(x.numpy()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_score_in_onnx_does_not_depend_on_the_place_to_the_bit(shape: tuple[int, ...]) -> None:
    program = onnx_backend.OnnxProgram(Residual(folded(autoencoder(shape)), shape[0]), (64, *shape))
    x = normal_examples(shape, 64)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(64)
        assert np.array_equal(program(x[order]), program(x)[order])


@pytest.mark.parametrize("shape", [(1, 32), (3, 21), (1, 10, 7)])
@pytest.mark.parametrize("name", ["conv_ae", "deep_svdd"])
def test_detectors_keep_their_promises_with_it(name: str, shape: tuple[int, ...]) -> None:
    check_detector(lambda: build(name, shape, encoder="patch", epochs=3, latent=8))


def test_a_score_changes_with_the_encoder_and_weights_of_another_one_are_refused() -> None:
    x = normal_examples((1, 32), 60)
    found = {}
    for kind in ENCODERS:
        found[kind] = build("conv_ae", (1, 32), encoder=kind, epochs=1)
        found[kind].fit(x)
    assert not np.array_equal(found["conv"].score(x), found["patch"].score(x))
    with pytest.raises(ModelError, match="weights"):
        build("conv_ae", (1, 32), encoder="conv").restore(found["patch"].state())


def test_it_finds_what_an_autoencoder_is_for() -> None:
    """A wave of any phase with a piece of it missing."""
    made = build("conv_ae", (1, 64), encoder="patch", epochs=4, latent=4, batch=16)
    random = np.random.default_rng(0)

    def waves(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        time = np.arange(64) / 8 + random.uniform(0, 6.28, (count, 1, 1))
        return np.asarray(np.sin(time) + random.normal(0, 0.1, time.shape), np.float32)

    made.fit(waves(400))
    broken = waves(100)
    broken[:, :, 20:32] = 0
    assert np.median(made.score(broken)) > np.quantile(made.score(waves(200)), 0.95)
    assert made.score(anomalous_examples((1, 64), 10)).min() > made.score(waves(200)).max()


def test_an_encoder_that_does_not_exist_is_refused() -> None:
    for name in ("conv_ae", "deep_svdd"):
        with pytest.raises(ConfigError, match="encoder is 'lstm'; valid are conv, patch"):
            build(name, (1, 32), encoder="lstm")
