"""Sounds of a machine against foreign ones: splits that share no source, and figures that are told
apart from chance.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import ConfigError
from monitor.offline.reproduce import esc10
from monitor.offline.reproduce.esc10 import NORMAL, Clip, Job, Outcome, divided, figures
from monitor.types import Array

DATA = Path(os.environ.get("MONITOR_DATA", Path(__file__).parents[1] / "../shared/data"))
SOURCES = ("1-172649", "2-37806", "3-150979", "5-177957")


def clips() -> list[Clip]:
    """Twelve sources of one to four takes, and six foreign sounds."""
    nothing = np.zeros((1, 2, 2), np.float32)
    own = [f"1-{source}-{take}" for source in range(12) for take in "ABCD"[: source % 4 + 1]]
    found = [Clip(NORMAL, name, nothing) for name in own]
    return found + [Clip("rain", f"2-{n}-A", nothing) for n in range(6)]


def outcome(scores: Array, detector: str = "pca", seed: int = 0) -> Outcome:
    """Ten normal clips, then five of rain and five of dogs."""
    kinds = [NORMAL] * 10 + ["rain"] * 5 + ["dog_bark"] * 5
    items = [f"{kind}/{n}" for n, kind in enumerate(kinds)]
    return Outcome(Job(None, detector, seed, "source"), items, kinds, scores, 9.5)


@pytest.mark.parametrize("seed", range(5))
def test_no_source_is_on_both_sides(seed: int) -> None:
    training, others = divided(clips(), seed, "source")
    assert not {c.source for c in training} & {c.source for c in others if c.kind == NORMAL}
    assert all(clip.kind == NORMAL for clip in training)
    assert 0.6 <= len(training) / 30 < 0.75
    assert len(training) + len(others) == 36
    assert Counter(clip.kind for clip in others)["rain"] == 6


def test_splits_follow_the_seed_and_sources_stay_together_in_training() -> None:
    first, again, other = (divided(clips(), seed, "source")[0] for seed in (0, 0, 1))
    assert [c.name for c in first] == [c.name for c in again] != [c.name for c in other]
    sources = [clip.source for clip in first]
    assert len(list(dict.fromkeys(sources))) == sum(
        a != b for a, b in zip(sources, [None, *sources], strict=False)
    )


def test_by_clip_a_source_may_be_on_both_sides() -> None:
    training, others = divided(clips(), 0, "clip")
    assert len(training) == 18
    assert {c.source for c in training} & {c.source for c in others}


def test_figures_are_those_of_the_clips() -> None:
    found = figures(outcome(np.arange(20, dtype=np.float32)))
    assert found["auroc"] == found["auroc_rain"] == found["auroc_dog_bark"] == 1
    assert found["recall_at_cut"] == 1
    assert found["false_alarm_rate_at_cut"] == 0
    backwards = figures(outcome(np.arange(20, dtype=np.float32)[::-1]))
    assert backwards["auroc"] == 0
    assert backwards["recall_at_cut"] == 0
    assert backwards["false_alarm_rate_at_cut"] == 1


def test_the_summary_has_mean_spread_and_worst_and_a_row_for_each_detector() -> None:
    good, bad = np.arange(20, dtype=np.float32), np.arange(20, dtype=np.float32)[::-1]
    each = [outcome(s, d, n) for d in ("pca", "knn") for n, s in enumerate((good, bad))]
    found = {**esc10.summary(each), "seconds": 1.0}
    assert (found["detector"], found["seeds"], found["split"]) == ("pca", 2, "source")
    assert (found["auroc"], found["auroc_sd"], found["auroc_worst"]) == (0.5, 0.5, 0.0)
    assert esc10.table(found).row_count == 2
    json.dumps(found)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lacks 70 of 70 files"):
        esc10.find_clips(tmp_path)
    with pytest.raises(ConfigError, match="'knn': valid are deep_gaussian, mahalanobis"):
        esc10.run(None, esc10.Options(detectors=["knn"]))
    with pytest.raises(ConfigError, match="split 'fold': valid are source, clip"):
        esc10.run(None, esc10.Options(split="fold"))


def test_real_helicopters_are_told_from_dogs() -> None:
    """A few sources, and the cheapest detector: the whole is `monitor reproduce esc10`."""
    if not (DATA / "esc10").is_dir():
        pytest.skip("ESC-10 is not there: set MONITOR_DATA to the folder that holds esc10/")
    files = esc10.find_clips(DATA)
    own = [path for kind, path in files if kind == NORMAL and path.stem[:-2] in SOURCES]
    dogs = [path for kind, path in files if kind == "dog_bark"][:5]
    machine, foreign = ([esc10.read_clip(NORMAL, path) for path in p] for p in (own, dogs))
    model = esc10.trained("mahalanobis", machine[2:])
    scores = [esc10.score_of(model, clip) for clip in (*machine[:2], *foreign)]
    assert max(scores[:2]) < min(scores[2:])
