"""All that is remembered about one partition: what a hand-off moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitor.errors import StateError
from monitor.stream.partition import PartitionState, Stream
from monitor.testing import same_state
from monitor.types import State
from tests.core.builders import HERE, pipeline, stream, stream_config, windows_of

ANY = ["mahalanobis:any"]


def two() -> list[Stream]:
    rules = [{"match": "pump*", "use": ANY}, {"match": "plant/*", "use": ANY}]
    return [stream(stream_config(models=rules), "first"), stream(name="second")]


def lived(*streams: Stream) -> State:
    each = pipeline(*(streams or two()))
    each.process(windows_of([1, 2, 1], "pump"))
    each.process(windows_of([1, 2], "plant/pump", first=3))
    return each.partitions[HERE].state()


def restored(state: State, *streams: Stream) -> tuple[PartitionState, list[str]]:
    made = PartitionState(HERE, streams or two(), 7)
    return made, made.restore(state)


def test_everything_comes_back_also_the_clock_and_the_places() -> None:
    state = lived()
    made, told = restored(state)
    assert told == []
    assert same_state(made.state(), state)
    assert made.clock == 19
    assert made.next_offset == 7
    assert made.knows("first", "pump")
    assert made.knows("first", "plant/pump")
    assert made.knows("second", "pump")
    assert not made.knows("second", "fan")


def test_a_lane_that_is_new_starts_empty_and_one_that_is_gone_is_forgotten_both_told() -> None:
    _, told = restored(lived(), stream(name="second"), stream(name="third"))
    assert told == [
        "third:*: not in the snapshot, starts empty",
        "first:plant/*: no longer configured, is forgotten",
        "first:pump*: no longer configured, is forgotten",
    ]


def test_lanes_find_theirs_in_another_order() -> None:
    made, told = restored(lived(), *two()[::-1])
    assert told == []
    assert [len(lane.sensors) for lane in made.lanes] == [2, 1, 1]


def test_a_line_says_which_part_of_which_lane_starts_warm() -> None:
    config = stream_config(threshold={"window": 99})
    _, told = restored(lived(), two()[0], stream(config, name="second"))
    assert told == [
        "second:*: threshold:energy starts warm",
        "second:*: threshold:level starts warm",
    ]


BROKEN: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "another format"),
    "something else": ({"x": np.zeros(3)}, "another format"),
    "another format": ({"format": np.array([99]), "clock": np.zeros(1)}, "another format"),
    "no clock": ({"format": np.array([2])}, "without clock or lanes"),
    "two clocks": ({"clock": np.zeros(2)}, "without clock or lanes"),
    "no JSON": ({"lanes": np.array([1], np.uint8)}, "without clock or lanes"),
    "no list": ({"lanes": np.frombuffer(b"3", np.uint8)}, "names of lanes are 3, not a list"),
    "no names": ({"0/sensors/names": np.array([1], np.uint8)}, "names of sensors cannot be read"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_not_ours_is_refused_with_the_reason(what: str) -> None:
    change, told = BROKEN[what]
    state = change if "format" in change or what in ("nothing", "something else") else None
    with pytest.raises(StateError, match=told):
        restored({**lived(), **change} if state is None else state)


def test_a_refused_state_opens_nothing() -> None:
    each = pipeline(opened=())
    with pytest.raises(StateError):
        each.open(HERE, {"x": np.zeros(3)}, 5)
    assert not each.partitions
