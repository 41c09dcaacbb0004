"""Pictures of evidence: where the heat is, there are colours; and any arrays give a picture."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from monitor.errors import ModelError
from monitor.pictures import MOST, overlay, png, spectrogram
from monitor.types import Array, Evidence, Partition


def pixels(picture: bytes) -> NDArray[np.int64]:
    """`(rows, columns, 3)`."""
    image = Image.open(io.BytesIO(picture), formats=["PNG"])
    return np.asarray(image.convert("RGB"), np.int64)


def colourful(picture: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a pixel is not gray."""
    return np.asarray(picture.max(axis=2) - picture.min(axis=2) > 40)


def gray_frame(rows: int, columns: int) -> Array:
    return np.full((1, rows, columns), 90, np.float32)


def evidence(example: Array, heat: Array, kind: Literal["frame", "sound"]) -> Evidence:
    return Evidence(
        partition=Partition("frames", 0),
        offset=7,
        alert="belt/cam1/score/1.0",
        stream="belt",
        sensor="cam1",
        time=1.0,
        detector="conv_ae",
        example=example,
        heat=heat,
        kind=kind,
    )


def test_a_frame_is_shown_as_it_is_beside_its_heat_map() -> None:
    frame = np.zeros((3, 32, 32), np.float32)
    frame[1] = 200
    found = pixels(overlay(frame, np.zeros((32, 32), np.float32)))
    assert (found[:256, :256] == (0, 200, 0)).all()
    assert not colourful(found[:256, 262:518]).any()


def test_colours_stand_where_the_heat_is() -> None:
    heat = np.zeros((32, 32), np.float32)
    heat[4:8, 20:28] = 2
    found = colourful(pixels(overlay(gray_frame(32, 32), heat))[:256, 262:518])
    rows, columns = np.nonzero(found)
    assert 8 * 3 <= rows.min() <= rows.max() <= 8 * 9
    assert 8 * 19 <= columns.min() <= columns.max() <= 8 * 29
    assert found[8 * 5 : 8 * 7, 8 * 21 : 8 * 27].all()


def test_places_over_the_cut_are_outlined_and_others_are_not() -> None:
    heat = np.zeros((32, 32), np.float32)
    heat[4:12, 4:12], heat[20:28, 20:28] = 2, 0.5
    outline = (pixels(overlay(gray_frame(32, 32), heat, 1.0))[:256, 262:518] == (0, 255, 255)).all(
        2
    )
    assert outline[:128, :128].any()
    assert not outline[128:].any()
    assert not (pixels(overlay(gray_frame(32, 32), heat)) == (0, 255, 255)).all(2).any()


def test_a_cut_above_all_heat_leaves_the_frame_nearly_gray() -> None:
    heat = np.full((32, 32), 0.1, np.float32)
    faint, hot = (
        pixels(overlay(gray_frame(32, 32), heat, cut))[:256, 262:518] for cut in (100.0, None)
    )
    assert not colourful(faint).any()
    assert colourful(hot).all()


def test_the_lowest_band_of_a_sound_is_at_the_bottom() -> None:
    sound = np.full((1, 8, 30), -80, np.float32)
    sound[0, 0] = -10
    heat = np.zeros((8, 30), np.float32)
    heat[0] = 1
    found = pixels(spectrogram(sound, heat))
    assert (found[-5, 100] != found[5, 100]).any()
    heated = colourful(found[:, 300:560])
    assert heated[-5].all()
    assert not heated[:100].any()


def test_the_kind_of_evidence_decides_how_it_is_drawn() -> None:
    example, heat = gray_frame(24, 24), np.eye(24, dtype=np.float32)
    assert png(evidence(example, heat, "frame")) == overlay(example, heat)
    assert png(evidence(example, heat, "sound")) == spectrogram(example, heat)
    assert overlay(example, heat) != spectrogram(example, heat)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_frame_and_heat_map_give_a_small_picture_and_always_the_same(
    data: st.DataObject,
) -> None:
    rows, columns = (data.draw(st.integers(1, 40) | st.just(700)) for _ in range(2))
    value = data.draw(st.floats(width=32, allow_nan=True, allow_infinity=True))
    heat = np.zeros((rows, columns), np.float32)
    heat[: rows // 2 + 1] = value
    frame = data.draw(
        arrays(np.float32, (3, 1, 1), elements=st.floats(-(2.0**99), 2.0**99, width=32))
    )
    frame = np.ascontiguousarray(np.broadcast_to(frame, (3, rows, columns)))
    cut = data.draw(st.none() | st.floats(0, 1e6))
    picture = overlay(frame, heat, cut)
    assert picture == overlay(frame, heat, cut)
    high, wide, _ = pixels(picture).shape
    assert max(high, wide) <= MOST


@pytest.mark.parametrize(
    ("example", "heat"),
    [((3, 4, 5), (5, 4)), ((2, 4, 4), (4, 4)), ((4, 4), (4, 4)), ((1, 0, 4), (0, 4))],
)
def test_arrays_that_do_not_fit_are_refused(
    example: tuple[int, ...], heat: tuple[int, ...]
) -> None:
    with pytest.raises(ModelError, match="do not fit; valid are"):
        overlay(np.zeros(example, np.float32), np.zeros(heat, np.float32))


def test_a_sound_has_no_colours() -> None:
    with pytest.raises(ModelError, match="with C 1,"):
        spectrogram(np.zeros((3, 4, 4), np.float32), np.zeros((4, 4), np.float32))
