"""What every detector promises, trained or learning in the stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.errors import ModelError, StateError
from monitor.protocols import (
    Detector,
    Embedder,
    Explainer,
    Generator,
    Localiser,
    Online,
    Rebuilding,
    Stateful,
    Trainable,
)
from monitor.testing.states import copied_state, same_state
from monitor.types import Array, Slots, State

ROUNDS = 200
_TOLERANCE = 1e-4


# --- examples -----------------------------------------------------------------------------


def normal_examples(shape: tuple[int, ...], count: int, seed: int = 0) -> Array:
    """Ordinary examples `(count, *shape)`: a wave of varying size, and noise."""
    random = np.random.default_rng(seed)
    wave = np.sin(np.arange(np.prod(shape)) * 0.7).reshape(shape)
    size = random.uniform(0.5, 1.5, (count,) + (1,) * len(shape))
    found: Array = (size * wave + random.normal(0, 0.3, (count, *shape))).astype(np.float32)
    return found


def anomalous_examples(shape: tuple[int, ...], count: int, seed: int = 1) -> Array:
    """Examples that any detector must find unusual after `normal_examples`: loud and shifted."""
    random = np.random.default_rng(seed)
    return random.normal(3, 4, (count, *shape)).astype(np.float32)


# --- detectors that are trained before they serve -------------------------------------------


def check_detector(make: Callable[[], Detector]) -> None:
    """Everything a `Detector` promises, and a `Trainable`, an `Explainer`, a `Localiser`, a
    `Rebuilding`, an `Embedder` and a `Generator` if it is one.

    `make` is called several times and must give a new one each time, with the same seed. A class
    with `needs_labels = True` is given some labelled anomalies to train with, one with
    `needs_classes = True` examples of two further classes.
    """
    detector = _trained(make)
    x = normal_examples(detector.shape, 67, seed=2)
    _check_scores(detector.score(x), len(x))
    _check_scores(detector.score(x[:0]), 0)
    _check_purity(detector, x)
    _check_company(detector, x)
    _check_order(detector.score(x), detector.score(anomalous_examples(detector.shape, 40)))
    _check_same_again(detector, _trained(make), x)
    _check_round_trip(detector, make(), x)
    _check_refuses_garbage(detector.state(), make)
    if isinstance(detector, Explainer):
        _check_shares(detector, x)
    if isinstance(detector, Localiser):
        _check_maps(detector, x)
    if isinstance(detector, Rebuilding):
        _check_each(detector.rebuild, x, detector.shape)
    if isinstance(detector, Embedder):
        _check_each(detector.embed, x, detector.embed(x).shape[1:2])
    if isinstance(detector, Generator):
        _check_made(detector)


def _trained(make: Callable[[], Detector]) -> Detector:
    detector = make()
    assert isinstance(detector, Detector), f"{type(detector).__name__} lacks a method of Detector"
    if isinstance(detector, Trainable):
        detector.fit(*_lesson(detector))
    return detector


def _lesson(detector: Trainable) -> tuple[Array, Array | None]:
    """Ordinary examples; and behind them labelled anomalies, or examples of further classes, where
    it cannot do without.
    """
    x = normal_examples(detector.shape, 200)
    if getattr(detector, "needs_classes", False):
        classes = np.repeat(np.array([-1, 2, 3], np.float32), [200, 60, 60])
        others = -x[:60], np.roll(x[:60], 3, axis=-1)
        return np.concatenate([x, *others]), classes
    if not getattr(detector, "needs_labels", False):
        return x, None
    labels = np.repeat(np.array([-1, 1], np.float32), [len(x), 20])
    return np.concatenate([x, anomalous_examples(detector.shape, 20, seed=4)]), labels


def _check_scores(scores: Array, count: int) -> None:
    assert scores.shape == (count,), f"{count} examples have scores {scores.shape}, not ({count},)"
    assert scores.dtype == np.float32, f"scores are {scores.dtype}, not float32"
    assert np.isfinite(scores).all(), "a score of a finite example is not finite"
    _check_sign(scores)


def _check_sign(scores: Array) -> None:
    assert not (scores < 0).any(), f"a score is below 0: {np.nanmin(scores)}"


def _check_purity(detector: Detector, x: Array) -> None:
    before, given = detector.state(), x.copy()
    first = detector.score(x)
    assert np.array_equal(first, detector.score(x)), "the same call gives other scores"
    assert np.array_equal(x, given), "score changed its input"
    assert same_state(before, detector.state()), "score changed the state"


def _check_company(detector: Detector, x: Array) -> None:
    """The place in a call changes nothing; another size of the call nothing but rounding."""
    backwards = detector.score(np.ascontiguousarray(x[::-1]))[::-1]
    assert np.array_equal(detector.score(x), backwards), (
        "the score of an example depends on its place among the others, at least in the last bit"
    )
    alone = np.concatenate([detector.score(x[i : i + 1]) for i in range(len(x))])
    assert np.allclose(detector.score(x), alone, _TOLERANCE, 1e-6), (
        "the score of an example depends on the examples beside it"
    )


def _check_order(normal: Array, anomalous: Array) -> None:
    assert np.median(anomalous) > np.quantile(normal, 0.95), (
        f"loud anomalies score {np.median(anomalous):.4g}, ordinary examples up to "
        f"{np.quantile(normal, 0.95):.4g}: higher must mean more anomalous"
    )


def _check_same_again(detector: Detector, again: Detector, x: Array) -> None:
    assert np.array_equal(detector.score(x), again.score(x)), (
        "the same seed and examples give other scores"
    )
    assert same_state(detector.state(), again.state()), "the same seed gives another state"


def _check_round_trip(detector: Detector, fresh: Detector, x: Array) -> None:
    fresh.restore(copied_state(detector))
    assert same_state(detector.state(), fresh.state()), "restore does not give the same state"
    assert np.array_equal(detector.score(x), fresh.score(x)), "other scores after restore"


def _check_shares(detector: Explainer, x: Array) -> None:
    shares, scores = detector.contributions(x), detector.score(x)
    valid = (len(x), detector.shape[0])
    assert shares.shape == valid, f"contributions are {shares.shape}, not {valid}"
    assert (shares >= 0).all(), "a contribution is below 0"
    total = np.where(scores > 0, 1.0, 0.0)
    assert np.allclose(shares.sum(axis=1), total, atol=1e-3), "contributions do not sum to 1"


def _check_maps(detector: Localiser, x: Array) -> None:
    maps, places = detector.heat_maps(x), detector.shape[-2:]
    assert maps.shape == (len(x), *places), f"heat maps are {maps.shape}, not N of {places}"
    assert (maps >= 0).all(), "a place of a heat map is below 0"
    _check_each(detector.heat_maps, x, places)


def _check_each(function: Callable[[Array], Array], x: Array, shape: tuple[int, ...]) -> None:
    """One finite array of a shape for each example, whatever else is asked for."""
    name, found = function.__name__, function(x)
    assert found.shape == (len(x), *shape), f"{name} gives {found.shape}, not N of {shape}"
    assert found.dtype == np.float32, f"{name} gives {found.dtype}, not float32"
    assert np.isfinite(found).all(), f"{name} gives a value that is not finite"
    near = float(np.abs(found).max()) * 1e-4
    assert np.allclose(function(x[:3]), found[:3], rtol=1e-3, atol=near), f"{name} minds company"


def _check_made(detector: Generator) -> None:
    made = detector.generate(5, 0)
    assert made.shape == (5, *detector.shape), f"generated are {made.shape}"
    assert np.isfinite(made).all(), "a generated value is not finite"
    assert np.array_equal(made, detector.generate(5, 0)), "the same seed makes other examples"
    assert not np.array_equal(made, detector.generate(5, 1)), "another seed makes the same ones"


# --- detectors that learn in the stream ----------------------------------------------------


def check_online(make: Callable[[], Online]) -> None:
    """Everything an `Online` promises; `make` gives a new one each time, with the same seed."""
    detector = make()
    assert isinstance(detector, Online), f"{type(detector).__name__} lacks a method of Online"
    x = _streams(detector.shape)
    _check_known(_fed(detector, x, [0, 1, 2]))
    _check_scores(_learned(detector, [], x[0, :0]), 0)
    assert same_state(_fed_state(make, x), _fed_state(make, x)), "the same seed, another state"
    _check_learns(make)
    _check_held(detector, x[-1])
    _check_slots(make, x)
    _check_continues(make, x)
    _check_growth(make, x)
    _check_forgets(make, x)
    _check_refuses_garbage(detector.state(), make)


def _streams(shape: tuple[int, ...]) -> Array:
    """Rounds of three sensors: `(rounds, 3, *shape)`."""
    return normal_examples(shape, 3 * ROUNDS, seed=3).reshape(ROUNDS, 3, *shape)


def _check_known(scores: Array) -> None:
    """NaN while a sensor has shown too little, and never again from the first score on."""
    assert scores.dtype == np.float32, f"scores are {scores.dtype}, not float32"
    assert np.isfinite(scores[-1]).all(), f"no score after {len(scores)} examples"
    known = np.isfinite(scores)
    assert (known[1:] >= known[:-1]).all(), "a score of a finite example is not finite"
    _check_sign(scores)


def _learned(detector: Online, slots: list[int], x: Array, cut: float = np.inf) -> Array:
    return detector.score_learn(_slots(slots), x, np.full(len(x), cut, np.float32))


def _slots(slots: list[int]) -> Slots:
    return np.array(slots, np.int64)


def _fed(detector: Online, x: Array, slots: list[int]) -> Array:
    """The scores of round after round, all learned: `(rounds, sensors)`."""
    return np.stack([_learned(detector, slots, rows) for rows in x])


def _fed_state(make: Callable[[], Online], x: Array) -> State:
    detector = make()
    _fed(detector, x, [0, 1, 2])
    return detector.state()


def _check_learns(make: Callable[[], Online]) -> None:
    detector = make()
    shape = detector.shape
    for row in normal_examples(shape, 400):
        _learned(detector, [0], row[None])
    unlike, alike = anomalous_examples(shape, 40), normal_examples(shape, 40, seed=2)
    anomalous = [_learned(detector, [0], row[None], -np.inf)[0] for row in unlike]
    normal = [_learned(detector, [0], row[None], -np.inf)[0] for row in alike]
    _check_order(np.array(normal), np.array(anomalous))


def _same(one: Array, other: Array) -> bool:
    return np.array_equal(one, other, equal_nan=True)


def _check_held(detector: Online, rows: Array) -> None:
    before = copied_state(detector)
    first = _learned(detector, [0, 1, 2], rows, -np.inf)
    assert same_state(before, detector.state()), "a cut of minus infinity changed the memory"
    again = _learned(detector, [0, 1, 2], rows, -np.inf)
    assert np.array_equal(first, again), "the same held call gives other scores"


def _check_slots(make: Callable[[], Online], x: Array) -> None:
    """A sensor's scores depend on its own past: not on its slot, its neighbours or their order."""
    together = _fed(make(), x, [0, 1, 2])
    elsewhere = _fed(make(), x[:, ::-1], [9, 4, 7])[:, ::-1]
    assert _same(together, elsewhere), "scores depend on the slot or the order of rows"
    alone = _fed(make(), x[:, 1:2], [0])
    assert _same(together[:, 1:2], alone), "scores depend on the other sensors"


def _check_continues(make: Callable[[], Online], x: Array) -> None:
    whole, half = make(), make()
    expected = _fed(whole, x, [0, 1, 2])
    _fed(half, x[:60], [0, 1, 2])
    resumed = make()
    resumed.restore(copied_state(half))
    rest = _fed(resumed, x[60:], [0, 1, 2])
    assert _same(rest, expected[60:]), "other scores after state and restore"
    assert same_state(resumed.state(), whole.state()), "another state after state and restore"


def _check_growth(make: Callable[[], Online], x: Array) -> None:
    detector = make()
    before = _fed(detector, x[:30], [0, 1, 2])
    assert _learned(detector, [500], x[0, :1]).shape == (1,), "one example, one score"
    after = _fed(detector, x[30:], [0, 1, 2])
    expected = _fed(make(), x, [0, 1, 2])
    assert _same(np.concatenate([before, after]), expected), (
        "growing for a new slot changed the memory of the others"
    )


def _check_forgets(make: Callable[[], Online], x: Array) -> None:
    """Who has a forgotten slot is a new sensor; the others notice nothing."""
    detector, restored = make(), make()
    _fed(detector, x, [0, 1, 2])
    detector.forget(_slots([]))
    detector.forget(_slots([1, 900]))
    restored.restore(copied_state(detector))
    newcomer = _fed(make(), x[:, 1:2], [0])
    expected = _fed(make(), np.concatenate([x, x]), [0, 1, 2])[len(x) :]
    after = _fed(detector, x, [0, 1, 2])
    assert _same(after[:, 1:2], newcomer), "a forgotten slot still remembers its last sensor"
    assert _same(after[:, ::2], expected[:, ::2]), "forgetting a slot changed other sensors"
    assert _same(after, _fed(restored, x, [0, 1, 2])), "what is forgotten comes back with restore"
    detector.forget(_slots([2, 0, 1]))
    assert _same(_fed(detector, x, [0, 1, 2]), _fed(make(), x, [0, 1, 2])), (
        "a detector that has forgotten every slot is not as it was at first"
    )


# --- what does not fit ------------------------------------------------------------------------


def _check_refuses_garbage(state: State, make: Callable[[], Stateful]) -> None:
    """What does not fit is refused with StateError or ModelError, whatever it is."""
    name = next(iter(state), "")
    garbage: dict[str, State] = {"an unknown array": {**state, "no such thing": np.zeros(1)}}
    if name:
        garbage["a missing array"] = {key: state[key] for key in state if key != name}
        garbage["an array of another shape"] = {**state, name: np.zeros((1, 2, 3, 4, 5))}
        garbage["an array of text"] = {**state, name: np.array(["text"])}
    for what, arrays in garbage.items():
        try:
            make().restore(arrays)
        except (StateError, ModelError):
            continue
        raise AssertionError(f"restore accepted {what}")
