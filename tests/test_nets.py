"""Nets of any shape, the training loop, and ONNX Runtime giving what torch gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from monitor.detect.deep import onnx_backend
from monitor.detect.deep.conv_ae import ConvAutoencoder
from monitor.detect.deep.nets import Distance, Residual, check_shape, decoder, encoder, folded
from monitor.detect.deep.training import (
    MINIMUM,
    Examples,
    Loss,
    Training,
    examples,
    one_thread,
    seeded,
    split,
    train,
)
from monitor.errors import ConfigError, ModelError
from monitor.testing import normal_examples

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
        net = nn.Sequential(*encoder(shape, (4, 6), 5), *decoder(shape, (4, 6), 5))
        net.train()
        for _ in range(3):
            net(torch.randn(8, *shape) * 2 + 1)
    return net.eval()


@settings(max_examples=15, deadline=None)
@given(st.one_of(signals, images), st.integers(1, 3))
def test_what_is_encoded_and_decoded_has_its_shape_again(shape: tuple[int, ...], n: int) -> None:
    net = autoencoder(shape)
    assert net(torch.zeros(n, *shape)).shape == (n, *shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_folding_the_normalisation_changes_nothing_but_rounding(shape: tuple[int, ...]) -> None:
    net = autoencoder(shape)
    light = folded(net)
    assert not any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in light)
    x = torch.randn(5, *shape)
    torch.testing.assert_close(light(x), net(x), rtol=1e-4, atol=1e-5)


def test_an_encoder_has_no_learned_constants() -> None:
    net = encoder((2, 32), (4, 8), 5)
    assert all("bias" not in name for name, _ in net.named_parameters())
    assert torch.equal(net.train()(torch.zeros(4, 2, 32)), torch.zeros(4, 5))


@pytest.mark.parametrize("shape", [(4,), (1, 3), (0, 8), (1, 8, 2), (1, 8, 8, 8)])
def test_a_shape_that_no_net_can_use_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        check_shape(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_onnx_runtime_gives_what_torch_gives(shape: tuple[int, ...]) -> None:
    heads: list[Residual | Distance] = [Residual(folded(autoencoder(shape)), shape[0])]
    with seeded(1):
        heads.append(Distance(folded(encoder(shape, (4, 6), 5)), 5))
        heads[0].weight.uniform_(0.5, 2)
        heads[1].weight.uniform_(0.5, 2)
        x = torch.randn(6, *shape)
    for head in heads:
        program = onnx_backend.OnnxProgram(head, (6, *shape))
        with torch.inference_mode():
            expected = head(x).numpy()
        np.testing.assert_allclose(program(x.numpy()), expected, rtol=1e-5, atol=1e-6)


def test_a_layer_that_onnx_does_not_know_is_named() -> None:
    head = Distance(nn.Sequential(nn.Flatten(), nn.Tanh()), 4)
    with pytest.raises(ModelError, match=r"Tanh cannot run in ONNX; valid are .*Conv1d"):
        onnx_backend.OnnxProgram(head, (2, 1, 4))


def test_without_onnx_auto_takes_torch_and_onnx_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = trained()
    assert detector.compile(8, "auto").backend == "onnx"
    monkeypatch.setattr(onnx_backend, "_INSTALLED", False)
    assert detector.compile(8, "auto").backend == "torch"
    with pytest.raises(ConfigError, match=r"needs the packages onnx and onnxruntime"):
        detector.compile(8, "onnx")


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ConfigError, match="'cuda'; valid are auto, torch, onnx"):
        trained().compile(8, "cuda")


def trained() -> ConvAutoencoder:
    detector = ConvAutoencoder((1, 16), epochs=1, widths=(4,), latent=4)
    detector.fit(normal_examples((1, 16), 40))
    return detector


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"epochs": 0}, "epochs is 0; whole numbers from 1"),
        ({"batch": 1}, "batch is 1; whole numbers from 2"),
        ({"batch": True}, "batch is True"),
        ({"patience": "long"}, "patience is 'long'"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": 0}, "learning_rate is 0; numbers over 0"),
    ],
)
def test_training_parameters_that_make_no_sense_are_named(params: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Training(**params)


@pytest.mark.parametrize("widths", [(), 16, (16, 0), ("a",), (1,) * 7])
def test_widths_that_make_no_sense_are_named(widths: Any) -> None:
    with pytest.raises(ConfigError, match="widths"):
        ConvAutoencoder((1, 16), widths=widths)


def test_examples_of_another_shape_or_with_nan_or_too_few_are_refused() -> None:
    x = normal_examples((2, 8), 20)
    with pytest.raises(ModelError, match=r"do not fit: valid are \(N, \*\(1, 8\)\)"):
        examples(x, None, (1, 8))
    with pytest.raises(ModelError, match=r"labels \(3,\) do not fit"):
        examples(x, np.zeros(3, np.float32), (2, 8))
    with pytest.raises(ModelError, match=f"15 examples are not anomalies.* at least {MINIMUM}"):
        examples(x, np.repeat(np.array([1, 0], np.float32), [5, 15]), (2, 8))
    x[3, 1, 2] = np.nan
    with pytest.raises(ModelError, match="NaN or infinity"):
        examples(x, None, (2, 8))


def test_the_last_part_is_held_out_after_a_gap_and_without_anomalies() -> None:
    y = torch.zeros(100)
    y[90] = 1
    training, held_out = split(Examples(torch.arange(100.0), y))
    assert training.x.tolist() == list(range(84))
    assert held_out.x.tolist() == [*range(85, 90), *range(91, 100)]


class Level(nn.Module):
    """Learns one number."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x - self.level


def squares(net: nn.Module, data: Examples) -> Loss:
    return Loss(net(data.x).square().flatten(), torch.zeros(()))


def test_a_few_wild_examples_are_not_learned() -> None:
    x = torch.ones(400, 1)
    x[::40] = 30
    x[-70:] = 1
    net = Level()
    train(net, squares, Examples(x, torch.zeros(400)), Training(epochs=40, learning_rate=0.05))
    assert float(net.level.detach()) == pytest.approx(1, abs=0.1)


def test_training_stops_early_and_keeps_the_best_weights() -> None:
    """The held-out tail is of another level than the rest, passed on the way there."""
    x = torch.ones(200, 1)
    x[-40:] = 0.5
    net = Level()
    plan = Training(epochs=500, learning_rate=0.002, patience=5, batch=32)
    metrics = train(net, squares, Examples(x, torch.zeros(200)), plan)
    assert metrics["epochs"] < 50
    assert float(net.level.detach()) == pytest.approx(0.5, abs=0.05)


def test_a_loss_that_is_never_finite_is_told() -> None:
    def broken(net: nn.Module, data: Examples) -> Loss:
        return Loss(net(data.x).flatten() * torch.nan, torch.zeros(()))

    with pytest.raises(ModelError, match="never a finite number"):
        train(Level(), broken, Examples(torch.ones(40, 1), torch.zeros(40)), Training(epochs=2))


def test_making_a_detector_leaves_the_random_numbers_of_torch_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    trained()
    assert torch.equal(torch.rand(3), expected)


def test_progress_is_shown_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for asked in (False, True):
        detector = ConvAutoencoder((1, 16), epochs=1, widths=(4,), latent=4)
        detector.show_progress = asked
        detector.fit(normal_examples((1, 16), 40))
        assert ("held-out loss" in capsys.readouterr().out) is asked


@pytest.mark.parametrize("shape", SHAPES)
def test_a_score_in_onnx_does_not_depend_on_the_place_to_the_bit(shape: tuple[int, ...]) -> None:
    program = onnx_backend.OnnxProgram(Residual(folded(autoencoder(shape)), shape[0]), (64, *shape))
    x = normal_examples(shape, 64)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(64)
        assert np.array_equal(program(x[order]), program(x)[order])
