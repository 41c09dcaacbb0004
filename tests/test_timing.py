"""Histograms of durations."""

from __future__ import annotations

import numpy as np

from monitor.timing import BOUNDS, Timed, Timings
from tests.core.detectors import Energy


def test_a_duration_counts_in_the_first_bucket_that_holds_it() -> None:
    timings = Timings()
    timings.observe(("x",), np.array([BOUNDS[0], BOUNDS[0] * 1.01, 1e9, -1.0]))
    counts = timings.histograms()["x",].counts
    assert counts[0] == 2, "a bucket holds its bound, and whatever is below the first one"
    assert counts[1] == 1
    assert counts[-1] == 1, "beyond the last bound"


def test_observations_add_up() -> None:
    timings = Timings()
    timings.observe(("x",), np.array([0.1, 0.2]))
    timings.observe(("x",), np.array([0.3]))
    timings.observe(("y", "z"), np.array([]))
    found = timings.histograms()
    assert sum(found["x",].counts) == 3
    assert np.isclose(found["x",].total, 0.6)
    assert found["y", "z"].counts == (0,) * (len(BOUNDS) + 1)


def test_a_timed_scorer_scores_the_same_and_tells_how_long_it_took() -> None:
    timings, ticks = Timings(), iter([1.0, 1.25])
    scorer = Energy((2, 4), trained=("pump",))
    timed = Timed(scorer, timings, lambda: next(ticks))
    x = np.ones((3, 2, 4), np.float32)
    constants = np.stack([timed.group] * 3)
    assert timed.score(x, constants).tolist() == scorer.score(x, constants).tolist()
    assert timings.histograms()["inference_duration", "energy"].total == 0.25
    assert np.array_equal(timed.contributions(x, constants), scorer.contributions(x, constants))
    assert timed.constants("stranger") is None
    assert timed.constants("pump") is not None
    assert (timed.label, timed.shape) == ("energy", (2, 4))
    assert (timed.fingerprint, timed.calibration is scorer.calibration) == (
        scorer.fingerprint,
        True,
    )
