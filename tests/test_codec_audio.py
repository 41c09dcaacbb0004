"""Files of sound as messages: what is heard comes out, and no bytes do anything but be refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import ConfigError, DecodeError
from monitor.settings import StreamConfig
from monitor.stream.codec import Codec, audio, encode_audio, encode_float32, make_codec
from monitor.types import Array, Partition, Record, Samples

RATE = 8000
KINDS = ["WAV", "FLAC", "OGG"]


def stream_of(**other: Any) -> StreamConfig:
    sections = {
        "topics": ["plant.sound"],
        "format": "audio",
        "window": {"length": "0.5s", "rate": RATE, "input": "sound"},
        "models": [{"use": ["mahalanobis"]}],
    }
    return StreamConfig.model_validate({**sections, **other})


def codec_of(**other: Any) -> Codec:
    return make_codec(stream_of(**other))


def record_of(value: bytes, *headers: tuple[str, bytes]) -> Record:
    return Record(Partition("plant.sound", 0), 7, b"pump-1", 50.0, value, headers)


def tone(count: int = 4000, channels: int = 1) -> Array:
    time = np.arange(count) / RATE
    found = [np.sin(2 * np.pi * 300 * (c + 1) * time) for c in range(channels)]
    return np.stack([0.5 * row for row in found]).astype(np.float32)


def refused(decode: Callable[[], object]) -> str:
    with pytest.raises(DecodeError) as caught:
        decode()
    assert caught.value.detail.isprintable()
    return caught.value.reason


@pytest.mark.parametrize(("kind", "near"), [("WAV", 1e-4), ("FLAC", 1e-4), ("OGG", 0.05)])
def test_what_is_heard_comes_out(kind: str, near: float) -> None:
    (samples,) = codec_of().decode(record_of(encode_audio(tone(), RATE, kind)))
    assert samples[:2] == ("pump-1", 50.0)
    assert (samples.channel, samples.whole) == (-1, False)
    assert samples.data.dtype == np.float32
    assert not samples.data.flags.writeable
    np.testing.assert_allclose(samples.data, tone(), atol=near)


def test_several_channels_become_their_mean() -> None:
    stereo = tone(channels=2)
    (samples,) = codec_of().decode(record_of(encode_audio(stereo, RATE, "WAV")))
    np.testing.assert_allclose(samples.data, stereo.mean(axis=0, keepdims=True), atol=1e-4)


def test_the_time_is_that_of_the_header_or_else_of_the_log() -> None:
    value, codec = encode_audio(tone(), RATE), codec_of()
    assert codec.decode(record_of(value, ("time", b"12.5")))[0].start == 12.5
    assert codec.decode(record_of(value, ("other", b"12.5")))[0].start == 50.0
    for strange in (b"noon", b"\xff", b"", b"nan", b"-1", b"1e300"):
        assert refused(lambda s=strange: codec.decode(record_of(value, ("time", s)))) == "bad_time"  # type: ignore[misc]


def test_another_rate_is_refused_with_both_named() -> None:
    with pytest.raises(DecodeError, match=r"has 16000 samples/s; .* window.rate is 8000") as told:
        codec_of().decode(record_of(encode_audio(tone(), 16_000)))
    assert told.value.reason == "wrong_rate"


@pytest.mark.parametrize("kind", KINDS)
def test_what_claims_too_much_is_refused_before_it_is_decoded(kind: str) -> None:
    value = encode_audio(np.zeros((1, 200_000), np.float32), RATE, kind)
    codec = codec_of(limits={"samples": 199_999})
    assert refused(lambda: codec.decode(record_of(value))) == "too_many_samples"


@pytest.mark.parametrize("claimed", [0, 2**36 - 1])
def test_a_head_that_claims_hours_or_does_not_say_is_refused(claimed: int) -> None:
    value = bytearray(encode_audio(tone(), RATE))
    about = int.from_bytes(value[18:26], "big") >> 36 << 36  # the last 36 bits count the samples
    value[18:26] = (about | claimed).to_bytes(8, "big")
    assert refused(lambda: codec_of().decode(record_of(bytes(value)))) == "too_many_samples"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"MF32", "bad_audio"),
        (b"RIFF", "bad_audio"),
        (b"fLaC" + b"\0" * 100, "bad_audio"),
        (b"OggS" + b"\xff" * 100, "bad_audio"),
        (encode_audio(tone(), RATE)[:200], "bad_audio"),
        (encode_audio(tone(), RATE, "WAV")[:44], "empty"),
        (b"RIFF" + b"\0" * 20_000, "too_large"),
    ],
)
def test_what_is_no_sound_is_refused_with_a_reason(value: bytes, reason: str) -> None:
    codec = codec_of(limits={"message": 10_000})
    assert refused(lambda: codec.decode(record_of(value))) == reason


def test_other_files_that_the_library_could_read_are_refused() -> None:
    file = io.BytesIO()
    soundfile.write(file, tone()[0], RATE, format="AIFF")
    assert refused(lambda: codec_of().decode(record_of(file.getvalue()))) == "bad_audio"


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_sound_is_decoded_or_refused(kind: str, data: st.DataObject) -> None:
    value = bytearray(encode_audio(tone(1200), RATE, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(value)))
    with suppress(DecodeError):
        (samples,) = codec_of().decode(record_of(bytes(value[:end])))
        assert samples.data.shape[0] == 1
        assert samples.data.dtype == np.float32


def test_sound_may_also_come_as_plain_samples() -> None:
    value = encode_float32(Samples("", 12.5, tone()))
    (samples,) = codec_of(format="float32").decode(record_of(value))
    np.testing.assert_array_equal(samples.data, tone())
    assert samples.start == 12.5


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ConfigError, match="format audio carries no names; valid are key, topic"):
        codec_of(sensor="payload:id")
    with pytest.raises(ValueError, match=r"window\.input is samples: files of sound need"):
        stream_of(window={"length": "1s", "rate": RATE, "channels": ["sound"]})


def test_without_the_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(audio, "soundfile")
    with pytest.raises(ConfigError, match=r"pip install 'monitor\[audio\]'"):
        codec_of()


@pytest.mark.parametrize(("kind", "rate"), [("MP3", 8000.0), ("WAV", 44.1)])
def test_what_cannot_be_encoded_is_told(kind: str, rate: float) -> None:
    with pytest.raises(ConfigError, match="valid are WAV, FLAC, OGG and whole numbers"):
        encode_audio(tone(), rate, kind)
