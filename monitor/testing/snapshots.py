"""What every keeper of snapshots promises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.errors import StateError
from monitor.protocols import Snapshots
from monitor.testing.states import same_state
from monitor.types import Partition, State

HERE, THERE = Partition("plant.vibration", 0), Partition("plant.vibration", 1)


def check_snapshots(
    reopen: Callable[[], Snapshots], damage: Callable[[Partition, int], None] | None = None
) -> None:
    """Check a keeper of snapshots that is empty at first; `reopen` is what a new process sees.

    `damage` spoils what is kept at an offset, so that a reader must notice it.
    """
    assert list(reopen().offsets(HERE)) == [], "nothing was saved"
    for offset in (0, 40, 70):
        reopen().save(HERE, offset, example_state(offset))
    assert list(reopen().offsets(THERE)) == [], "a snapshot belongs to one partition"
    _check_kept(reopen(), [70, 40])
    reopen().save(HERE, 70, example_state(71))
    assert same_state(reopen().load(HERE, 70), example_state(71)), (
        "of two at one offset the later one counts"
    )
    _check_refuses_what_is_not_there(reopen())
    _check_other_history(reopen)
    _check_few(reopen())
    if damage:
        _check_damage(reopen, damage)


def _check_kept(kept: Snapshots, newest: list[int]) -> None:
    found = list(kept.offsets(HERE))
    assert found[: len(newest)] == newest, f"the newest are {newest}, not {found}"
    for offset in newest:
        state = kept.load(HERE, offset)
        assert same_state(state, example_state(offset)), f"the arrays at {offset} are not those"


def _check_refuses_what_is_not_there(kept: Snapshots) -> None:
    try:
        kept.load(HERE, 41)
    except StateError:
        return
    raise AssertionError("load gave a state at 41, where nothing was saved")


def _check_other_history(reopen: Callable[[], Snapshots]) -> None:
    """As after a topic was made anew: what was saved ahead must not come back to life."""
    reopen().save(HERE, 50, example_state(50))
    _check_kept(reopen(), [50, 40])


def _check_few(kept: Snapshots) -> None:
    for offset in range(60, 90):
        kept.save(HERE, offset, example_state(offset))
    found = list(kept.offsets(HERE))
    assert len(found) >= 2, f"more than one generation is kept, not just {found}"
    _check_kept(kept, [89, 88])


def _check_damage(
    reopen: Callable[[], Snapshots], damage: Callable[[Partition, int], None]
) -> None:
    damage(HERE, 89)
    kept = reopen()
    assert next(iter(kept.offsets(HERE))) == 89, "damage is found by loading"
    try:
        kept.load(HERE, 89)
    except StateError:
        pass
    else:
        raise AssertionError("a damaged generation was loaded")
    _check_kept(kept, [88])
    kept.save(HERE, 95, example_state(95))
    _check_kept(reopen(), [95, 88])


def example_state(number: int) -> State:
    """Arrays of many kinds, another set for each number."""
    return {
        "numbers": np.arange(number, dtype=np.float64),
        "online:forest/ring": np.full((number % 3, 2), number, np.float32),
        "flags": np.array([True, False]),
        "unknown": np.array([np.nan, np.inf], np.float32),
        "draws": np.array([2**64 - 1], np.uint64),
    }
