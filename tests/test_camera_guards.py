"""Guards of cameras: in the dark, covered, frozen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from monitor.guarding import GuardConfig
from monitor.settings import StreamConfig
from monitor.stream.guards import Guarded, Guards, told_guard
from monitor.types import Array
from monitor.windowing import CameraConfig
from simulators.cameras import Cameras

CAMERA = CameraConfig(input="frames", size=(32, 24))
CAMERAS = Cameras(seed=5, size=(32, 24))


def guards(clear: int = 1, **config: Any) -> Guards:
    return Guards(GuardConfig.model_validate(config), CAMERA, clear)


def frames(cameras: Cameras, begin: float, end: float) -> tuple[Array, np.ndarray[Any, Any]]:
    """Pixels `(N, C, P)` and times of what one camera sends."""
    shots = list(cameras.frames(begin, end))
    pictures = np.stack([shot.picture for shot in shots]).astype(np.float32)
    pixels = pictures.reshape(len(shots), -1, 3).transpose(0, 2, 1)
    return np.ascontiguousarray(pixels), np.array([shot.time for shot in shots])


def look(found: Guards, pixels: Array, times: np.ndarray[Any, Any]) -> list[Guarded]:
    return found.look(np.zeros(len(pixels), np.int64), pixels, times)[0]


ALL = {"dark": 25, "covered": 6, "frozen": 3}


def test_a_camera_in_good_order_has_no_fault() -> None:
    assert look(guards(**ALL), *frames(CAMERAS, 0, 30)) == []


@pytest.mark.parametrize("kind", ["dark", "covered"])
def test_a_simulated_fault_opens_its_guard_and_its_end_closes_it(kind: str) -> None:
    pixels, times = frames(CAMERAS.only(kind, 10.0, 20.0), 0, 30)
    found = [c for c in look(guards(**ALL), pixels, times) if c.rule == kind]
    assert [(c.firing, c.time, c.channel) for c in found] == [(True, 10.0, -1), (False, 20.0, -1)]


def test_a_picture_that_stands_still_is_told_after_so_many_seconds() -> None:
    pixels, times = frames(CAMERAS.only("frozen", 10.0, 20.0), 0, 30)
    found = look(guards(**ALL), pixels, times)
    assert [(c.rule, c.firing, c.time) for c in found] == [
        ("frozen", True, 13.0),
        ("frozen", False, 20.0),
    ]


def test_frames_at_fault_teach_nothing() -> None:
    pixels, times = frames(CAMERAS.only("dark", 2.0, 4.0), 0, 6)
    teaches = guards(**ALL).look(np.zeros(6, np.int64), pixels, times)[1]
    assert teaches.tolist() == [True, True, False, False, True, True]


def test_what_is_remembered_survives_a_crash_at_any_frame() -> None:
    pixels, times = frames(CAMERAS.only("frozen", 4.0, 12.0), 0, 16)
    whole = look(guards(**ALL), pixels, times)
    for crash in range(1, 16):
        first, second = guards(**ALL), guards(**ALL)
        told = look(first, pixels[:crash], times[:crash])
        second.restore(first.state())
        told += [c._replace(at=c.at + crash) for c in look(second, pixels[crash:], times[crash:])]
        assert told == whole


def test_a_sensor_that_is_forgotten_begins_anew() -> None:
    pixels, times = frames(CAMERAS.only("frozen", 0.0, 9.0), 0, 9)
    found = guards(frozen=6)
    look(found, pixels[:5], times[:5])
    found.forget(np.zeros(1, np.int64))
    assert look(found, pixels[5:], times[5:]) == []


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("dark", "the picture is dark: its mean brightness is below 25"),
        ("covered", "nothing is to be seen: the brightness differs by less than 6"),
        ("frozen", "sends the very same picture for 3 s"),
    ],
)
def test_the_reason_is_a_sentence(rule: Any, told: str) -> None:
    assert told_guard(GuardConfig.model_validate(ALL), rule, "") == told


@pytest.mark.parametrize("name", sorted(ALL))
def test_other_streams_than_cameras_cannot_have_them(name: str) -> None:
    window = {"length": 1, "rate": 4, "channels": ["x"]}
    use = [{"use": ["online_iforest"]}]
    with pytest.raises(ValidationError, match=f"guards.{name} is for cameras, but window.input"):
        StreamConfig.model_validate(
            {"topics": ["t"], "window": window, "models": use, "guards": {name: 1}}
        )
