"""Small pictures of every kind that cameras send, and pieces that mean something to readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

MODES = {"PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "JPEG": ("L", "RGB", "CMYK")}
PIECES = (
    b"\xff\xd8\xff", b"\xff\xe0", b"\xff\xe1", b"\xff\xc0\0\x11\x08", b"\xff\xc2", b"\xff\xc4",
    b"\xff\xda", b"\xff\xdb", b"\xff\xdd\0\4", b"\xff\xfe\xff\xff", b"\xff\xd0", b"\xff\xd9",
    b"Exif\0\0MM", b"JFIF\0", b"Adobe\0", b"ICC_PROFILE\0\1\1", b"MPF\0", b"\x89PNG\r\n\x1a\n",
    b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"zTXt",
    b"iTXt", b"eXIf", b"pHYs", b"gAMA", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\xff\xff",
    b"\0" * 64, b"GIF89a", b"RIFF", b"II*\0",
)  # fmt: skip


@cache
def pictures() -> Sequence[bytes]:
    """JPEG and PNG files of all kinds of colours; plain, large, progressive, animated."""
    return [*_plain(), *_odd()]


def _plain() -> Iterator[bytes]:
    random = np.random.default_rng(0)
    for height, width in ((8, 12), (1, 1), (40, 33)):
        gray = random.integers(0, 256, (height, width), np.uint8)
        for form, modes in MODES.items():
            for mode in modes:
                deep = Image.fromarray(gray.astype(np.uint16) * 257)
                image = deep if mode == "I;16" else Image.fromarray(gray).convert(mode)
                yield _file(image, form)


def _odd() -> Iterator[bytes]:
    noise = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    image = Image.fromarray(noise)
    yield _file(image, "JPEG", progressive=True)
    yield _file(image, "JPEG", quality=95, subsampling=0, comment=b"x" * 99)
    yield _file(image, "PNG", dpi=(300, 300))
    yield _file(image.quantize(7), "PNG", transparency=bytes(7))
    yield _file(image, "PNG", save_all=True, append_images=[image.transpose(Image.Transpose(0))])
    yield _file(Image.new("L", (400, 300)), "PNG")


def _file(image: Any, form: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
