"""Guards of cameras: frames in the dark, frames without anything to see, and a picture that stands
still.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from monitor.guarding import GuardConfig
from monitor.types import Array, Slots

Times = NDArray[np.float64]
DARK, COVERED, FROZEN = range(3)


class Last(NamedTuple):
    """Of each sensor its last frame's checksum, -1 before any, and since when it shows that."""

    checksum: Slots
    since: Times


def look_at_frames(
    settings: GuardConfig, frames: tuple[Slots, Array, Times], last: Last
) -> NDArray[np.bool_]:
    """Frames in arrival order, slots `(N,)`, pixels `(N, C, P)` in 0 to 255 and times `(N,)`: which
    are dark, covered and frozen, `(N, 3)`.

    Brightness is the mean of the colours; a noisy sensor never sends the very same frame twice.
    """
    slots, pixels, times = frames
    brightness = pixels.mean(axis=1, dtype=np.float64)
    found = np.zeros((len(slots), 3), np.bool_)
    if settings.dark is not None:
        found[:, DARK] = brightness.mean(axis=1) < settings.dark
    if settings.covered is not None:
        found[:, COVERED] = brightness.std(axis=1) < settings.covered
    if settings.frozen is not None:
        for row, slot in enumerate(slots.tolist()):
            checksum = crc32(pixels[row].tobytes())
            if checksum != last.checksum[slot]:
                last.checksum[slot], last.since[slot] = checksum, times[row]
            found[row, FROZEN] = times[row] - last.since[slot] >= settings.frozen
    return found
