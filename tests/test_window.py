"""Samples -> windows: the compiled windower against a plain one, and its promises one by one."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import StateError
from monitor.settings import EventTime
from monitor.stream.window import SAMPLES, Windower
from monitor.types import Samples
from monitor.windowing import WindowConfig
from tests.core.builders import window
from tests.core.plain_window import Cut, PlainWindower, policies, pushes
from tests.core.plain_window import settings as window_settings


def ramp(begin: int, size: int, channels: int = 2, channel: int = -1) -> Samples:
    """Samples whose value is their place."""
    rows = channels if channel < 0 else 1
    data = np.tile(np.arange(begin, begin + size, dtype=np.float32), (rows, 1))
    return Samples("pump", float(begin), data, channel)


def starts(windower: Windower, *samples: Samples) -> list[float]:
    return list(windower.push([0] * len(samples), samples).starts.tolist())


def cuts_of(windower: Windower, found: list[tuple[int, Samples]]) -> list[Cut]:
    made = windower.push([slot for slot, _ in found], [samples for _, samples in found])
    rows = zip(made.slots.tolist(), made.starts.tolist(), made.data, strict=True)
    return [(slot, start, data.copy()) for slot, start, data in rows]


def same(found: list[Cut], expected: list[Cut]) -> None:
    assert [cut[:2] for cut in found] == [cut[:2] for cut in expected]
    for (_, _, data), (_, _, wanted) in zip(found, expected, strict=True):
        np.testing.assert_allclose(data, wanted, rtol=1e-6)


def compare(
    config: WindowConfig, policy: EventTime, found: list[tuple[int, Samples]], parts: list[int]
) -> None:
    """Push all in one plain windower; in parts, with a state saved between, in the real one."""
    plain = PlainWindower(config, policy)
    for slot, samples in found:
        plain.push(slot, samples)
    cuts, counts, state = [], plain.counts.copy(), Windower(config).state()
    counts.clear()
    edges = sorted({0, len(found), *(part % len(found) for part in parts)})
    for low, high in pairwise(edges):
        windower = Windower(config, policy)
        windower.restore(state)
        cuts += cuts_of(windower, found[low:high])
        counts += windower.counts
        state = windower.state()
    same(cuts, plain.cuts)
    assert +counts == +plain.counts
    size = sum(samples.data.size for _, samples in found)
    assert sum(counts[outcome] for outcome in SAMPLES) == size, "each is counted, and once"


def any_pushes(data: st.DataObject) -> None:
    config = data.draw(window_settings())
    found = data.draw(pushes(config))
    compare(config, data.draw(policies()), found, data.draw(st.lists(st.integers(0, 24))))


@settings(max_examples=200)
@given(st.data())
def test_it_cuts_what_a_plain_one_cuts_however_pushed_and_restored(data: st.DataObject) -> None:
    any_pushes(data)


def test_the_kernel_never_leaves_its_arrays() -> None:
    """The same in a process where nothing is compiled, so that every index is checked."""
    script = (
        "import tests.conftest; from hypothesis import given, strategies;"
        "from tests.test_window import any_pushes; given(strategies.data())(any_pushes)()"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "ci"}
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_windows_start_at_multiples_of_the_hop() -> None:
    windower = Windower(window(hop=2))
    assert starts(windower, ramp(3, 10)) == [4.0, 6.0, 8.0]


@pytest.mark.parametrize("begin", [0, 1, 5, 17])
def test_a_replay_from_the_middle_cuts_the_same_windows(begin: int) -> None:
    def cut(first: int) -> dict[float, bytes]:
        made = Windower(window(hop=3)).push([0], [ramp(first, 60 - first)])
        return {s: d.tobytes() for s, d in zip(made.starts.tolist(), made.data, strict=True)}

    whole, part = cut(0), cut(begin)
    assert part == {start: data for start, data in whole.items() if start >= begin}


def test_a_window_closes_as_soon_as_it_is_complete() -> None:
    windower = Windower(window(lateness=3))
    assert starts(windower, ramp(0, 3)) == []
    assert starts(windower, ramp(3, 1)) == [0.0]


def test_windows_name_the_message_that_completed_them() -> None:
    made = Windower(window()).push([0] * 3, [ramp(0, 3), ramp(3, 6), ramp(9, 3)])
    assert made.starts.tolist() == [0.0, 4.0, 8.0]
    assert made.pushed.tolist() == [1, 1, 2]


def test_late_samples_within_the_lateness_are_used_in_their_place() -> None:
    windower = Windower(window(lateness=2))
    made = windower.push([0] * 3, [ramp(0, 2), ramp(3, 2), ramp(2, 1)])
    assert made.data[0, 0].tolist() == [0, 1, 2, 3]


def test_samples_that_are_too_late_are_counted_and_left_out() -> None:
    windower = Windower(window())
    assert starts(windower, ramp(0, 8), ramp(2, 1)) == [0.0, 4.0]
    assert windower.counts["late"] == 2


def test_the_first_of_two_samples_for_one_place_stays() -> None:
    windower = Windower(window())
    other = ramp(1, 1)._replace(data=np.full((2, 1), 99, np.float32))
    made = windower.push([0] * 3, [ramp(0, 2), other, ramp(2, 2)])
    assert made.data[0, 0].tolist() == [0, 1, 2, 3]
    assert windower.counts["duplicate"] == 2


def test_the_last_of_two_samples_for_one_place_stays_where_the_policy_says_so() -> None:
    windower = Windower(window(), EventTime(duplicate="last"))
    other = ramp(1, 1)._replace(data=np.full((2, 1), 99, np.float32))
    made = windower.push([0] * 3, [ramp(0, 2), other, ramp(2, 2)])
    assert made.data[0, 0].tolist() == [0, 99, 2, 3]
    assert windower.counts["duplicate"] == 2


def test_samples_out_of_order_are_put_in_their_place_and_counted() -> None:
    windower = Windower(window())
    made = windower.push([0] * 3, [ramp(0, 1), ramp(2, 1), ramp(1, 1)])
    made = windower.push([0], [ramp(3, 1)])
    assert made.data[0, 0].tolist() == [0, 1, 2, 3]
    assert (windower.counts["accepted"], windower.counts["reordered"]) == (8, 2)


@pytest.mark.parametrize("policy", ["drop", "dead_letter"])
def test_samples_out_of_order_are_dropped_where_the_policy_says_so(policy: str) -> None:
    windower = Windower(window(), EventTime.model_validate({"out_of_order": policy}))
    assert starts(windower, ramp(0, 1), ramp(2, 1), ramp(1, 1), ramp(3, 5)) == [4.0]
    assert windower.counts["out_of_order"] == 2
    assert windower.counts["incomplete"] == 1


def test_each_channel_has_an_order_of_its_own() -> None:
    windower = Windower(window(), EventTime(out_of_order="drop"))
    assert starts(windower, ramp(0, 4, channel=1), ramp(0, 4, channel=0)) == [0.0]


def test_a_gap_is_counted_with_its_length_once_it_is_over() -> None:
    windower = Windower(window(lateness=1))
    windower.push([0] * 2, [ramp(0, 4), ramp(7, 1)])
    assert windower.counts["gaps"] == 0, "the samples may still come"
    windower.push([0] * 2, [ramp(6, 1), ramp(8, 8)])
    assert (windower.counts["gaps"], windower.counts["missing"]) == (2, 4), "of two channels"


def test_a_gap_of_many_windows_is_one_gap() -> None:
    windower = Windower(window())
    windower.push([0] * 2, [ramp(0, 4), ramp(1000, 4)])
    assert (windower.counts["gaps"], windower.counts["missing"]) == (2, 2 * 996)


def test_messages_of_which_nothing_is_used_are_dead_letters_where_the_policy_says_so() -> None:
    policy = EventTime(late="dead_letter", duplicate="dead_letter", out_of_order="dead_letter")
    windower = Windower(window(), policy)
    pushed = [ramp(0, 5), ramp(6, 1), ramp(1, 2), ramp(4, 1), ramp(5, 1), ramp(3, 2), ramp(6, 3)]
    refused = windower.push([0] * len(pushed), pushed).refused
    assert refused == [(2, "late"), (3, "duplicate"), (4, "out_of_order"), (5, "late")]


def test_nothing_is_a_dead_letter_where_the_policies_drop() -> None:
    made = Windower(window()).push([0] * 3, [ramp(0, 5), ramp(1, 2), ramp(4, 1)])
    assert not made.refused


def test_ready_windows_are_dead_letters_where_the_policy_says_so() -> None:
    windower = Windower(window(input="windows"), EventTime(late="dead_letter"))
    made = windower.push([0, 0, 0], [whole(0.5, 1), whole(0.5, 2), whole(-9, 4)])
    assert list(made.refused) == [(2, "late")]
    assert len(made.slots) == 1


def test_channels_may_come_one_by_one() -> None:
    windower = Windower(window())
    assert starts(windower, ramp(0, 4, channel=1)) == []
    assert starts(windower, ramp(0, 4, channel=0)) == [0.0]


def test_a_gap_drops_its_window_and_no_other() -> None:
    windower = Windower(window())
    assert starts(windower, ramp(0, 5), ramp(6, 10)) == [0.0, 8.0, 12.0]
    assert windower.counts["incomplete"] == 1


@pytest.mark.parametrize(("fill", "filled"), [("hold", [4, 4, 4, 7]), ("linear", [4, 5, 6, 7])])
def test_a_short_gap_is_filled_by_the_policy(fill: str, filled: list[float]) -> None:
    windower = Windower(window(fill=fill, max_gap=2))
    made = windower.push([0] * 2, [ramp(0, 5), ramp(7, 2)])
    assert made.data[1, 0].tolist() == filled


def test_a_gap_that_is_too_long_is_not_filled() -> None:
    windower = Windower(window(fill="hold", max_gap=1))
    assert starts(windower, ramp(0, 5), ramp(7, 5)) == [0.0, 8.0]
    assert windower.counts["incomplete"] == 1


def test_a_gap_at_the_left_edge_is_filled_from_the_sample_before() -> None:
    windower = Windower(window(fill="hold", max_gap=2))
    made = windower.push([0] * 2, [ramp(0, 4), ramp(6, 3)])
    assert made.data[1, 0].tolist() == [3, 3, 6, 7]


def test_a_gap_longer_than_the_ring_is_filled_where_the_policy_allows_it() -> None:
    windower = Windower(window(fill="hold", max_gap=20))
    made = windower.push([0] * 2, [ramp(0, 4), ramp(14, 3)])
    assert made.starts.tolist() == [0.0, 12.0], "windows without any sample are none"
    assert made.data[1, 0].tolist() == [3, 3, 14, 15]


def test_a_message_far_longer_than_the_ring_is_cut_into_all_its_windows() -> None:
    made = Windower(window(hop=1)).push([0], [ramp(0, 1003)])
    assert made.starts.tolist() == list(range(1000))
    assert (made.data[:, 0, 0] == made.starts).all()


def test_a_leap_of_many_years_takes_no_longer_than_a_short_one() -> None:
    windower = Windower(window(hop=1e-6, rate=1_000_000, length=4e-6))
    first = Samples("", 0.0, np.zeros((2, 6), np.float32))
    later = first._replace(start=2.5e11)
    made = windower.push([0] * 2, [first, later])
    assert made.starts.tolist()[-1] == 2.5e11
    assert len(made.starts) == 6


def test_times_before_1970_are_times() -> None:
    assert starts(Windower(window(hop=3)), ramp(-10, 12)) == [-9.0, -6.0, -3.0]


def test_sensors_do_not_share_a_grid() -> None:
    windower = Windower(window())
    made = windower.push([1, 0, 1], [ramp(0, 2), ramp(2, 8), ramp(2, 2)])
    assert made.slots.tolist() == [0, 1]
    assert made.starts.tolist() == [4.0, 0.0]


def test_nothing_pushed_cuts_nothing() -> None:
    made = Windower(window()).push([], [])
    assert made.data.shape == (0, 2, 4)


def whole(start: float, value: float) -> Samples:
    return Samples("", start, np.full((2, 4), value, np.float32), whole=True)


def test_ready_windows_pass_unchanged_where_they_are_newer() -> None:
    windower = Windower(window(input="windows"))
    made = windower.push([0, 0, 1, 0], [whole(0.5, 1), whole(0.5, 2), whole(0, 3), whole(-9, 4)])
    assert made.starts.tolist() == [0.5, 0.0]
    assert made.data[:, 0, 0].tolist() == [1, 3]
    assert made.pushed.tolist() == [0, 2]
    assert +windower.counts == {"accepted": 16, "duplicate": 8, "late": 8}


def test_ready_windows_go_on_after_their_state_is_restored() -> None:
    config = window(input="windows")
    first, second = Windower(config), Windower(config)
    first.push([0], [whole(5, 1)])
    second.restore(first.state())
    assert second.push([0, 0], [whole(5, 1), whole(6, 1)]).starts.tolist() == [6.0]


def test_a_state_of_other_sizes_is_refused() -> None:
    state = Windower(window(length=5)).state()
    with pytest.raises(StateError, match=r"rows \(2, 6\), expected float32 with rows \(2, 5\)"):
        Windower(window()).restore(state)
