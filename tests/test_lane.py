"""What is remembered of the sensors of one rule, and what of it survives a change of settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitor.errors import StateError
from monitor.stream.lane import LaneSpec, LaneState, OnlineSpec
from monitor.testing import same_state
from monitor.types import State
from tests.core.builders import (
    HERE,
    level,
    pipeline,
    record,
    stream,
    stream_config,
    windows_of,
)
from tests.core.detectors import Energy, Level, Picky, Strict

SHAPE = (2, 4)


def spec(
    online: OnlineSpec | None = None, scorer: Energy | None = None, **changes: Any
) -> LaneSpec:
    config = stream_config(**changes)
    made = [online or level(config.window.shape)]
    return stream(config, online=made, scorers=[scorer or Energy(config.window.shape)]).lanes[0]


def lived(**changes: Any) -> State:
    """The state of a lane that has seen two sensors."""
    each = pipeline(stream(stream_config(**changes)))
    each.process(windows_of([1, 2, 1, 3, 1, 9, 9, 9], "pump"))
    each.process(windows_of([1, 2], "fan", first=8))
    return each.partitions[HERE].lanes[0].state()


def restored(state: State, made: LaneSpec) -> tuple[LaneState, list[str]]:
    lane = LaneState(made)
    return lane, lane.restore(state)


def test_the_same_settings_take_over_everything() -> None:
    state = lived()
    lane, told = restored(state, spec())
    assert told == []
    assert same_state(lane.state(), state)
    assert lane.sensors.live[1] == ("pump", "fan")


CHANGES: dict[str, tuple[LaneSpec, set[str]]] = {
    "threshold": (
        spec(threshold={"window": 64, "quantile": 0.95}),
        {"threshold:energy", "threshold:level"},
    ),
    "window": (
        spec(window={"length": 4, "rate": 1, "channels": ["x", "y"], "lateness": 1}),
        {"windower", "constants", "threshold:energy", "threshold:level", "online:level"},
    ),
    "model": (spec(scorer=Energy(SHAPE, trained=("new",))), {"threshold:energy"}),
    "alert": (spec(alert={"raise": "5 of 9", "silence": 60}), set()),
    "parameters": (
        spec(OnlineSpec("level", lambda: Level(SHAPE), "window", "other")),
        {"threshold:level", "online:level"},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_change_of_settings_makes_void_starts_warm_and_is_told(change: str) -> None:
    made, lost = CHANGES[change]
    lane, told = restored(lived(), made)
    assert set(told) == {f"{part} starts warm" for part in lost}
    assert lane.sensors.live[1] == ("pump", "fan")


def test_another_backend_of_the_nets_makes_their_thresholds_void() -> None:
    plain = spec()
    other = LaneSpec(
        plain.stream, plain.match, plain.settings, plain.scorers, plain.online, backend="onnx/64"
    )
    assert restored(lived(), other)[1] == ["threshold:energy starts warm"]


@pytest.mark.parametrize("kind", [Picky, Strict])
def test_a_detector_that_cannot_go_on_begins_anew(kind: type[Level]) -> None:
    plain = level(SHAPE)
    online = OnlineSpec(plain.label, lambda: kind(SHAPE), "window", plain.fingerprint)
    lane, told = restored(lived(), spec(online))
    assert told == ["online:level starts warm"]
    assert same_state(lane.online[0].state(), kind(SHAPE).state()), "nothing is half restored"


def test_a_lane_whose_sensor_has_another_rule_now_starts_empty() -> None:
    rules = [{"use": ["mahalanobis:any"]}, {"match": "fan", "use": ["mahalanobis:any"]}]
    assert restored(lived(), stream(stream_config(models=rules)).lanes[0])[1] == []
    lane, told = restored(lived(), stream(stream_config(models=rules[::-1])).lanes[1])
    assert told == ["starts empty, since 'fan' has another rule now"]
    assert len(lane.sensors) == 0


def test_names_that_cannot_be_read_are_an_error() -> None:
    with pytest.raises(StateError, match="names of sensors cannot be read"):
        restored({**lived(), "sensors/names": np.array([1, 2], np.uint8)}, spec())


def test_a_part_that_is_missing_starts_warm() -> None:
    state = {k: v for k, v in lived().items() if not k.startswith("alarm/")}
    assert restored(state, spec())[1] == ["alarm starts warm"]


def test_unknown_sensors_are_refused_only_where_it_says_so() -> None:
    made = LaneState(spec(scorer=Energy(SHAPE, trained=("pump",)), unknown_sensors="reject"))
    assert made.accepts("pump")
    assert not made.accepts("stranger")
    assert LaneState(spec()).accepts("stranger")


def test_a_view_shows_each_sensor_with_its_labels_and_last_window() -> None:
    config = stream_config(assets=[{"match": "p*", "labels": {"site": "north"}}])
    each = pipeline(stream(config))
    each.process(windows_of([1, 2], "pump"))
    each.process([record(2, 0.0, np.ones((2, 2), np.float32), "fan")])
    (view,) = each.views()
    assert (view.stream, view.partition, view.detectors) == ("vibration", HERE, ("energy", "level"))
    assert view.sensors == ("pump", "fan")
    assert view.labels == ({"site": "north"}, {})
    assert view.raw[0].tolist() == [4.0, 2.0]
    assert np.isnan(view.raw[1]).all()
    assert view.window_end[0] == 8
    assert view.last_seen.tolist() == [7, 1]
    assert view.progress[0].tolist() == [1, 0.5]


def test_a_view_of_nobody_is_empty() -> None:
    (view,) = pipeline().views()
    assert view.sensors == ()
    assert view.raw.shape == (0, 2)


def test_a_forgotten_sensor_leaves_its_slot_and_its_labels_to_another() -> None:
    config = stream_config(assets=[{"match": "p*", "labels": {"site": "north"}}])
    each = pipeline(stream(config))
    each.process(windows_of([1, 9, 9, 9], "pump"))
    each.process(windows_of([1, 2], "fan", first=4))
    lane = each.partitions[HERE].lanes[0]
    lane.forget(np.array([0]))
    assert each.views()[0].sensors == ("fan",)
    assert each.views()[0].raw[:, 0].tolist() == [4.0]
    assert lane.admit("lathe") == 0
    (view,) = each.views()
    assert (view.sensors, view.labels) == (("lathe", "fan"), ({}, {}))
    assert np.isnan(view.raw[0]).all()
    assert view.progress[0].tolist() == [1, 0]


def test_holes_come_back_with_the_state() -> None:
    each = pipeline()
    for offset, name in enumerate(("a", "b", "c")):
        each.process([record(offset, 4.0 * offset, np.ones((2, 4), np.float32), name)])
    first = each.partitions[HERE].lanes[0]
    first.forget(np.array([1]))
    second, told = restored(first.state(), spec())
    assert told == []
    assert same_state(first.state(), second.state())
    assert first.admit("d") == second.admit("d") == 1
    assert same_state(first.state(), second.state())
