"""State <-> bytes, and fingerprints."""

from __future__ import annotations

import pickle
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from monitor.arrays import fingerprint, from_bytes, put_under, to_bytes, under
from monitor.errors import StateError
from monitor.testing import same_state

ARRAYS = hnp.arrays(
    st.sampled_from(["f4", "f8", "i1", "i8", "u1", "u8", "u4", "?"]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
)


@given(st.dictionaries(st.text(max_size=8), ARRAYS, max_size=4))
def test_a_state_comes_back_bit_for_bit(state: dict[str, np.ndarray]) -> None:
    assert same_state(from_bytes(to_bytes(state)), state)
    backwards = dict(reversed(state.items()))
    assert to_bytes(backwards) == to_bytes(state)


def test_a_view_with_gaps_is_packed_as_what_it_shows() -> None:
    every_other = np.arange(10.0)[::2]
    assert from_bytes(to_bytes({"x": every_other}))["x"].tolist() == [0, 2, 4, 6, 8]


GOOD = to_bytes({"x": np.arange(3.0)})


@pytest.mark.parametrize("data", [b"", b"x", GOOD[:-1], GOOD[:5], b"\xff" * 64, pickle.dumps({})])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(StateError, match=f"not a safetensors file \\({len(data)} bytes\\)"):
        from_bytes(data)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_crash_it(data: bytes) -> None:
    with suppress(StateError):
        from_bytes(data)


def test_a_fingerprint_changes_with_every_part_and_with_where_they_divide() -> None:
    found = {
        fingerprint("ab", "c"),
        fingerprint("a", "bc"),
        fingerprint("abc"),
        fingerprint(b"abc", ""),
        fingerprint({"a": 1}),
        fingerprint({"a": 2}),
    }
    assert len(found) == 6
    assert all(len(text) == 16 for text in found)


def test_the_order_of_keys_does_not_change_a_fingerprint() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_under_takes_back_what_put_under_has_put() -> None:
    state = {"x": np.zeros(1), "y/z": np.ones(1)}
    put = put_under("part", state) | put_under("part two", state)
    assert under("part", put).keys() == state.keys()
    assert set(put) == {"part/x", "part/y/z", "part two/x", "part two/y/z"}
