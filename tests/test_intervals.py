"""How sure an AUROC is."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.offline.intervals import auroc_interval
from monitor.offline.measures import ranking
from monitor.offline.volume import Series


def recordings(count: int, windows: int = 200, apart: float = 1.0, seed: int = 0) -> list[Series]:
    """With a level of their own, which all windows of a recording share."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        truth = (np.arange(windows) >= windows // 2).astype(np.int8)
        level = random.normal(0, 1)
        found.append(Series(truth, level + apart * truth + random.normal(0, 0.3, windows)))
    return found


def auroc(series: list[Series]) -> float:
    truth, scores = (np.concatenate([each[i] for each in series]) for i in range(2))
    found = ranking(truth.astype(np.int8), scores).auroc
    assert found is not None
    return found


def test_the_figure_itself_lies_inside() -> None:
    series = recordings(30)
    low, high = auroc_interval(series) or (1.0, 0.0)
    assert low < auroc(series) < high


def test_recordings_that_are_all_alike_leave_no_doubt() -> None:
    series = recordings(1) * 25
    assert auroc_interval(series) == pytest.approx((auroc(series), auroc(series)))


def test_equal_scores_count_half() -> None:
    truth = np.array([0, 1, 1, 0], np.int8)
    series = [Series(truth, np.array([1.0, 1.0, 2.0, 0.0]))] * 20
    assert auroc_interval(series) == pytest.approx((0.875, 0.875))


def test_a_few_recordings_are_less_sure_than_many() -> None:
    (few, more), (many, most) = (auroc_interval(recordings(n)) or (0, 0) for n in (20, 200))
    assert most - many < 0.6 * (more - few)


def test_windows_of_one_recording_are_not_taken_for_independent() -> None:
    """As if each window were a recording, the interval would be a fraction of what it is."""
    series = recordings(20, windows=100)
    alone = [Series(s.truth[i : i + 1], s.scores[i : i + 1]) for s in series for i in range(100)]
    (low, high), (first, last) = (auroc_interval(s) or (0, 0) for s in (series, alone))
    assert high - low > 2 * (last - first)


def test_one_long_recording_is_drawn_in_blocks() -> None:
    truth = (np.arange(2000) % 200 >= 100).astype(np.int8)
    scores = truth + np.random.default_rng(0).normal(0, 1, 2000)
    low, high = auroc_interval([Series(truth, scores)], shortest=50) or (0, 0)
    assert 0 < high - low < 0.2


def test_too_few_blocks_say_nothing() -> None:
    assert auroc_interval(recordings(2, windows=100), shortest=60) is None
    assert auroc_interval([]) is None


def test_draws_that_hold_one_kind_only_say_nothing() -> None:
    series = [Series(np.zeros(9, np.int8), np.arange(9.0)) for _ in range(20)]
    assert auroc_interval(series) is None


def test_what_has_no_label_or_no_score_is_left_out() -> None:
    series = recordings(20)
    spoilt = [
        Series(np.append(s.truth, [-1, 0]).astype(np.int8), np.append(s.scores, [99.0, np.nan]))
        for s in series
    ]
    assert auroc_interval(spoilt) == auroc_interval(series)


def test_the_same_seed_gives_the_same_interval() -> None:
    series = recordings(20)
    assert auroc_interval(series, seed=3) == auroc_interval(series, seed=3)
    assert auroc_interval(series, seed=3) != auroc_interval(series, seed=4)
