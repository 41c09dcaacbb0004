"""Pictures as messages: what becomes of each kind, and of those that are none."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monitor.errors import ConfigError, DecodeError
from monitor.settings import Format, Limits, ModelRule, StreamConfig, Use
from monitor.stream.codec import make_codec
from monitor.types import Partition, Record, Samples
from monitor.windowing import CameraConfig
from simulators.cameras import Cameras, encoded

KNOWN = dict.fromkeys(("empty", "bad_image", "too_many_pixels", "unsupported_image"), (3, 64 * 48))
PICTURE = Cameras(seed=1, size=(64, 48)).frame("camera-1", 0.0).picture


def stream(limits: Limits | None = None, **window: Any) -> StreamConfig:
    return StreamConfig(
        topics=["cameras"],
        window=CameraConfig(**({"input": "frames", "size": (64, 48)} | window)),
        models=[ModelRule(use=[Use(detector="conv_ae")])],
        limits=limits or Limits(),
    )


def decoded(value: bytes, limits: Limits | None = None, **window: Any) -> Samples:
    record = Record(Partition("cameras", 0), 0, b"camera-1", 7.5, value)
    (found,) = make_codec(stream(limits, **window)).decode(record)
    return found


def as_bytes(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def refusal(value: bytes, limits: Limits | None = None) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decoded(value, limits)
    return caught.value


def test_a_picture_of_the_size_arrives_pixel_by_pixel() -> None:
    found = decoded(encoded(PICTURE, "png"))
    assert (found.sensor, found.start, found.whole) == ("camera-1", 7.5, True)
    assert found.data.dtype == np.float32
    np.testing.assert_array_equal(found.data.reshape(3, 48, 64), np.moveaxis(PICTURE, 2, 0))
    assert not found.data.flags.writeable


def test_frames_imply_the_format() -> None:
    assert stream().format == Format(kind="image")


def test_a_header_tells_the_time() -> None:
    value = encoded(PICTURE)
    headers = (("time", b"1700000000.25"),)
    record = Record(Partition("cameras", 0), 0, None, 7.5, value, headers)
    (found,) = make_codec(stream()).decode(record)
    assert (found.sensor, found.start) == ("cameras", 1700000000.25)


def test_the_region_is_cut_out_before_scaling() -> None:
    found = decoded(encoded(PICTURE, "png"), region=(0.25, 0.5, 0.75, 1.0), size=(32, 24))
    wanted = np.moveaxis(PICTURE[24:48, 16:48], 2, 0)
    np.testing.assert_array_equal(found.data.reshape(3, 24, 32), wanted)


def test_gray_is_one_channel() -> None:
    found = decoded(encoded(PICTURE, "png"), color="gray").data
    weights = np.array([0.299, 0.587, 0.114])
    assert found.shape == (1, 64 * 48)
    np.testing.assert_allclose(found[0], (PICTURE @ weights).ravel(), atol=1.01)


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_a_large_jpeg_is_scaled_like_a_large_png(color: str) -> None:
    large = Cameras(seed=1, size=(640, 480)).frame("camera-1", 0.0).picture
    jpeg, png = (decoded(encoded(large, f), color=color).data for f in ("jpeg", "png"))
    assert np.abs(jpeg - png).mean() < 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_becomes_colours(mode: str) -> None:
    gray = np.linspace(0, 255, 64 * 48).astype(np.uint8).reshape(48, 64)
    image = Image.fromarray(gray)
    if mode == "I;16":
        image = Image.fromarray(gray.astype(np.uint16) * 256)
    elif mode == "1":
        image = image.point(lambda level: 255 * (level > 100)).convert("1")
        gray = np.where(gray > 100, 255, 0).astype(np.uint8)
    else:
        image = image.convert(mode)
    found = decoded(as_bytes(image)).data.reshape(3, 48, 64)
    for colour in found:
        np.testing.assert_allclose(colour, gray, atol=1)


def test_a_transparent_palette_and_cmyk_are_taken() -> None:
    palette = Image.fromarray(PICTURE).quantize(16)
    transparent = as_bytes(palette, transparency=bytes(range(16)))
    assert decoded(transparent).data.shape == (3, 64 * 48)
    cmyk = as_bytes(Image.fromarray(PICTURE).convert("CMYK"), "JPEG")
    wanted = np.moveaxis(PICTURE, 2, 0).reshape(3, -1)
    assert np.abs(decoded(cmyk).data - wanted).mean() < 10


def test_exif_turns_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    value = as_bytes(Image.fromarray(PICTURE), "JPEG", exif=exif, quality=90)
    np.testing.assert_array_equal(decoded(value).data, decoded(encoded(PICTURE)).data)


def test_other_formats_are_refused() -> None:
    for form in ("GIF", "BMP", "TIFF", "WEBP"):
        error = refusal(as_bytes(Image.fromarray(PICTURE), form))
        assert error.reason == "bad_image"
        assert "valid are JPEG, PNG" in error.detail


def test_an_animation_is_refused() -> None:
    first, second = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), "red")
    error = refusal(as_bytes(first, save_all=True, append_images=[second]))
    assert error.reason == "unsupported_image"
    assert "2 frames" in error.detail


def test_a_bomb_is_refused_by_its_head() -> None:
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    value = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    value += struct.pack(">I", zlib.crc32(chunk)) + b"\x00\x00\x00\x00IDAT"
    error = refusal(value + struct.pack(">I", zlib.crc32(b"IDAT")))
    assert error.reason == "too_many_pixels"
    assert "60000 x 60000" in error.detail


def test_the_limit_of_pixels_is_that_of_the_stream() -> None:
    value = encoded(PICTURE)
    assert decoded(value, Limits(pixels=64 * 48)).data.size
    assert refusal(value, Limits(pixels=64 * 48 - 1)).reason == "too_many_pixels"


@settings(max_examples=80, deadline=None)
@given(form=st.sampled_from(["jpeg", "png"]), data=st.data())
def test_spoiled_pictures_are_frames_or_refused(form: Any, data: st.DataObject) -> None:
    value = bytearray(encoded(PICTURE, form))
    for place in data.draw(st.lists(st.integers(0, len(value) - 1), max_size=8)):
        value[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(value)))
    try:
        shape = decoded(bytes(value[:cut])).data.shape
    except DecodeError as error:
        shape = KNOWN[error.reason]
    assert shape == (3, 64 * 48)


def test_what_is_cut_short_is_refused() -> None:
    for form in ("jpeg", "png"):
        value = encoded(PICTURE, form)
        assert refusal(value[: len(value) // 2]).reason == "bad_image"


def test_no_name_is_in_a_picture() -> None:
    config = stream().model_copy(update={"sensor": "payload:name"})
    with pytest.raises(ConfigError, match="format image carries no names"):
        make_codec(config)
