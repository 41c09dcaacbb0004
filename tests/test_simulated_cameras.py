"""Simulated cameras: the same pictures for the same seed, and masks where the fault is."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from monitor.errors import ConfigError
from simulators.cameras import Cameras, encoded
from simulators.defects import FROZEN, KINDS
from simulators.faults import Fault

SIZE = (64, 48)
CAMERAS = Cameras(seed=3, count=2, size=SIZE)


def test_pictures_depend_on_the_seed_and_the_time_alone() -> None:
    pieces = [*CAMERAS.frames(0, 3), *CAMERAS.frames(3, 8)]
    again = Cameras(seed=3, count=2, size=SIZE).frames(0, 8)
    for one, other in zip(pieces, again, strict=True):
        assert (one.sensor, one.time) == (other.sensor, other.time)
        assert np.array_equal(one.picture, other.picture)
    other = Cameras(seed=4, count=2, size=SIZE).frame("camera-1", 0.0)
    assert not np.array_equal(pieces[0].picture, other.picture)


def test_a_picture_is_that_of_the_last_time_it_was_taken() -> None:
    shot = CAMERAS.frame("camera-2", 5.9)
    assert shot.time == 5.0
    assert shot.picture.shape == (48, 64, 3)
    assert not shot.mask.any()
    assert (shot.label, shot.fault) == (0, "")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {FROZEN}))
def test_the_mask_is_where_a_fault_changes_the_picture(kind: str) -> None:
    begin, end = 20.0, 30.0
    faulty = CAMERAS.only(kind, begin, end)
    inside, outside = [], []
    for sound, spoiled in zip(CAMERAS.frames(begin, end), faulty.frames(begin, end), strict=True):
        assert (spoiled.label, spoiled.fault) == (1, kind)
        change = np.abs(spoiled.picture.astype(int) - sound.picture).mean(axis=2)
        inside.append(change[spoiled.mask])
        outside.append(change[~spoiled.mask])
    shown, rest = np.concatenate(inside), np.concatenate(outside)
    assert len(shown), "some picture shows it"
    assert not len(rest) or shown.mean() > 2 * rest.mean() + 2


def test_a_frozen_camera_sends_its_last_picture_again() -> None:
    shots = list(CAMERAS.only(FROZEN, 10.0, 14.0).frames(10.0, 15.0))
    of_one = [shot for shot in shots if shot.sensor == "camera-1"]
    assert all(np.array_equal(of_one[0].picture, shot.picture) for shot in of_one[1:4])
    assert not np.array_equal(of_one[0].picture, of_one[4].picture)
    assert [shot.label for shot in of_one] == [1, 1, 1, 1, 0]


def test_planned_faults_lie_inside_of_their_time() -> None:
    faults = CAMERAS.with_faults(100.0, 700.0).faults
    assert faults
    assert all(100 <= fault.start < fault.end <= 700 for fault in faults)


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_messages_hold_the_picture(form: str) -> None:
    picture = CAMERAS.frame("camera-1", 0.0).picture
    with Image.open(BytesIO(encoded(picture, form))) as found:  # type: ignore[arg-type]
        read = np.asarray(found)
    assert read.shape == picture.shape
    assert np.abs(read.astype(int) - picture).mean() < 6


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"count": 0}, "0 cameras"),
        ({"size": (8, 64)}, "8 x 64 pixels"),
        ({"rate": 0.0}, "at 0 frames/s"),
        ({"faults": (Fault("scratch", "camera-9", 0, 1, ()),)}, "'camera-9': valid are camera-1"),
        ({"faults": (Fault("rust", "camera-1", 0, 1, ()),)}, "'rust': valid are"),
    ],
)
def test_what_is_not_possible_is_told(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Cameras(**{"seed": 1, **changes})  # type: ignore[arg-type]
