"""Examples from random latent numbers, and the command that draws them."""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from monitor.connect.store import ModelStore
from monitor.detect import build
from monitor.detect.deep import latents
from monitor.errors import ConfigError, ModelError
from monitor.model import Model
from monitor.offline.generate import ARRAY, SHEET, Options, generated, write
from monitor.offline.report.canvas import SERIES
from monitor.protocols import Generator
from monitor.recipe import Recipe, train
from monitor.types import Array
from tests.plates import plates
from tests.terminal import command, plant, written

FRAME, WINDOW = (1, 16, 16), (2, 40)
NETS = ["conv_ae", "dense_ae", "gan", "vae"]
each_net = pytest.mark.parametrize("name", NETS)
SMALL: dict[str, Any] = {"epochs": 12, "batch": 16, "latent": 6, "learning_rate": 4e-3}


def waves(count: int, seed: int = 0) -> Array:
    """Two channels far from 0, with one wave of any phase: `(count, *WINDOW)`."""
    random = np.random.default_rng(seed)
    time = np.arange(WINDOW[1]) / 4 + random.uniform(0, 6.28, (count, 1, 1))
    wave = np.concatenate([500 + 20 * np.sin(time), 3 * np.cos(time)], axis=1)
    return np.asarray(wave + random.normal(0, 0.1, wave.shape), np.float32)


@cache
def of_windows(name: str) -> Model:
    recipe = Recipe(name, "pumps", WINDOW, ("speed", "load"), 10.0, params=SMALL)
    return train(recipe, {"pump-1": waves(200)}, clock=lambda: 0.0)


@cache
def of_frames(name: str) -> Model:
    front = {"frame": [16, 16]}
    recipe = Recipe(name, "parts", (1, 256), ("gray",), 1.0, params=SMALL, front=front)
    pixels = np.clip(127 + 128 * plates(160, side=16), 0, 255).reshape(160, 1, 256)
    return train(recipe, {"camera-1": pixels}, clock=lambda: 0.0)


@each_net
def test_the_same_seed_draws_the_same_and_another_one_others(name: str) -> None:
    detector: Any = of_windows(name).detector
    assert isinstance(detector, Generator)
    first = detector.generate(5, 1)
    assert first.shape == (5, *WINDOW)
    assert first.dtype == np.float32
    assert np.array_equal(first, detector.generate(5, 1))
    assert not np.array_equal(first, detector.generate(5, 2))


@each_net
def test_a_model_that_was_stored_generates_the_same(name: str, tmp_path: Path) -> None:
    model, store = of_windows(name), ModelStore(tmp_path)
    store.publish(model)
    again = build(name, WINDOW, **SMALL)
    again.restore(model.detector.state())
    assert np.array_equal(again.generate(4, 0), model.detector.generate(4, 0))  # type: ignore[attr-defined]


@each_net
def test_windows_are_drawn_in_the_units_of_what_was_sent(name: str) -> None:
    made, real = generated(of_windows(name), Options(200, 3)), waves(200, seed=9)
    assert np.allclose(made.mean((0, 2)), real.mean((0, 2)), atol=0.4 * real.std((0, 2)))
    ratio = made.std((0, 2)) / real.std((0, 2))
    assert ((ratio > 0.5) & (ratio < 1.6)).all()


@each_net
def test_a_frame_that_is_drawn_is_like_those_of_the_camera(name: str) -> None:
    """It is in 0 to 255, and the hole is at its place."""
    made = generated(of_frames(name), Options(40, 3))
    assert made.shape == (40, *FRAME)
    assert made.min() >= 0
    assert made.max() <= 255
    assert made[:, 0, 9:12, 5:8].mean() < made[:, 0, :6].mean() - 40


@each_net
def test_an_untrained_detector_generates_nothing(name: str) -> None:
    with pytest.raises(ModelError, match="has no weights yet"):
        build(name, WINDOW).generate(1, 0)


@pytest.mark.parametrize("name", ["conv_ae", "dense_ae"])
def test_a_model_from_before_latent_numbers_were_kept_scores_but_does_not_generate(
    name: str,
) -> None:
    model = of_windows(name)
    old = {key: array for key, array in model.detector.state().items() if "codes" not in key}
    again, x = build(name, WINDOW, **SMALL), waves(3)
    again.restore(old)
    assert np.array_equal(again.score(x), model.detector.score(x))
    assert again.state().keys() == old.keys()
    with pytest.raises(ModelError, match="train it anew"):
        again.generate(1, 0)


def test_codes_that_do_not_fit_are_refused() -> None:
    state = of_windows("conv_ae").detector.state()
    mean = state["codes_mean"]
    for wrong in (mean[:3], mean.astype(np.float64), np.full_like(mean, np.nan)):
        with pytest.raises(ModelError, match="'codes_mean'"):
            build("conv_ae", WINDOW, **SMALL).restore({**state, "codes_mean": wrong})
    lacking = {key: array for key, array in state.items() if key != "codes_factor"}
    with pytest.raises(ModelError, match="'codes_factor' are missing"):
        build("conv_ae", WINDOW, **SMALL).restore(lacking)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 5), st.integers(0, 99))
def test_latent_numbers_are_drawn_with_the_mean_and_covariance_of_those_seen(
    size: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    seen = random.normal(size=(4000, size)) @ random.normal(size=(size, size)) + 3
    drawn = latents.fitted(torch.from_numpy(seen).float()).drawn(4000, seed).numpy()
    scale = np.sqrt(np.trace(np.atleast_2d(np.cov(seen.T))))
    np.testing.assert_allclose(drawn.mean(0), seen.mean(0), atol=0.1 * scale)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(seen.T), atol=0.15 * scale**2)


# --- files and the command ------------------------------------------------------------------


def test_frames_become_a_sheet_and_a_picture_each(tmp_path: Path) -> None:
    model = of_frames("dense_ae")
    made = generated(model, Options(10, 0))
    names = write(model, made, tmp_path / "made")
    assert names == [ARRAY, SHEET, *(f"frame-{place}.png" for place in range(10))]
    assert np.array_equal(np.load(tmp_path / "made" / ARRAY), made)
    with Image.open(tmp_path / "made" / "frame-3.png") as picture:
        assert np.abs(np.asarray(picture) - made[3, 0]).max() <= 0.5
    with Image.open(tmp_path / "made" / SHEET) as sheet:
        assert sheet.size == (8 * 18 + 2, 2 * 18 + 2)


def test_windows_become_one_picture_of_lines(tmp_path: Path) -> None:
    model = of_windows("dense_ae")
    assert write(model, generated(model, Options(3, 0)), tmp_path) == [ARRAY, SHEET]
    with Image.open(BytesIO((tmp_path / SHEET).read_bytes())) as picture:
        assert picture.format == "PNG"
        colours = {colour for _, colour in picture.convert("RGB").getcolors(2**24) or ()}
    assert {ImageColor.getrgb(SERIES[channel]) for channel in (0, 1)} <= colours


def test_a_detector_that_cannot_generate_is_told_with_those_that_can() -> None:
    recipe = Recipe("pca", "pumps", WINDOW, ("speed", "load"), 10.0)
    model = train(recipe, {"pump-1": waves(100)}, clock=lambda: 0.0)
    with pytest.raises(ConfigError, match=r"pca cannot generate examples; valid are .*vae"):
        generated(model, Options())


def test_a_model_of_a_view_is_refused() -> None:
    params = {"epochs": 1, "view": "statistics"}
    recipe = Recipe("dense_ae", "pumps", WINDOW, ("speed", "load"), 10.0, params=params)
    model = train(recipe, {"pump-1": waves(100)}, clock=lambda: 0.0)
    with pytest.raises(ConfigError, match="sees the view 'statistics'"):
        generated(model, Options())


@pytest.mark.parametrize("options", [Options(0), Options(10_001), Options(1, -1)])
def test_a_count_or_seed_that_makes_no_sense_is_refused(options: Options) -> None:
    with pytest.raises(ConfigError, match=r"1 to 10000 examples"):
        generated(of_windows("vae"), options)


def test_the_command_writes_what_it_says(tmp_path: Path) -> None:
    file = written(tmp_path / "plant.yaml", plant(tmp_path))
    ModelStore(tmp_path / "models").publish(of_windows("vae"))
    out, figures = tmp_path / "made", tmp_path / "made.json"
    found = command("generate", file, "vae:pumps", "--count", "4", "--out", out, "--json", figures)
    assert found.code == 0, found.err
    assert "4 examples of vae:pumps@1" in found.out
    told = json.loads(figures.read_text())
    assert told["shape"] == list(WINDOW)
    assert all(Path(name).is_file() for name in told["files"])
    expected = generated(of_windows("vae"), Options(4, 0))
    assert np.array_equal(np.load(out / ARRAY), expected)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("nothing:pumps", "no such detector"),
        ("vae", "write it as DETECTOR:NAME@VERSION"),
        ("vae:pumps@7", "7"),
    ],
)
def test_a_model_that_is_not_there_is_told(tmp_path: Path, model: str, told: str) -> None:
    file = written(tmp_path / "plant.yaml", plant(tmp_path))
    found = command("generate", file, model, "--out", tmp_path / "made")
    assert found.code in (1, 2)
    assert told in found.err
    assert not (tmp_path / "made").exists()
