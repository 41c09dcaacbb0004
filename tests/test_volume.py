"""VUS-PR: precision over recall for ranges of time with soft borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from monitor.offline.volume import Series, softened, vus_pr


def series(truth: list[int], scores: list[float]) -> Series:
    return Series(np.array(truth, np.int8), np.array(scores, np.float64))


def test_soft_borders_fall_with_the_distance_and_end_at_half_their_length() -> None:
    truth = np.array([0, 0, 0, 1, 1, 0, 0, 0], np.int8)
    half, near = np.sqrt(0.5), np.sqrt(0.75)
    assert softened(truth, 0) == pytest.approx(truth)
    assert softened(truth, 2) == pytest.approx([0, 0, half, 1, 1, half, 0, 0])
    assert softened(truth, 4) == pytest.approx([0, half, near, 1, 1, near, half, 0])


def test_a_window_between_two_ranges_belongs_to_the_nearer_one() -> None:
    truth = np.array([1, 0, 0, 0, 1], np.int8)
    assert softened(truth, 4) == pytest.approx(np.sqrt([1, 0.75, 0.5, 0.75, 1]))


def test_nothing_anomalous_has_no_borders() -> None:
    assert softened(np.zeros(3, np.int8), 4).tolist() == [0, 0, 0]


def test_without_borders_one_range_has_the_average_precision() -> None:
    truth, scores = [0, 1, 1, 0], [0.9, 0.1, 0.8, 0.2]
    assert vus_pr([series(truth, scores)], 0) == pytest.approx(0.5)
    assert vus_pr([series(truth, scores)], 0) == average_precision_score(truth, scores)


def test_recall_counts_only_as_far_as_ranges_are_found() -> None:
    # At 0.9 half of the rows in one of two ranges: a recall of 1/4. At 0.1 all of it, 2 of 3 right.
    assert vus_pr([series([1, 0, 1], [0.9, 0.8, 0.1])], 0) == pytest.approx(1 / 4 + 3 / 4 * 2 / 3)


def test_a_border_gives_credit_for_what_comes_a_little_late() -> None:
    # With borders of 2 windows half the borders' weight is wanted: (1 + 2.414) / 2 of the labels.
    late = series([0, 0, 1, 0, 0], [1.0, 2.0, 3.0, 2.5, 0.0])
    half = np.sqrt(0.5)
    possible = (1 + 1 + 2 * half) / 2
    with_borders = 1 / possible + (1 - 1 / possible) * (1 + half) / 2
    assert vus_pr([late], 2) == pytest.approx((1 + 1 + with_borders) / 3)


def test_near_misses_are_worth_more_than_far_ones() -> None:
    truth = [0] * 10 + [1] + [0] * 10
    near, far = ([float(place == at) for place in range(21)] for at in (11, 20))
    assert (vus_pr([series(truth, near)], 8) or 0) > 1.2 * (vus_pr([series(truth, far)], 8) or 0)


def test_borders_do_not_reach_into_the_next_recording() -> None:
    apart = [series([0, 0, 1], [0.1, 0.2, 0.9]), series([0, 0, 0], [0.8, 0.3, 0.1])]
    joined = [series([0, 0, 1, 0, 0, 0], [0.1, 0.2, 0.9, 0.8, 0.3, 0.1])]
    assert (vus_pr(apart, 2) or 0) < (vus_pr(joined, 2) or 0)


def test_windows_without_a_label_or_a_score_count_neither_way() -> None:
    plain = series([0, 1, 0, 0], [0.3, 0.9, 0.4, 0.1])
    holes = series([0, 1, 0, -1, 0, 1], [0.3, 0.9, 0.4, 9.0, 0.1, np.nan])
    assert vus_pr([holes], 0) == vus_pr([plain], 0) == 1.0


@pytest.mark.parametrize("truth", [[0, 0, -1], [1, 1, -1], [-1, -1, -1]])
def test_labels_of_one_kind_have_no_volume(truth: list[int]) -> None:
    assert vus_pr([series(truth, [0.1, 0.2, 0.3])], 2) is None


def test_no_recording_has_no_volume() -> None:
    assert vus_pr([], 2) is None


LABELLED = st.lists(st.tuples(st.integers(0, 1), st.integers(-50, 50)), min_size=2, max_size=60)


@given(LABELLED, st.integers(0, 12))
def test_only_the_order_of_scores_counts(rows: list[tuple[int, int]], longest: int) -> None:
    truth, scores = [row[0] for row in rows], [float(row[1]) for row in rows]
    stretched = [float(np.exp(score / 10)) for score in scores]
    found = vus_pr([series(truth, scores)], longest)
    assert found == vus_pr([series(truth, stretched)], longest)
    assert found is None or 0 <= found <= 1 + 1e-12


@given(st.lists(st.integers(0, 1), min_size=2, max_size=60).filter(lambda t: 0 < sum(t) < len(t)))
def test_scores_that_are_the_labels_are_perfect_without_borders(truth: list[int]) -> None:
    assert vus_pr([series(truth, [float(t) for t in truth])], 0) == pytest.approx(1.0)
