"""From a microphone to an alert: files of sound in a log, and features that others have made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.connect.recording.reading import Recording
from monitor.features.front import front
from monitor.offline.train import train
from monitor.settings import Config
from monitor.stream.codec import encode_audio, encode_float32
from monitor.types import Array, Partition, Record, Result, Samples
from monitor.wiring import build_middle
from simulators.faults import Fault
from simulators.fleet import Fleet

RATE, SECONDS = 8000, 60
START = 1_767_225_600.0
SQUEAL = Fault("belt_squeal", "motor-2", START + 80, START + 95, ("sound",), 2.0)
MEL = {"bands": 24, "fft": 512, "hop": 256}
SOUND = {"input": "sound", "length": "1s", "rate": RATE, "mel": MEL}
DETECTOR = {"detector": "ae_mahalanobis:motors", "params": {"epochs": 2, "widths": [16]}}


def config_of(folder: Path, window: dict[str, Any], form: str) -> Config:
    return Config.model_validate(
        {
            "source": {"recordings": {"paths": ["unused"]}},
            "models": str(folder),
            "streams": {
                "hall": {
                    "topics": ["hall"],
                    "format": form,
                    "window": window,
                    "models": [{"use": [DETECTOR]}],
                    "alert": {"raise": "2 of 3", "clear": "3 below 0.9"},
                }
            },
        }
    )


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return Fleet(5, 2, "motor", RATE, start=START, faults=(SQUEAL,))


@pytest.fixture(scope="module")
def config(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A model of both motors, from their first minute."""
    found = config_of(tmp_path_factory.mktemp("models"), SOUND, "audio")
    train(found, {"hall": [recorded(fleet, sensor) for sensor in fleet.sensors]})
    return found


def recorded(fleet: Fleet, sensor: str) -> Recording:
    time = START + np.arange(SECONDS * RATE) / RATE
    data = fleet.chunk(sensor, START, START + SECONDS).data
    return Recording(sensor, time, data, ("sound",), None, Path(sensor))


def files(fleet: Fleet, seconds: float) -> list[Record]:
    """A FLAC file of each motor each second, after the first minute."""
    begin = START + SECONDS
    sent = enumerate(fleet.samples(begin, begin + seconds, 1.0))
    return [
        Record(Partition("hall", 0), n, s.sensor.encode(), s.start, encode_audio(s.data, RATE))
        for n, s in sent
    ]


def processed(config: Config, records: Sequence[Record]) -> Result:
    pipeline = build_middle(config).pipeline
    pipeline.open(Partition("hall", 0), None)
    return pipeline.process(records)


def test_a_squeal_raises_an_alert_that_says_in_which_bands_and_shows_it(
    config: Config, fleet: Fleet
) -> None:
    result = processed(config, files(fleet, 50))
    assert not result.rejected
    assert len(result.scores) == 2 * 50
    (alert,) = [a for a in result.alerts if a.phase == "firing" and a.rule == "score"][:1]
    assert alert.sensor == "motor-2"
    assert SQUEAL.start <= alert.opened <= SQUEAL.end
    loudest = max(alert.channels, key=alert.channels.__getitem__)
    assert 1600 < float(loudest.partition("_")[2].removesuffix("Hz")) < 2800
    evidence = next(e for e in result.evidence if e.alert == alert.id)
    assert evidence.example.shape == (1, 24, 30)
    assert evidence.example.min() >= 0
    assert evidence.heat.shape[-2:] == (24, 30)


def test_the_other_motor_stays_quiet(config: Config, fleet: Fleet) -> None:
    alerts = processed(config, files(fleet, 50)).alerts
    assert {alert.sensor for alert in alerts} <= {"motor-2"}


def test_ready_features_score_as_the_sound_they_are_of(
    config: Config, fleet: Fleet, tmp_path: Path
) -> None:
    window = config.streams["hall"].window
    bands, frames = window.model_shape
    ready = {"input": "windows", "length": "1s", "rate": frames, "channels": bands}
    features = config_of(tmp_path, ready, "float32")
    make = front(window)

    def spectrogram(sound: Array) -> Array:
        return np.concatenate(list(make(sound.reshape(-1, 1, RATE))), axis=1)

    lessons = []
    for sensor in fleet.sensors:
        own = recorded(fleet, sensor)
        data = spectrogram(own.data)
        time = START + np.arange(data.shape[1]) / frames
        channels = tuple(features.streams["hall"].window.channels)
        lessons.append(Recording(sensor, time, data, channels, None, own.path))
    train(features, {"hall": lessons})

    begin = START + SECONDS
    heard = list(fleet.samples(begin, begin + 10, 1.0))
    sounds, made = [], []
    for offset, samples in enumerate(heard):
        key, data = samples.sensor.encode(), spectrogram(samples.data)
        value = encode_float32(Samples(samples.sensor, samples.start, data))
        made.append(Record(Partition("hall", 0), offset, key, samples.start, value))
        sounds.append(made[-1]._replace(value=encode_float32(samples)))
    plain = config.model_copy(deep=True)
    plain.streams["hall"] = config.streams["hall"].model_copy(
        update={"format": features.streams["hall"].format}
    )
    from_sound, from_features = processed(plain, sounds), processed(features, made)
    assert len(from_features.scores) == 20
    assert [s.raw for s in from_features.scores] == [s.raw for s in from_sound.scores]
