"""What no message may exceed, and the checks that every format shares."""

from __future__ import annotations

from monitor.errors import ConfigError, DecodeError
from monitor.settings import Limits
from monitor.types import Array, Samples
from monitor.windowing import Window

MAX_CHANNELS = 1024
END_OF_TIME = 253_402_300_800.0
MOST_PARTS = 50_000


def check_size(size: int, most: int) -> None:
    """Refuse what is empty (`size` bytes), or larger than the stream's settings allow."""
    if not size:
        raise DecodeError("empty", "the message has no bytes")
    if size > most:
        raise DecodeError("too_large", f"the message has {size} bytes; limits.message is {most}")


def check_parts(parts: int) -> None:
    """Refuse a tree of too many lists and maps: Python needs 0.4 s for a million empty ones. Raises
    ValueError, as for other bytes that are no message.
    """
    if parts > MOST_PARTS:
        raise ValueError(f"it has {parts} lists and maps; at most {MOST_PARTS} are valid")


def _refuse_time(time: float) -> None:
    raise DecodeError(
        "bad_time",
        f"the first sample's time is {time!r}; valid are 0 to {END_OF_TIME:.0f} s since 1970",
    )


class Shaper:
    """Checks decoded samples against a stream's window and puts them into `Samples`."""

    def __init__(self, window: Window, limits: Limits) -> None:
        self.channels = tuple(window.channels)
        self._count = len(window.channels)
        self.whole = window.whole
        self.shape = window.shape
        self._most = limits.samples
        if self._count > MAX_CHANNELS:
            raise ConfigError(
                f"window.channels: {len(self.channels)} channels; at most {MAX_CHANNELS} are valid"
            )

    def samples(self, sensor: str, start: float, data: Array, channel: int = -1) -> Samples:
        """`data` is `(C, n)`, or `(1, n)` of one channel."""
        rows, columns = shape = data.shape
        if not columns:
            raise DecodeError("empty", "the message has no samples")
        if rows * columns > self._most:
            raise DecodeError(
                "too_many_samples",
                f"the message has {rows * columns} numbers; limits.samples is {self._most}",
            )
        if self._count == 1:
            channel = -1
        if rows != (self._count if channel < 0 else 1) or (self.whole and shape != self.shape):
            self._refuse(shape, channel)
        if not 0.0 <= start < END_OF_TIME:
            _refuse_time(start)
        return Samples(sensor, start, data, channel, self.whole)

    def _refuse(self, found: tuple[int, ...], channel: int) -> None:
        wanted = f"{self.shape} (a whole window)" if self.whole else f"({len(self.channels)}, n)"
        if channel >= 0 and not self.whole:
            wanted = f"(1, n), being of channel {self.channels[channel]!r} alone"
        raise DecodeError("wrong_shape", f"the samples have shape {found}, not {wanted}")
