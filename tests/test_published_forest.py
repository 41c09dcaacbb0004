"""The compiled forest detects as well as the published algorithm: ROC AUC, scored before learned.

Both see the same rows; the compiled one runs with several seeds, since a forest's AUC varies with
its seed. `python -m tests.forest_comparison` is the same for more sets and seeds, as a table.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.forest_comparison import Set, compiled, digits, drifting, memory_of, published, wine
from tests.published_forest import Forest

THEIRS, OURS = 2, 16


@pytest.mark.parametrize("load", [drifting, digits, wine])
def test_it_detects_as_well_as_the_published_algorithm(load: Callable[[], Set]) -> None:
    """Within what the noise of the means leaves: three standard errors, or .01 where less. It takes
    less memory, too.
    """
    x, odd = load()
    theirs, theirs_taken = np.array([published(x, odd, seed) for seed in range(THEIRS)]).T
    ours, ours_taken = np.array([compiled(x, odd, seed) for seed in range(OURS)]).T
    error = np.std(ours, ddof=1) * np.sqrt(1 / THEIRS + 1 / OURS)
    assert np.mean(ours) > np.mean(theirs) - max(0.01, 3 * error)
    assert ours_taken.max() < theirs_taken.min() / 3


def test_the_published_forest_scores_a_far_point_highest() -> None:
    """The yardstick itself: it splits, it forgets, and it tells far from near."""
    random = np.random.default_rng(0)
    forest = Forest(window=128, leaf=8)
    assert forest.score(np.zeros(2)) == 1
    for point in random.normal(size=(300, 2)):
        forest.learn(point)
    near = np.mean([forest.score(point) for point in random.normal(size=(50, 2))])
    assert forest.score(np.array([9.0, 9.0])) > near + 0.1
    assert all(root is not None and root.count == 128 for root in forest.roots)


def test_memory_counts_what_is_held_once() -> None:
    """An array counts its header and its numbers, wherever it is held."""
    numbers = np.zeros(1000)
    assert 8000 < memory_of([numbers]) == memory_of([numbers, numbers]) - 8 < 8300
