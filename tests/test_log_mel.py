"""Log-mel spectrograms, against librosa and against what must hold of any."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.features.front import front
from monitor.features.log_mel import LogMel
from monitor.mel_scale import edges, hertz, mels
from monitor.types import Array
from monitor.windowing import MelConfig, SoundConfig

RATE = 16_000.0
USUAL = LogMel(RATE, MelConfig(), RATE / 2)
FEW = LogMel(RATE, MelConfig(bands=20, fft=512, hop=256), RATE / 2)
SETTINGS = [
    (16_000.0, MelConfig()),
    (44_100.0, MelConfig(bands=128, fft=2048, hop=512, low=30, high=16_000)),
    (8_000.0, MelConfig(bands=40, fft=400, hop=160, low=20, high=3_800, floor=1e-6)),
    (16_000.0, MelConfig(bands=80, fft=256, hop=100)),  # some bands hold no frequency
]


def noise(seed: int, count: int = 2, seconds: float = 0.5, rate: float = RATE) -> Array:
    random = np.random.default_rng(seed)
    found = random.normal(0, 0.1, (count, round(seconds * rate))).astype(np.float32)
    return found * random.uniform(1e-4, 1, (count, 1)).astype(np.float32)


def sine(pitch: float, seconds: float = 0.5) -> Array:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)[None]


@pytest.mark.filterwarnings("ignore:Empty filters:UserWarning")
@pytest.mark.parametrize(("rate", "mel"), SETTINGS)
def test_it_is_what_librosa_makes_of_the_same_sound(rate: float, mel: MelConfig) -> None:
    high = mel.high or rate / 2
    sound = np.concatenate([noise(1, 3, rate=rate), np.zeros((1, round(rate / 2)), np.float32)])
    power = librosa.feature.melspectrogram(
        y=sound.astype(np.float64),
        sr=rate,
        n_fft=mel.fft,
        hop_length=mel.hop,
        n_mels=mel.bands,
        fmin=mel.low,
        fmax=high,
        center=False,
        htk=False,
        norm="slaney",
        dtype=np.float64,
    )
    expected = librosa.power_to_db(power, ref=mel.floor, amin=mel.floor, top_db=None)
    found = LogMel(rate, mel, high)(sound)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("pitch", [0.0, 60.0, 440.0, 999.0, 1000.0, 1001.0, 7_900.0])
def test_the_mel_scale_is_that_of_librosa_and_goes_back(pitch: float) -> None:
    assert mels(pitch) == pytest.approx(float(librosa.hz_to_mel(pitch)), abs=1e-9)
    assert hertz(mels(pitch)) == pytest.approx(pitch, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.permutations(range(5)))
def test_a_sound_has_the_same_bytes_in_any_company(seed: int, order: list[int]) -> None:
    sounds = noise(seed, 5, 0.1)
    together = FEW(sounds)
    np.testing.assert_array_equal(FEW(sounds[order]), together[order])
    alone = np.concatenate([FEW(sounds[n : n + 1]) for n in range(5)])
    np.testing.assert_array_equal(alone, together)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(-20, 60))
def test_a_gain_is_a_shift_in_decibels(seed: int, gain: float) -> None:
    sound = noise(seed, 1, 0.1) + np.float32(0.01)
    louder = FEW((sound * 10 ** (gain / 20)).astype(np.float32))
    quiet = FEW(sound)
    assert (quiet > 20 + 1e-3).all()  # so that nothing falls below the floor
    np.testing.assert_allclose(louder - quiet, gain, atol=2e-3)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1e-9))
def test_silence_is_zero_and_nothing_is_below(level: float) -> None:
    silence = np.full((1, 2048), level, np.float32)
    found = FEW(silence)
    np.testing.assert_array_equal(found, np.zeros_like(found))


@settings(deadline=None, max_examples=40)
@given(st.floats(100, 7_500))
def test_a_sine_is_loudest_in_the_band_that_is_named_after_it(pitch: float) -> None:
    loudest = USUAL(sine(pitch)).mean(axis=2)[0].argmax()
    places = edges(0.0, RATE / 2, 64)
    assert places[loudest] - 16 <= pitch <= places[loudest + 2] + 16  # a line is 16 Hz wide


def test_bands_are_named_after_their_middle() -> None:
    window = SoundConfig(length=1.0, rate=RATE, input="sound")
    names = window.model_channels
    assert len(set(names)) == len(names) == window.model_shape[0] == 64
    loudest = front(window)(sine(418.0, 1.0)[:, None]).mean(axis=2)[0].argmax()
    assert names[int(loudest)] == "band008_418Hz"


def test_frames_are_as_many_as_the_configuration_says() -> None:
    window = SoundConfig(length=0.5, rate=RATE, input="sound", mel=MelConfig(fft=700, hop=333))
    assert front(window)(noise(0)[:, None]).shape == (2, *window.model_shape)


def test_what_is_not_finite_stays_so_in_its_own_frames() -> None:
    sound = noise(3, 1)
    sound[0, 100] = np.nan
    found = USUAL(sound)
    assert np.isnan(found[0, :, 0]).all()
    assert np.isfinite(found[0, :, 1:]).all()
