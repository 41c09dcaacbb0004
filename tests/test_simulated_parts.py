"""Simulated cameras as messages, and as a data set for inspection."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from monitor.connect.memory import MemoryLog
from monitor.connect.recording.reading import read_recordings
from monitor.errors import ConfigError
from monitor.settings import ModelRule, StreamConfig, Use
from monitor.stream.codec import make_codec
from monitor.windowing import CameraConfig
from simulators import commands
from simulators.__main__ import app
from simulators.cameras import Cameras
from simulators.parts import KINDS, frame_messages, record_parts
from simulators.play import Disturbance, MemoryTarget, Message

STREAM = StreamConfig(
    topics=["belt"],
    window=CameraConfig(input="frames", size=(32, 32)),
    models=[ModelRule(use=[Use(detector="conv_ae")])],
)
CAMERAS = Cameras(2, 2, (32, 32), start=1000.0)


class Kept:
    """A target that keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def close(self) -> None: ...


def test_a_played_frame_has_its_camera_as_key_and_its_time_in_a_header() -> None:
    log = MemoryLog("belt", 1)
    target = MemoryTarget(log)
    shots = list(CAMERAS.frames(1000.0, 1003.0))
    for message in frame_messages(shots, "belt"):
        target.send(message)
    records = log.read(log.partitions[0], 0, 100)
    codec = make_codec(STREAM)
    for record, shot in zip(records, shots, strict=True):
        (found,) = codec.decode(record._replace(time=0.0))
        assert (found.sensor, found.start) == (shot.sensor, shot.time)


def test_a_data_set_is_read_back_with_labels_and_masks(tmp_path: Path) -> None:
    one = Cameras(2, 1, (32, 32))
    assert record_parts(one, tmp_path, 4, 3) == 4 + 7 * 3
    (normal,) = read_recordings([tmp_path / "camera-1/train"], STREAM)
    (test,) = read_recordings([tmp_path / "camera-1/test"], STREAM)
    assert normal.sensor == test.sensor == "camera-1"
    assert test.labels is not None
    assert len(normal.time) == 4
    assert test.labels.tolist() == [0] * 3 + [1] * 3 * len(KINDS)
    for kind in KINDS:
        pictures = sorted(path.stem for path in (tmp_path / "camera-1/test" / kind).iterdir())
        masks = sorted((tmp_path / "camera-1/ground_truth" / kind).iterdir())
        assert [path.stem for path in masks] == [f"{name}_mask" for name in pictures]
        assert set(np.unique(np.asarray(Image.open(masks[-1])))) <= {0, 255}


def test_the_command_tells_how_many_pictures_it_wrote(tmp_path: Path) -> None:
    words = ["inspect", str(tmp_path), "--good", "1", "--faulty", "1", "--size", "16", "--json"]
    found = CliRunner().invoke(app, words, catch_exceptions=False)
    assert json.loads(found.output) == {"pictures": 8, "folder": str(tmp_path)}
    assert len(list(tmp_path.rglob("*.png"))) == 8 + len(KINDS)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: cannot be written"):
        record_parts(CAMERAS, tmp_path / "file", 1, 1)


def test_cameras_are_played_with_their_labels(capsys: pytest.CaptureFixture[str]) -> None:
    target = Kept()
    outlet = commands.Outlet(
        topic="belt",
        connect=lambda: target,
        format="image",
        speed=0.0,
        labels_topic=None,
        disturbance=Disturbance(),
        as_json=True,
    )
    cameras = commands.cameras_of(CAMERAS, 70.0, 1, 1.0)
    commands.play_cameras(cameras, 70.0, outlet)
    told = json.loads(capsys.readouterr().out)
    assert (told["messages"], told["sensors"], told["faults"]) == (142, 2, 2)
    assert sum(message.topic == "belt.labels" for message in target.sent) == 2
    assert sum(message.value[:3] == b"\xff\xd8\xff" for message in target.sent) == 140


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seconds", "0"], "seconds 0: more than 0"),
        (["--seconds", "60"], "need 65 s with recovery"),
        (["--rate", "0"], "at 0 frames/s"),
    ],
)
def test_a_mistake_is_told(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        CliRunner().invoke(app, ["cameras", "--topic", "t", *words], catch_exceptions=False)
