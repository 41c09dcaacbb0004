"""Many detectors' scores -> one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stream.fusion import fuse
from monitor.types import Array

NAN = math.nan


def row(*values: float) -> Array:
    return np.array([values], np.float32)


@pytest.mark.parametrize(
    ("values", "votes", "expected"),
    [
        ((0.5, 3.0, 2.0), 1, 3.0),
        ((0.5, 3.0, 2.0), 2, 2.0),
        ((0.5, 3.0, 2.0), 3, 0.5),
        ((NAN, 3.0, 2.0), 2, 2.0),
        ((NAN, 3.0, NAN), 2, 0.0),
        ((math.inf, 3.0), 1, math.inf),
    ],
)
def test_it_is_the_so_manieth_largest_known_score(
    values: tuple[float, ...], votes: int, expected: float
) -> None:
    assert fuse(row(*values), votes).tolist() == [expected]


def test_nobody_knowing_is_unknown() -> None:
    assert np.isnan(fuse(row(NAN, NAN), 1)).all()


def test_no_windows_have_no_scores() -> None:
    assert fuse(np.empty((0, 2), np.float32), 1).shape == (0,)


SCORES = st.one_of(st.floats(0, 10, width=32), st.just(NAN))


@given(st.lists(SCORES, min_size=1, max_size=5), st.integers(1, 5))
def test_it_is_over_one_exactly_where_enough_detectors_are(values: list[float], votes: int) -> None:
    assert (fuse(row(*values), votes)[0] > 1) == (sum(value > 1 for value in values) >= votes)
