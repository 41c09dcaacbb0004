"""Pictures as messages: JPEG and PNG, decoded by Pillow, cut, scaled and coloured as a stream says.

What a picture claims in its head is checked before anything is decoded. The same bytes and settings
always give the same frame: one filter (a triangle as wide as the reduction), no orientation from
EXIF, colours as they are without their alpha.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from math import ceil
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from monitor.errors import ConfigError, DecodeError
from monitor.settings import StreamConfig
from monitor.stream.codec.limits import Shaper, check_size
from monitor.stream.codec.naming import namer
from monitor.stream.codec.telling import told
from monitor.stream.codec.times import start_of
from monitor.types import Array, Record, Samples
from monitor.windowing import CameraConfig

HEADS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG"}
_PLAIN = {"gray": "L", "rgb": "RGB"}
_DEEP = ("I", "I;16", "I;16B")
_KNOWN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", *_DEEP)
# What Pillow raises for pictures that are cut short or spoiled, each somewhere.
_SPOILED = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError)
_WORSE = (OverflowError, MemoryError, struct.error, zlib.error)


class ImageCodec:
    """Decodes the messages of one stream of cameras, each a whole picture."""

    def __init__(self, stream: StreamConfig) -> None:
        if not isinstance(stream.window, CameraConfig):
            raise ConfigError("format image needs window.input frames")
        self._name = namer(stream.sensor)
        self._shaper = Shaper(stream.window, stream.limits)
        self._window = stream.window
        self._most, self._pixels = stream.limits.message, stream.limits.pixels

    def decode(self, record: Record) -> list[Samples]:
        """As `Codec.decode`."""
        check_size(len(record.value) if record.value else 0, self._most)
        name, start = self._name(record), start_of(record)
        data = read_frame(BytesIO(record.value), self._window, self._pixels)
        data.flags.writeable = False
        return [self._shaper.samples(name, start, data)]


def read_frame(file: BinaryIO, window: CameraConfig, most: int) -> Array:
    """A picture of at most `most` pixels as the frame of a stream: `(C, H * W)` in 0 to 255.

    Raises DecodeError `bad_image` for bytes that are no such picture or one that is spoiled,
    `too_many_pixels` and `unsupported_image` for what is not decoded.
    """
    head = file.read(4)
    kind = next((kind for start, kind in HEADS.items() if head.startswith(start)), None)
    if kind is None:
        valid = ", ".join(HEADS.values())
        raise DecodeError("bad_image", f"the picture starts with {told(head)}; valid are {valid}")
    file.seek(0)
    try:
        # Not Image.open, which would warn of large pictures, and look into more formats.
        with JpegImageFile(file) if kind == "JPEG" else PngImageFile(file) as image:
            _check(image, most)
            return _seen(image, window)
    except (*_SPOILED, *_WORSE) as error:
        why = " ".join(str(error).split())[:200]
        raise DecodeError("bad_image", f"the {kind} picture cannot be read: {why!a}") from error


def _check(image: Any, most: int) -> None:
    """Refuse by its head what is too large, moves, or has colours that mean nothing here."""
    width, height = image.size
    if width * height > most:
        raise DecodeError(
            "too_many_pixels",
            f"the picture claims {width} x {height} pixels; limits.pixels is {most}",
        )
    if getattr(image, "is_animated", False):
        raise DecodeError("unsupported_image", f"an animation of {image.n_frames} frames")
    if image.mode not in _KNOWN:
        raise DecodeError("unsupported_image", f"the picture has colours of kind {image.mode!a}")


def _seen(image: Any, window: CameraConfig) -> Array:
    left, top, right, bottom = window.region
    width, height = window.size
    # A JPEG decoder can give a half, quarter or eighth of the size at a fraction of the work.
    enough = ceil(width / (right - left)), ceil(height / (bottom - top))
    image.draft(_PLAIN[window.color], enough)
    wide, high = image.size
    box = left * wide, top * high, right * wide, bottom * high
    plain = _eight_bits(image, _PLAIN[window.color])
    scaled = plain.resize((width, height), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(scaled, np.float32).reshape(height * width, -1)
    return np.ascontiguousarray(pixels.T)


def _eight_bits(image: Any, mode: str) -> Any:
    """Gray or colours of 0 to 255; of 16 bits the upper eight."""
    if image.mode in _DEEP:
        deep = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(np.clip(deep, 0, 255).astype(np.uint8))
    image.info.pop("transparency", None)  # which Pillow would warn of, and is left out anyway
    return image if image.mode == mode else image.convert(mode)
