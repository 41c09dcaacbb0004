"""What a report shows of a model: which windows, cut as the pipeline cuts them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monitor.connect.recording.reading import Recording
from monitor.offline.dataset import windows_of
from monitor.offline.evaluate import Piece
from monitor.offline.measures import Watch
from monitor.offline.report import models
from monitor.offline.report.command import report
from monitor.offline.report.examples import Rows, chosen, cut, evenly, rows_of
from monitor.offline.report.models import Asked, Played, kind_of, model_section
from monitor.offline.report.separation import Confusion
from monitor.offline.report.streams import confusions
from monitor.offline.report.timeline import MOST_POINTS, thinned
from monitor.offline.report.training import draw_losses, projected
from monitor.offline.train import train
from monitor.recipe import Recipe
from monitor.recipe import train as train_model
from monitor.settings import StreamConfig
from monitor.types import Curve
from tests.recorded import START, config, recording

RATE = 8000
MEL = {"bands": 12, "fft": 256, "hop": 256}
SOUND = {"length": "0.5s", "hop": "0.25s", "rate": RATE, "input": "sound", "mel": MEL}
SIZE = (12, 8)
FRAMES = {"input": "frames", "size": list(SIZE), "color": "rgb", "rate": 2}


def rows(count: int = 200, anomalous: range = range(50, 60)) -> Rows:
    """One sensor, a window each second."""
    raw = np.random.default_rng(0).gamma(4, 1, count).astype(np.float32)
    truth = np.zeros(count, np.int8)
    truth[list(anomalous)] = 1
    sensor = np.full(count, "pump-1")
    return Rows(sensor, START + np.arange(count, dtype=np.float64), truth, raw, raw / np.float32(5))


def humming(seconds: float, fault: tuple[float, float] | None = None) -> Recording:
    """A microphone beside a machine; the fault whistles at 3 kHz."""
    time = START + np.arange(round(seconds * RATE)) / RATE
    since = time - START
    noise = np.random.default_rng(int(seconds)).normal(0, 0.02, len(time))
    data = 0.2 * np.sin(2 * np.pi * 400 * since) + noise
    labels = np.zeros(len(time), np.int8)
    if fault:
        labels[(since >= fault[0]) & (since < fault[1])] = 1
        data += 0.3 * np.sin(2 * np.pi * 3000 * since) * labels
    sound = data[None].astype(np.float32)
    return Recording("mic-1", time, sound, ("sound",), labels, Path("mic-1.wav"))


def test_windows_are_cut_as_for_training() -> None:
    recorded = [recording("a", 30.0), recording("b", 20.0), recording("a", 9.0, start=START + 500)]
    stream = config().streams["machines"]
    whole = windows_of(recorded, stream)
    wanted = {
        (sensor, round(end * 16)): data
        for sensor, own in whole.items()
        for end, data in zip(own.ends.tolist(), own.data, strict=True)
    }
    found = cut(recorded, stream, set(wanted))
    assert found.keys() == wanted.keys()
    for place, data in wanted.items():
        np.testing.assert_array_equal(found[place], data)


def test_a_place_without_a_window_is_left_out() -> None:
    stream = config().streams["machines"]
    assert cut([recording("a", 30.0)], stream, {("a", 1), ("b", round(START * 16))}) == {}


def test_examples_are_of_every_kind_and_the_most_telling() -> None:
    found = dict(chosen(rows(), 3, 1.0))
    assert list(found) == [
        "anomalous, highest scores",
        "anomalous, lowest scores",
        "normal, highest scores",
        "normal, usual scores",
    ]
    every = rows()
    loudest = np.sort(every.raw[every.truth == 1])[::-1]
    assert found["anomalous, highest scores"].raw.tolist() == loudest[:3].tolist()
    assert found["anomalous, lowest scores"].raw.tolist() == loudest[::-1][:3].tolist()
    assert (found["normal, highest scores"].truth == 0).all()
    usual = found["normal, usual scores"].raw
    assert np.abs(usual - np.median(every.raw)).max() < 0.3


def test_without_anomalies_the_loudest_and_the_usual_are_shown() -> None:
    assert list(dict(chosen(rows(50, range(0)), 3, 1.0))) == ["highest scores", "usual scores"]
    assert not list(chosen(rows(0, range(0)), 3, 1.0))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.floats(0, 50))
def test_examples_of_one_sensor_are_apart(count: int, apart: float) -> None:
    for _, own in chosen(rows(), count, apart):
        assert 1 <= len(own.ends) <= count
        gaps = np.abs(own.ends[:, None] - own.ends[None])[~np.eye(len(own.ends), dtype=bool)]
        assert (gaps >= apart).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 3000), st.floats(0, 1), st.sampled_from([4, 10**6, 10**9]))
def test_points_are_bounded_in_number_and_in_bytes(count: int, share: float, size: int) -> None:
    anomalous = range(round(share * count))
    found = evenly(rows(count, anomalous), size)
    most = max(min(600, 2**26 // size), 2)
    assert len(found.raw) == min(count, most)
    kept = int((found.truth == 1).sum())
    assert kept >= min(len(anomalous), most // 2)
    assert (np.diff(found.ends) > 0).all()


def test_rows_are_those_of_the_detector_and_the_sensors() -> None:
    own = rows(4, range(0))
    raw = np.array([[1.0, 5], [2, 6], [np.nan, 7], [4, 8]], np.float32)
    watch = Watch((), (), (), own.ends)
    piece = Piece(
        Path("a"), "pump-1", ("conv_ae", "pca"), own.ends, own.truth, raw, raw, raw[:, 0], watch
    )
    assert rows_of([piece], "conv_ae", {"pump-1"}).raw.tolist() == [1, 2, 4]
    assert rows_of([piece], "pca", {"pump-1"}).raw.tolist() == [5, 6, 7, 8]
    assert not len(rows_of([piece], "pca", {"pump-2"}).raw)
    assert not len(rows_of([piece], "vae", {"pump-1"}).raw)


def test_the_confusion_is_at_the_threshold_and_of_labelled_windows_alone() -> None:
    truth = np.array([0, 0, 1, 1, -1, 1], np.int8)
    value = np.array([0.95, 1.05, 1.05, 0.95, 2, np.nan], np.float32)
    watch = Watch((), (), (), np.empty(0))
    columns = truth, value[:, None], value[:, None], value, watch
    piece = Piece(Path("a"), "pump-1", ("pca",), np.arange(6.0), *columns)
    assert confusions([piece]) == dict.fromkeys(("pca", "fused"), Confusion(1, 2, 1, 1))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3 * MOST_POINTS), st.integers(0, 10**6))
def test_thinning_a_timeline_loses_no_peak(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).gamma(1, 1, count)
    values[seed % count] = np.nan
    times = np.arange(count, dtype=np.float64)
    where, shown = thinned(times, values)
    assert len(where) == len(shown) <= MOST_POINTS
    if count > 1:
        assert np.nanmax(shown) == np.nanmax(values)


@pytest.mark.parametrize("how", ["pca", "tsne"])
def test_two_groups_are_two_groups_on_the_plane(how: Any) -> None:
    places = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    places[30:] += 20
    flat = projected(places, how)
    assert flat.shape == (60, 2)
    centres = flat[:30].mean(axis=0), flat[30:].mean(axis=0)
    spread = max(flat[:30].std(), flat[30:].std())
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread


@pytest.mark.parametrize(("count", "dimensions"), [(1, 3), (2, 1), (3, 1), (9, 5)])
def test_few_points_or_dimensions_are_projected_too(count: int, dimensions: int) -> None:
    for how in ("pca", "tsne"):
        assert projected(np.ones((count, dimensions), np.float32), how).shape == (count, 2)
        different = np.arange(count * dimensions, dtype=np.float32).reshape(count, dimensions)
        assert projected(different, how).shape == (count, 2)


def test_sound_is_shown_as_spectrograms(tmp_path: Path) -> None:
    use = [{"detector": "dense_ae:hum@production", "params": {"epochs": 2, "widths": [4]}}]
    settings_ = config(use, window=SOUND).model_copy(update={"models": tmp_path})
    train(settings_, {"machines": [humming(18)]})
    page, _ = report(settings_, {"machines": [humming(10, (5, 7))]}, None, Asked(2))
    own = page.sections[-1]
    assert kind_of(settings_.streams["machines"].window) == "sound"
    told = " | ".join(picture.caption for picture in own.pictures)
    assert "Anomalous, highest scores" in told
    assert "rebuilt and heat map" in told


def test_frames_are_shown_as_pictures_with_what_was_rebuilt_and_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = config(window=FRAMES, format="image").streams["machines"]
    frames = np.random.default_rng(0).uniform(0, 255, (80, 3, 96)).astype(np.float32)
    model = train_model(recipe_of(stream), {"pump-1": frames})
    own = rows(60)
    places = own.places(stream.window.rate)
    given_ = dict(zip(places, frames, strict=False))
    monkeypatch.setattr(models, "cut", lambda *_: given_)
    watch = Watch((), (), (), own.ends)
    columns = own.raw[:, None], own.value[:, None], own.value, watch
    piece = Piece(Path("a"), "pump-1", ("conv_ae",), own.ends, own.truth, *columns)
    section = model_section(model, {"pump-1"}, Played(stream, [], [piece]), Asked(3))
    assert kind_of(stream.window) == "frame"
    told = [picture.caption for picture in section.pictures]
    assert told[0] == "Loss in training, by epoch"
    assert sum("rebuilt and heat map" in caption for caption in told) == 4
    assert told[-1] == "Made by the model from random latents"


def recipe_of(stream: StreamConfig) -> Recipe:
    window = stream.window
    params = {"epochs": 2, "latent": 4}
    shape, names = window.model_shape, window.model_channels
    return Recipe("conv_ae", "belt", shape, names, window.rate, params, window.front)


@pytest.mark.parametrize(
    "history",
    [
        [Curve((3.0, 2.0, 1.0), (3.0, 2.5, 2.6))],
        [Curve((1e3, 2.0), (1e2, None)), Curve((1.0,), ())],
        [Curve((None,), (None,))],
    ],
)
def test_any_history_of_training_is_drawn(history: list[Curve]) -> None:
    picture = Image.open(io.BytesIO(draw_losses(history)), formats=["PNG"])
    assert min(picture.size) > 100
