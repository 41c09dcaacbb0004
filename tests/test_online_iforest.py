"""The online isolation forest: bounded, forgetful, the same in any slot, safe from bad states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from monitor.detect import build, learns_online, view_of
from monitor.detect.online.online_iforest import OnlineIsolationForest
from monitor.errors import ConfigError, ModelError, StateError
from monitor.protocols import Online
from monitor.testing import same_state
from monitor.types import Array, State

ALWAYS = np.inf
NEVER = -np.inf


def forest(shape: tuple[int, ...] = (2,), **params: Any) -> OnlineIsolationForest:
    return OnlineIsolationForest(shape, **{"trees": 8, "window": 64, "leaf": 4} | params)


def feed(model: OnlineIsolationForest, rows: Any, slot: int = 0, cut: float = ALWAYS) -> Array:
    """Rows of one slot, one after the other."""
    one, limit = np.array([slot]), np.array([cut], np.float32)
    rows = np.asarray(rows, np.float32)
    return np.array([model.score_learn(one, row[None], limit)[0] for row in rows], np.float32)


def normal(count: int, size: int = 2, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def auc(model: OnlineIsolationForest, size: int = 2) -> float:
    """How well what lies anywhere within six deviations is told from what is normal."""
    far = np.random.default_rng(7).uniform(-6, 6, (200, size))
    scores = [feed(model, normal(200, size, seed=6), cut=NEVER), feed(model, far, cut=NEVER)]
    return float(roc_auc_score(np.repeat([0, 1], 200), np.concatenate(scores)))


def test_it_is_an_online_detector_in_the_table() -> None:
    model = build("online_iforest", (3, 16), window=100)
    assert isinstance(model, Online)
    assert learns_online("online_iforest")
    assert view_of("online_iforest", {}) == "statistics"


def test_anomalies_score_higher_than_normal_points() -> None:
    model = forest(trees=32, window=256, leaf=16)
    feed(model, normal(300))
    assert auc(model) > 0.9


def test_there_is_no_score_until_the_trees_can_have_two_levels() -> None:
    scores = feed(forest(leaf=5), normal(30))
    assert np.isnan(scores[:21]).all()
    assert (scores[21:] > 0).all()


def test_a_window_too_small_for_two_levels_is_scored_from_the_first_level_on() -> None:
    scores = feed(forest(leaf=10, window=20), normal(20))
    assert np.isnan(scores[:11]).all()
    assert (scores[11:] > 0).all()


def test_a_point_is_scored_before_it_is_learned() -> None:
    one, two = forest(), forest()
    for model in (one, two):
        feed(model, normal(100))
    assert feed(one, [[50, 50]], cut=ALWAYS) == feed(two, [[50, 50]], cut=NEVER)


def test_only_rows_up_to_the_cut_are_learned() -> None:
    model = forest()
    feed(model, normal(40))
    before = model.state()
    score = feed(model, [[3, 3]], cut=NEVER)[0]
    feed(model, [[3, 3]], cut=np.nextafter(score, np.float32(0)))
    feed(model, [[3, 3]], cut=np.nan)
    assert same(before, model.state())
    feed(model, [[3, 3]], cut=score)
    assert model.state()["learned"] == 41


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_scores_nan_and_is_not_learned(bad: float) -> None:
    model = forest()
    feed(model, normal(40))
    before = model.state()
    assert np.isnan(feed(model, [[1, bad]])).all()
    assert same(before, model.state())
    assert (model.contributions(np.array([0]), np.array([[1, bad]], np.float32)) == 0).all()


def test_what_left_the_window_is_forgotten() -> None:
    """After two windows at a new place, the old place is as strange as the new one was."""
    model = forest(trees=32, window=128, leaf=8)
    feed(model, normal(300))
    new = normal(300, seed=1) + 20
    strange = feed(model, new[:1], cut=NEVER)[0]
    feed(model, new)
    usual = feed(model, normal(20, seed=2) + 20, cut=NEVER).mean()
    assert strange > usual + 0.1
    assert feed(model, [[0, 0]], cut=NEVER)[0] > usual + 0.1


def test_a_constant_sensor_has_one_finite_score() -> None:
    scores = feed(forest(), np.full((200, 2), 7.5))
    assert len(np.unique(scores[70:])) == 1
    assert 0 < scores[-1] < 1


@pytest.mark.parametrize("before", [0.0, 100.0, 1.0])
def test_the_forest_follows_the_data_to_a_new_place(before: float) -> None:
    """From a standstill, from far away, or from a place a hundred times as wide."""
    model = forest(trees=32, window=128, leaf=8)
    feed(model, np.full((200, 2), before) if before != 1 else normal(200) * 100)
    feed(model, normal(300, seed=1))
    assert auc(model) > 0.9


def test_numbers_that_never_vary_do_not_blunt_the_forest() -> None:
    model = forest((20,), trees=32, window=128, leaf=8)
    rows = np.ones((400, 20), np.float32)
    rows[:, 4:6] = normal(400)
    usual = feed(model, rows)[200:]
    rows[:100, 4:6] = np.random.default_rng(7).uniform(-6, 6, (100, 2))
    assert np.median(feed(model, rows[:100], cut=NEVER)) > np.quantile(usual, 0.8)


some_rows = arrays(
    np.float32,
    st.tuples(st.integers(1, 150), st.just(2)),
    elements=st.one_of(
        st.floats(width=32),
        st.sampled_from([0.0, 1.0, 1.0, -3e38, 3e38]),
        st.floats(-1, 1, width=32),
    ),
)


@settings(deadline=None, max_examples=60)
@given(some_rows, st.sampled_from(["adaptive", "fixed"]), st.integers(1, 5), st.integers(6, 40))
def test_any_rows_give_scores_in_range_and_trees_that_add_up(
    rows: Array, growth: str, leaf: int, window: int
) -> None:
    model = forest(trees=4, window=window, leaf=leaf, growth=growth)
    scores = feed(model, rows)
    finite = np.isfinite(rows).all(axis=1)
    ripe = np.cumsum(finite) - finite > (4 * leaf if window >= 4 * leaf else leaf)
    assert (np.isnan(scores) == ~(finite & ripe)).all()
    assert not ((scores < 0) | (scores > 1)).any()
    state = model.state()
    assert state["learned"] == finite.sum()
    model.restore(state)
    assert same(state, model.state())


rounds = st.lists(st.lists(st.integers(0, 5), unique=True, max_size=6), min_size=10, max_size=60)


@settings(deadline=None, max_examples=25)
@given(rounds, st.permutations(range(6)), st.integers(0, 99))
def test_neither_grouping_nor_slot_numbers_nor_a_restart_matter(
    turns: list[list[int]], numbers: list[int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    together, apart = forest(window=16), forest(window=16)
    for turn in turns:
        if not turn:
            state, apart = apart.state(), forest(window=16)
            apart.restore(state)
        slots = np.array(turn, np.int64)
        rows = random.normal(size=(len(turn), 2)).astype(np.float32)
        cuts = random.choice([ALWAYS, ALWAYS, 0.5, NEVER], len(turn)).astype(np.float32)
        scores = together.score_learn(slots, rows, cuts)
        for i, slot in enumerate(turn):
            other = np.array([numbers[slot] * 2])
            alone = apart.score_learn(other, rows[i : i + 1], cuts[i : i + 1])
            np.testing.assert_array_equal(alone[0], scores[i])


def test_the_seed_makes_the_scores() -> None:
    rows = normal(200)
    one, again, other = (feed(forest(seed=seed), rows) for seed in (1, 1, 2))
    assert np.array_equal(one, again, equal_nan=True)
    assert not np.array_equal(one, other, equal_nan=True)


def test_the_channel_that_deviates_has_the_largest_share() -> None:
    model = forest((4, 3), trees=200, window=256, leaf=16)
    rows = normal(300, 12).reshape(-1, 4, 3)
    feed(model, rows)
    x = rows[:4].copy()
    x[np.arange(4), np.arange(4)] += 8
    shares = model.contributions(np.zeros(4, np.int64), x)
    np.testing.assert_array_equal(shares.argmax(axis=1), np.arange(4))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert (model.contributions(np.array([7]), x[:1]) == 0).all()


def test_memory_stays_small_and_doubles() -> None:
    """16 numbers, window 512: far below 110 KiB for each sensor."""
    model = OnlineIsolationForest((16,))
    row = np.zeros((9, 16), np.float32)
    model.score_learn(np.arange(9), row, np.zeros(9, np.float32))
    state = model.state()
    parameters = state.pop("parameters")
    assert all(len(array) == 9 for array in state.values())
    assert sum(array.nbytes for array in state.values()) / 9 < 36 * 1024
    assert parameters.size < 10


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"trees": 0}, "trees is 0"),
        ({"trees": 2.5}, "trees is 2.5"),
        ({"leaf": 0}, "leaf is 0"),
        ({"window": 4, "leaf": 4}, "window is 4; valid: 5 to"),
        ({"seed": -1}, "seed is -1"),
        ({"growth": "wild"}, "growth is 'wild'; valid: adaptive, fixed"),
        ({"shape": (0,)}, "size of the shape is 0"),
        ({"shape": (400, 400)}, "size of the shape is 160000"),
    ],
)
def test_parameters_that_make_no_forest_are_refused(params: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        forest(**params)


def test_rows_that_do_not_fit_are_refused() -> None:
    model = forest()
    one = np.zeros(1, np.float32)
    with pytest.raises(ModelError, match=r"for N examples they are \(N,\) and \(N, 2\)"):
        model.score_learn(np.array([0]), np.zeros((1, 3), np.float32), one)
    with pytest.raises(ModelError, match="slot -1 is negative"):
        model.score_learn(np.array([-1]), np.zeros((1, 2), np.float32), one)
    with pytest.raises(ModelError, match="cut has shape"):
        model.score_learn(np.array([0]), np.zeros((1, 2), np.float32), np.zeros(2, np.float32))


def same(one: State, two: State) -> bool:
    return all(np.array_equal(one[name], two[name]) for name in one | two)


def test_the_state_does_not_change_when_it_is_restored_nor_with_the_forest() -> None:
    model = forest()
    model.score_learn(np.array([3]), normal(1), np.array([ALWAYS], np.float32))
    feed(model, normal(150), slot=1)
    state = model.state()
    again = forest()
    again.restore(state)
    assert same(state, again.state())
    feed(again, normal(9), slot=1)
    assert same(state, model.state())
    assert same(forest().state(), forest().state())


def put(name: str, index: Any, value: Any) -> Any:
    def apply(state: State) -> None:
        state[name][index] = value

    return apply


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (put("threshold", (0, 0, 0), np.nan), "threshold"),
        (put("threshold", (0, 0, 0), np.inf), "threshold"),
        (put("feature", ..., 2), "feature"),
        (put("ring", (0, 0, 0), np.inf), "ring"),
        (put("learned", 0, -1), "learned"),
        (put("parameters", 1, 99), "trees, window, leaf"),
        (lambda state: state.pop("ring"), "arrays"),
        (lambda state: state.update(more=np.zeros(1)), "arrays"),
        (lambda state: state.update(ring=state["ring"][:, :-1]), "ring"),
        (lambda state: state.update(feature=state["feature"].astype(np.int16)), "feature"),
        (lambda state: state.update(learned=np.array(3)), "threshold"),
        (lambda state: state.update(draws=state["draws"][:0]), "draws"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(harm: Any, told: str) -> None:
    model = forest()
    feed(model, normal(150))
    before = model.state()
    state = model.state()
    harm(state)
    with pytest.raises(StateError, match=told):
        model.restore(state)
    assert same(before, model.state())


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_state_that_passes_the_check_cannot_harm(data: st.DataObject) -> None:
    """Noise in any array is refused, or scores stay in range and the trees stay trees."""
    model = forest(trees=2, window=20, leaf=2)
    feed(model, normal(60))
    state = model.state()
    name = data.draw(st.sampled_from(sorted(state)))
    noise = np.random.default_rng(data.draw(st.integers(0, 999)))
    flat = state[name].view(np.uint8).reshape(-1)
    for at in noise.integers(0, flat.size, data.draw(st.integers(1, 3))):
        flat[at] = noise.integers(256)
    try:
        model.restore(state)
    except StateError:
        return
    scores = feed(model, normal(80, seed=1))
    assert ((scores >= 0) & (scores <= 1)).all()
    model.restore(model.state())


def test_a_forgotten_slot_is_as_good_as_new_and_draws_the_same_numbers() -> None:
    used, fresh = forest(), forest()
    feed(used, normal(150, seed=3))
    used.forget(np.array([0, 5]))
    assert same_state(used.state(), fresh.state())
    again = normal(150, seed=4)
    np.testing.assert_array_equal(feed(used, again), feed(fresh, again))
    assert same_state(used.state(), fresh.state())


def test_forgetting_gives_up_only_what_lies_at_the_end() -> None:
    model = forest()
    for slot in range(4):
        feed(model, normal(60, seed=slot), slot)
    kept = model.state()["ring"][[0, 2]]
    model.forget(np.array([1, 3]))
    state = model.state()
    assert state["learned"].tolist() == [60, 0, 60]
    np.testing.assert_array_equal(state["ring"][[0, 2]], kept)
