"""What simulated cameras see as messages, and as a data set for inspection in the usual layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from monitor.errors import ConfigError
from simulators.cameras import Cameras, Shot, encoded
from simulators.play import Message

KINDS = ("scratch", "missing_hole", "missing_screw", "foreign_object", "lighting", "occlusion")


def frame_messages(shots: Iterable[Shot], topic: str) -> Iterator[Message]:
    """JPEG files keyed by camera, due when they are taken, which the header `time` tells (s)."""
    for shot in shots:
        headers = (("time", repr(float(shot.time)).encode()),)
        yield Message(shot.time, topic, shot.sensor.encode(), encoded(shot.picture), headers)


def record_parts(cameras: Cameras, folder: Path, good: int, faulty: int) -> int:
    """Write `<folder>/<camera>/train/good` with so many pictures, and `test/good`, `test/<fault>`
    with `faulty` each; `ground_truth/<fault>` has the masks. Returns how many pictures it wrote,
    masks not counted. Raises ConfigError where the folder cannot be written.
    """
    try:
        for camera in cameras.sensors:
            root = folder / camera
            _write(cameras, camera, range(good), root / "train/good")
            _write(cameras, camera, range(good, good + faulty), root / "test/good")
            for place, kind in enumerate(KINDS, start=1):
                first = good + place * faulty
                _write_faulty(cameras, camera, range(first, first + faulty), (root, kind))
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from error
    return len(cameras.sensors) * (good + (1 + len(KINDS)) * faulty)


def _write_faulty(cameras: Cameras, camera: str, numbers: range, place: tuple[Path, str]) -> None:
    root, kind = place
    begin, end = (cameras.start + n / cameras.rate for n in (numbers.start, numbers.stop))
    spoiled = cameras.only(kind, begin, end)
    masks = root / "ground_truth" / kind
    masks.mkdir(parents=True, exist_ok=True)
    for name, shot in _write(spoiled, camera, numbers, root / "test" / kind):
        mask = Image.fromarray(np.where(shot.mask, 255, 0).astype(np.uint8))
        mask.save(masks / f"{name}_mask.png")


def _write(cameras: Cameras, camera: str, numbers: range, folder: Path) -> list[tuple[str, Shot]]:
    """PNG files of the pictures with these numbers, called by their place in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for place, number in enumerate(numbers):
        shot = cameras.frame(camera, cameras.start + number / cameras.rate)
        (folder / f"{place:04}.png").write_bytes(encoded(shot.picture, "png"))
        made.append((f"{place:04}", shot))
    return made
