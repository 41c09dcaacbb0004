"""Log-mel spectrograms: the power of a sound in bands as wide as the ear tells them apart."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from monitor.compiled import compiled
from monitor.mel_scale import edges
from monitor.types import Array
from monitor.windowing import MelConfig

Floats = NDArray[np.float64]


class Bank(NamedTuple):
    """Triangular bands over the frequencies of a transform: band b has the weights from place
    `begins[b]` to `begins[b + 1]` of `weights`, the first of which is of frequency `first[b]`.
    """

    first: NDArray[np.int64]
    begins: NDArray[np.int64]
    weights: Floats


class LogMel:
    """Sounds `(N, T)` -> `(N, F, frames)` in dB, each sound by itself.

    A frame is `fft` samples under a Hann window, the next begins `hop` later, and none reaches over
    an end. Bands are triangles of one area each, evenly spaced on the mel scale (`mel_scale.py`).
    `rate` and `high` are in Hz.
    """

    def __init__(self, rate: float, settings: MelConfig, high: float) -> None:
        self.settings = settings
        size = settings.fft
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        self._bank = bank_of(filters(rate, settings, high))

    def __call__(self, x: Array) -> Array:
        """Power in dB above `floor`: 0 for silence. NaN where a frame is not finite."""
        fft, hop = self.settings.fft, self.settings.hop
        frames = np.lib.stride_tricks.sliding_window_view(x, fft, axis=1)[:, ::hop]
        out = np.empty((len(x), self.settings.bands, frames.shape[1]), np.float32)
        for sound, made in zip(frames, out, strict=True):
            _in_bands(rfft(sound * self._window), *self._bank, self.settings.floor, made)
        return out


def filters(rate: float, settings: MelConfig, high: float) -> Floats:
    """The weight of each frequency in each band: `(fft // 2 + 1, F)`."""
    hertz = np.fft.rfftfreq(settings.fft, 1 / rate)[:, None]
    places = np.array(edges(settings.low, high, settings.bands))
    low, centre, top = places[:-2], places[1:-1], places[2:]
    rising = (hertz - low) / (centre - low)
    falling = (top - hertz) / (top - centre)
    bank: Floats = np.maximum(0, np.minimum(rising, falling)) * 2 / (top - low)
    return bank


def bank_of(weights: Floats) -> Bank:
    """What is not 0 of weights `(frequencies, F)`; in each band that is one stretch."""
    places = [np.flatnonzero(band) for band in weights.T]
    first = [int(own[0]) if len(own) else 0 for own in places]
    begins = np.concatenate(([0], np.cumsum([len(own) for own in places])))
    stretches = [band[own] for band, own in zip(weights.T, places, strict=True)]
    return Bank(np.array(first, np.int64), begins.astype(np.int64), np.concatenate(stretches))


@compiled
def _in_bands(
    spectra: NDArray[np.complex128],
    first: NDArray[np.int64],
    begins: NDArray[np.int64],
    weights: Floats,
    floor: float,
    out: Array,
) -> None:
    """Spectra `(frames, frequencies)` -> the power in each band in dB over `floor`: `(F, frames)`.

    A band has few of the frequencies: a product of whole matrices would add up zeros mostly.
    """
    power = np.empty(spectra.shape[1], np.float64)
    for frame in range(spectra.shape[0]):
        for place in range(spectra.shape[1]):
            value = spectra[frame, place]
            power[place] = value.real * value.real + value.imag * value.imag
        for band in range(out.shape[0]):
            total = 0.0
            begin = begins[band]
            for number in range(begin, begins[band + 1]):
                total += weights[number] * power[first[band] + number - begin]
            out[band, frame] = 10.0 * math.log10(total / floor) if not total <= floor else 0.0
