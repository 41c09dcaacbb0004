"""Log-mel spectrograms: the power of a sound in bands as wide as the ear tells them apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.types import Array
from monitor.windowing import MelConfig


class LogMel:
    """Sounds `(N, T)` -> `(N, F, frames)` in dB, each sound by itself.

    A frame is `fft` samples under a Hann window, the next begins `hop` later, and none reaches over
    an end. Bands are triangles of one area each, evenly spaced on the mel scale of Slaney (Auditory
    Toolbox, 1998): linear below 1 kHz, logarithmic above. `rate` and `high` are in Hz.
    """

    def __init__(self, rate: float, settings: MelConfig, high: float) -> None:
        self.settings = settings
        size = settings.fft
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float64)
        self._bank = filters(rate, settings, high)

    def __call__(self, x: Array) -> Array:
        """Power in dB above `floor`: 0 for silence."""
        fft, hop, floor = self.settings.fft, self.settings.hop, self.settings.floor
        frames = np.lib.stride_tricks.sliding_window_view(x, fft, axis=1)[:, ::hop]
        out = np.empty((len(x), self.settings.bands, frames.shape[1]), np.float32)
        for sound, made in zip(frames, out, strict=True):
            power = np.abs(np.fft.rfft(sound * self._window)) ** 2
            made[:] = 10 * np.log10(np.maximum(power @ self._bank, floor) / floor).T
        return out


def filters(rate: float, settings: MelConfig, high: float) -> NDArray[np.float64]:
    """The weight of each frequency in each band: `(fft // 2 + 1, F)`."""
    hertz = np.fft.rfftfreq(settings.fft, 1 / rate)[:, None]
    edges = _hertz(np.linspace(_mel(settings.low), _mel(high), settings.bands + 2))
    low, centre, top = edges[:-2], edges[1:-1], edges[2:]
    rising = (hertz - low) / (centre - low)
    falling = (top - hertz) / (top - centre)
    bank: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * 2 / (top - low)
    return bank


_LINEAR = 200 / 3  # Hz for each mel below the break
_BREAK = 1000.0
_STEP = np.log(6.4) / 27


def _mel(hertz: float) -> float:
    if hertz < _BREAK:
        return hertz / _LINEAR
    return float(_BREAK / _LINEAR + np.log(hertz / _BREAK) / _STEP)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    linear, edge = mel * _LINEAR, _BREAK / _LINEAR
    return np.where(mel < edge, linear, _BREAK * np.exp(_STEP * (mel - edge)))
