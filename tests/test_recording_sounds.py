"""Recorded sound: files and folders, their sensors and times, training and replay from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.connect.recording.player import as_recorded, records
from monitor.connect.recording.reading import read_recordings
from monitor.connect.recording.sounds import began, read_sound, sensor_in
from monitor.errors import ConfigError
from monitor.offline.dataset import read_recorded, windows_of
from monitor.settings import Config, StreamConfig
from monitor.stream.codec import encode_audio, make_codec
from monitor.types import Array
from simulators import files
from tests.recorded import config

RATE = 8000
MEL = {"bands": 16, "fft": 256, "hop": 128}
SOUND = {"length": "0.5s", "hop": "0.25s", "rate": RATE, "input": "sound", "mel": MEL}
NOON = 1_769_860_800.0  # 2026-01-31 12:00:00 UTC


def stream_of(**window: Any) -> StreamConfig:
    found: Config = config(window={**SOUND, **window})
    return found.streams["machines"]


def write(path: Path, seconds: float = 1.0, channels: int = 1, rate: int = RATE) -> Array:
    """Noise, a file of the kind that its name ends in."""
    shape = channels, round(seconds * rate)
    data = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix[1:].upper().replace("OGA", "OGG")
    path.write_bytes(encode_audio(data, rate, kind))
    return data


@pytest.mark.parametrize("name", ["a.wav", "a.FLAC", "a.ogg", "a.oga"])
def test_a_file_is_a_recording_from_time_zero(tmp_path: Path, name: str) -> None:
    written = write(tmp_path / name)
    (found,) = read_recordings([tmp_path], stream_of())
    assert (found.sensor, found.channels) == ("a", ("sound",))
    assert found.labels is None
    np.testing.assert_allclose(found.time, np.arange(RATE) / RATE)
    near = 1e-4 if "og" not in name else 0.5
    np.testing.assert_allclose(found.data, written, atol=near)


@pytest.mark.parametrize(
    ("name", "sensor", "time"),
    [
        ("pump-1_20260131_120000", "pump-1", NOON),
        ("pump-1 20260131T120000Z", "pump-1", NOON),
        ("hall/pump.20260131-120001", "hall/pump", NOON + 1),
        ("20260131_120000", "plant", NOON),
        ("hall/20260131_120000", "hall", NOON),
        ("pump-1_20261331_120000", "pump-1_20261331_120000", 0.0),
        ("pump-20260131", "pump-20260131", 0.0),
        ("1-172649-A", "1-172649-A", 0.0),
        ("", "", 0.0),
    ],
)
def test_a_time_at_the_end_of_a_name_is_when_it_begins(name: str, sensor: str, time: float) -> None:
    assert sensor_in(name, Path("plant") / f"{name}.wav") == sensor
    assert began(name) == time


def test_clips_of_one_microphone_follow_each_other(tmp_path: Path) -> None:
    for clock in ("120000", "120010", "120005"):
        write(tmp_path / "hall" / f"20260131_{clock}.wav", 2.0)
    found = windows_of(read_recordings([tmp_path], stream_of()), stream_of())
    assert list(found) == ["hall"]
    each = np.arange(0.5, 2.1, 0.25)
    expected = np.concatenate([NOON + later + each for later in (0, 5, 10)])
    np.testing.assert_allclose(found["hall"].ends, expected)
    assert found["hall"].data.shape == (21, 16, 30)


def test_several_microphones_are_mixed_for_sound_and_kept_apart_for_samples(tmp_path: Path) -> None:
    written = write(tmp_path / "a.wav", channels=2)
    mixed = read_sound(tmp_path / "a.wav", stream_of().window)
    np.testing.assert_allclose(mixed.data, written.mean(axis=0, keepdims=True), atol=1e-4)
    samples = config(window={"length": "0.5s", "rate": RATE, "channels": ["x", "y"]})
    apart = read_sound(tmp_path / "a.wav", samples.streams["machines"].window)
    np.testing.assert_allclose(apart.data, written, atol=1e-4)
    assert apart.channels == ("x", "y")


@pytest.mark.parametrize(
    ("content", "window", "said"),
    [
        (b"no sound", {}, "cannot be read: the sound starts with"),
        (b"fLaC" + b"\0" * 50, {}, "cannot be read: the sound cannot be read"),
        (None, {"rate": 16_000}, "was sampled at 8000 Hz; the stream's window.rate is 16000"),
        (None, {"input": "samples", "channels": ["x", "y"]}, "has 1 channels; the stream has 2"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, content: bytes | None, window: dict[str, Any], said: str
) -> None:
    path = tmp_path / "a.wav"
    if content is None:
        write(path)
    else:
        path.write_bytes(content)
    settings = {**SOUND, **window}
    if settings["input"] == "samples":
        del settings["mel"]
    with pytest.raises(ConfigError) as caught:
        read_recordings([path], config(window=settings).streams["machines"])
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 0.0)
    with pytest.raises(ConfigError, match="holds no samples"):
        read_recordings([tmp_path], stream_of())


def test_what_is_played_is_what_was_recorded(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 2.5)
    stream = stream_of()
    recordings = read_recordings([tmp_path], stream)
    codec = make_codec(as_recorded(stream))
    parts = [s for record in records(recordings, stream) for s in codec.decode(record)]
    assert [part.start for part in parts] == [0.0, 1.0, 2.0]
    np.testing.assert_array_equal(np.hstack([p.data for p in parts]), recordings[0].data)


def test_files_go_to_the_streams_that_they_are_of(tmp_path: Path) -> None:
    write(tmp_path / "heard.wav")
    (tmp_path / "felt.csv").write_text("time,x\n1,0\n2,0\n", encoding="utf-8")
    heard, felt = stream_of(), config(window={"length": "2s", "rate": 1, "channels": ["x"]})
    found = config()
    found = found.model_copy(update={"streams": {"hall": heard, "plant": felt.streams["machines"]}})
    recorded = read_recorded(found, [tmp_path])
    assert {name: [r.sensor for r in own] for name, own in recorded.items()} == {
        "hall": ["heard"],
        "plant": ["felt"],
    }


def test_the_player_takes_channels_and_rate_from_a_file(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", channels=2)
    stream = files.stream_of(tmp_path / "a.wav", "plant")
    assert stream.window.rate == RATE
    assert stream.window.channels == ["sound_1", "sound_2"]
    recordings, faults = files.read([tmp_path], stream)
    assert recordings[0].data.shape == (2, RATE)
    assert not faults
