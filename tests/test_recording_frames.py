"""Folders of pictures as recordings of cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.config import parse
from monitor.connect.recording.player import as_recorded, chunks, records
from monitor.connect.recording.reading import Recording, read_recordings
from monitor.connect.store import ModelStore
from monitor.errors import ConfigError
from monitor.notation import reference
from monitor.offline.dataset import read_recorded, windows_of
from monitor.offline.train import train
from monitor.settings import Config, StreamConfig
from monitor.stream.codec import make_codec
from monitor.wiring import FRAMES_AT_ONCE, build_middle
from simulators.cameras import Cameras, encoded

CONFIG = """
source: {{kafka: {{bootstrap: [127.0.0.1:9092], group: g}}}}
models: {models}
streams:
  line:
    topics: [frames]
    window: {{input: frames, size: [24, 16], rate: 2}}
    models: [{{use: ["pca:parts@production"]}}]
"""
CAMERAS = Cameras(seed=2, size=(48, 32))


def config(folder: Path) -> Config:
    return parse(CONFIG.format(models=folder / "models"), "line.yaml", {})


def stream(folder: Path) -> StreamConfig:
    return config(folder).streams["line"]


def put(folder: Path, count: int, first: int = 0, name: str = "{:04}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        picture = CAMERAS.frame("camera-1", float(number)).picture
        (folder / name.format(number)).write_bytes(encoded(picture, "png"))
    return folder


def inspected(root: Path) -> Path:
    """The usual layout of a data set for inspection."""
    put(root / "bottle/train/good", 60)
    put(root / "bottle/test/good", 5, 100)
    put(root / "bottle/test/scratch", 4, 200)
    put(root / "bottle/ground_truth/scratch", 4, 200, "{:04}_mask.png")
    return root


def test_a_folder_of_pictures_is_a_camera_and_its_frames_follow_at_the_rate(tmp_path: Path) -> None:
    put(tmp_path / "north", 3)
    put(tmp_path / "south", 2)
    north, south = read_recordings([tmp_path], stream(tmp_path))
    assert (north.sensor, south.sensor) == ("north", "south")
    assert north.time.tolist() == [0.0, 0.5, 1.0]
    assert north.data.shape == (3, 3 * 24 * 16)
    assert north.labels is None
    assert north.data.min() >= 0
    assert north.data.max() <= 255


def test_the_usual_layout_gives_labels_and_one_camera(tmp_path: Path) -> None:
    root = inspected(tmp_path)
    (test,) = read_recordings([root / "bottle/test"], stream(tmp_path))
    assert test.sensor == "bottle"
    assert test.labels is not None
    assert test.labels.tolist() == [0] * 5 + [1] * 4
    (whole,) = read_recordings([root], stream(tmp_path))
    assert len(whole.time) == 69, "masks are no pictures of parts"
    assert whole.path == root / "bottle"


def test_times_at_the_end_of_names_are_those_of_the_frames(tmp_path: Path) -> None:
    folder = tmp_path / "gate"
    put(folder, 1, 1, "part_20260131_120000.png")
    put(folder, 1, 2, "part_20260131_120010.png")
    (found,) = read_recordings([folder], stream(tmp_path))
    assert np.diff(found.time).tolist() == [10.0]
    assert found.time[0] == 1769860800


def test_pictures_with_one_time_in_their_names_are_told(tmp_path: Path) -> None:
    put(tmp_path / "gate", 1, 1, "a_20260131_120000.png")
    put(tmp_path / "gate", 1, 2, "b_20260131_120000.png")
    with pytest.raises(ConfigError, match="has the same time in its name as a_20260131_120000"):
        read_recordings([tmp_path], stream(tmp_path))


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG and nothing else")
    with pytest.raises(ConfigError, match=r"bad\.png: cannot be read: "):
        read_recordings([tmp_path], stream(tmp_path))
    (tmp_path / "bad.png").unlink()
    (tmp_path / "x.csv").write_text("time,x\n0,1\n")
    with pytest.raises(ConfigError, match=r"x\.csv: is no picture"):
        read_recordings([tmp_path], stream(tmp_path))


def test_pictures_for_a_stream_of_samples_are_refused(tmp_path: Path) -> None:
    window = {"length": 1, "rate": 4, "channels": ["x"]}
    other = StreamConfig.model_validate(
        {"topics": ["t"], "window": window, "models": [{"use": ["online_iforest"]}]}
    )
    with pytest.raises(ConfigError, match=r"is a picture, but the stream's window\.input is"):
        read_recordings([put(tmp_path / "a", 1)], other)


def frames_of(found: Recording) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return found.data.reshape(3, len(found.time), -1).transpose(1, 0, 2)


def test_windows_and_messages_are_the_frames(tmp_path: Path) -> None:
    setting = stream(tmp_path)
    recorded = read_recordings([put(tmp_path / "north", 4)], setting)
    cut = windows_of(recorded, setting)["north"]
    assert np.array_equal(cut.data, frames_of(recorded[0]))
    assert np.allclose(cut.ends, recorded[0].time + 0.5)
    codec = make_codec(as_recorded(setting))
    sent = [codec.decode(record)[0] for record in records(recorded, setting)]
    kept = list(chunks(recorded, setting.window))
    assert len(sent) == len(kept) == 4
    for one, other in zip(sent, kept, strict=True):
        assert (one.start, one.whole) == (other.start, other.whole)
        assert np.array_equal(one.data, other.data)


def test_a_model_is_trained_on_good_parts_and_finds_others(tmp_path: Path) -> None:
    root, setting = inspected(tmp_path / "data"), config(tmp_path)
    (made,) = train(setting, read_recorded(setting, [root / "bottle/train"]))
    assert made.windows == 60
    model = ModelStore(setting.models).load(reference("pca:parts@production"))
    assert model.manifest.front == {
        "frame": [16, 24],
        "color": "rgb",
        "region": [0.0, 0.0, 1.0, 1.0],
    }
    test = windows_of(read_recordings([root / "bottle/test"], stream(tmp_path)), stream(tmp_path))
    scores = model.score(test["bottle"].data, np.repeat(model.group[None], 9, axis=0))
    assert np.isfinite(scores).all()
    assert (test["bottle"].labels == [0] * 5 + [1] * 4).all()


def test_frames_are_scored_in_small_calls(tmp_path: Path) -> None:
    setting = config(tmp_path)
    train(setting, read_recorded(setting, [put(tmp_path / "north", 60)]))
    (lane,) = build_middle(setting).pipeline.streams[0].lanes
    parts = ModelStore(setting.models).load(reference("pca:parts@production"), FRAMES_AT_ONCE)
    assert lane.scorers[0].fingerprint == parts.fingerprint
