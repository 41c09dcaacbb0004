"""From a camera to an alert: JPEG files in a log, what is wrong with parts and with the camera."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from monitor.connect.memory import MemoryLog
from monitor.offline.dataset import SensorWindows
from monitor.offline.train import train_on
from monitor.settings import Config
from monitor.stream.codec import make_codec
from monitor.types import Partition, Record, Result
from monitor.wiring import build_middle
from simulators.cameras import Cameras, Shot, encoded
from simulators.faults import Fault

START = 1_767_225_600.0
WIDTH, HEIGHT = SIZE = (96, 64)
DELAY = 30.0  # the log has a frame half a minute after it was taken
LESSONS, LIVE = 80, 40
BEGIN = START + LESSONS
OBJECT = Fault("foreign_object", "camera-1", BEGIN + 10, BEGIN + 18, (), 2.0)
CLOTH = Fault("covered", "camera-2", BEGIN + 22, BEGIN + 30, ())
CAMERAS = Cameras(5, 2, SIZE, start=START)
FAULTY = replace(CAMERAS, faults=(OBJECT, CLOTH))
DETECTOR = "padim:parts"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A model of the parts on both conveyors, from frames as the stream decodes them."""
    found = Config.model_validate(
        {
            "source": {"recordings": {"paths": ["unused"]}},
            "models": str(tmp_path_factory.mktemp("models")),
            "streams": {
                "belt": {
                    "topics": ["belt"],
                    "window": {"input": "frames", "size": SIZE},
                    "models": [{"use": [DETECTOR]}],
                    "alert": {"raise": "3 of 4", "clear": "3 below 0.9"},
                    "guards": {"covered": 8},
                }
            },
        }
    )
    train_on(found, {"belt": {sensor: lesson(found, sensor) for sensor in CAMERAS.sensors}})
    return found


def lesson(config: Config, sensor: str) -> SensorWindows:
    codec = make_codec(config.streams["belt"])
    sent = messages(shot for shot in CAMERAS.frames(START, BEGIN) if shot.sensor == sensor)
    data = np.stack([codec.decode(record)[0].data for record in sent])
    ends = np.array([record.time - DELAY + 1 for record in sent])
    return SensorWindows(data, ends, np.zeros(LESSONS, np.int8))


def messages(shots: Iterable[Shot]) -> list[Record]:
    """A JPEG file of each, as a log has them."""
    log = MemoryLog(["belt"], 1)
    return [
        log.append(
            shot.sensor.encode(),
            shot.time + DELAY,
            encoded(shot.picture),
            (("time", str(shot.time).encode()),),
        )
        for shot in shots
    ]


@pytest.fixture(scope="module")
def sent() -> list[Record]:
    return messages(FAULTY.frames(BEGIN, BEGIN + LIVE))


@pytest.fixture(scope="module")
def result(config: Config, sent: list[Record]) -> Result:
    return processed(config, [sent])


def processed(config: Config, calls: Iterable[Sequence[Record]]) -> Result:
    pipeline = build_middle(config).pipeline
    pipeline.open(Partition("belt", 0), None)
    found = [pipeline.process(call) for call in calls]
    return Result(
        [score for result in found for score in result.scores],
        [alert for result in found for alert in result.alerts],
        [rejected for result in found for rejected in result.rejected],
        [notice for result in found for notice in result.notices],
        [evidence for result in found for evidence in result.evidence],
    )


def test_every_frame_is_scored_at_the_time_that_its_header_tells(result: Result) -> None:
    assert not result.rejected
    ends = [score.time for score in result.scores if score.sensor == "camera-1"]
    assert ends == [BEGIN + 1 + second for second in range(LIVE)]


def test_a_foreign_object_raises_an_alert_that_shows_the_frame_and_where(result: Result) -> None:
    (alert,) = [a for a in result.alerts if a.phase == "firing" and a.rule == "score"][:1]
    assert alert.sensor == "camera-1"
    assert OBJECT.start <= alert.opened <= OBJECT.end + 1
    evidence = next(e for e in result.evidence if e.alert == alert.id)
    assert (evidence.kind, evidence.detector) == ("frame", "padim")
    assert evidence.heat.shape == (HEIGHT, WIDTH)
    shot = FAULTY.frame("camera-1", evidence.time - 1)
    assert evidence.example.shape == (3, HEIGHT, WIDTH)
    assert np.abs(evidence.example - np.moveaxis(shot.picture, 2, 0)).mean() < 6
    assert evidence.heat[shot.mask].mean() > 1.3 * evidence.heat[~shot.mask].mean()


def test_a_covered_camera_is_an_alert_of_its_own_until_it_sees_again(result: Result) -> None:
    found = [(a.sensor, a.phase, a.time) for a in result.alerts if a.rule == "covered"]
    first, last = (CLOTH.start + 1, CLOTH.end + 3)
    assert found == [("camera-2", "firing", first), ("camera-2", "resolved", last)]


@pytest.mark.parametrize("count", [1, 7, 64])
def test_how_many_frames_come_at_once_does_not_matter(
    config: Config, sent: list[Record], result: Result, count: int
) -> None:
    calls = [sent[first : first + count] for first in range(0, len(sent), count)]
    other = processed(config, calls)
    assert other.scores == result.scores
    assert other.alerts == result.alerts
    for one, whole in zip(other.evidence, result.evidence, strict=True):
        assert (one.alert, one.time, one.offset) == (whole.alert, whole.time, whole.offset)
        assert np.array_equal(one.example, whole.example)
        assert np.array_equal(one.heat, whole.heat)


def test_frames_in_one_place_of_the_rate_are_left_out(config: Config, result: Result) -> None:
    fast = replace(FAULTY, rate=4.0)
    few = [shot for shot in fast.frames(BEGIN, BEGIN + 5) if shot.time % 1 < 0.5]
    found = processed(config, [messages(few)])
    assert len(few) == 20
    assert len(found.scores) == 10


def test_what_is_no_picture_is_refused_and_the_camera_goes_on(
    config: Config, sent: list[Record], result: Result
) -> None:
    spoiled = [*sent[:4], sent[4]._replace(value=sent[4].value[:300]), *sent[5:]]
    found = processed(config, [spoiled])
    assert [(r.reason, r.record.offset) for r in found.rejected] == [("bad_image", 4)]
    assert len(found.scores) == len(result.scores) - 1
