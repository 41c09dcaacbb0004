"""Every detector of the table finds what is wrong with windows, frames or sound, and random scores
do not.

Anomalies are not seeded by the detectors' own idea of one: a machine's wave with an impact too many
or a jump of phase, a scratch on a plate, a squeal in a motor's hum. The bounds are far from chance,
and what the detectors reach is above them; how good they are is measured elsewhere, by `monitor
reproduce` and in the tests of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from monitor.detect import DETECTORS, build, learns_online, view_of
from monitor.features import seen, seen_shape
from monitor.types import Array
from tests.broken_signals import auroc, machine, with_extra_impact, with_phase_break
from tests.plates import plates, scratched

TRAINED, JUDGED, LABELLED = 160, 60, 16
SLOT = np.zeros(1, np.int64)


class Scene(NamedTuple):
    """Normal examples, `(count, seed) -> (N, *shape)`, and what goes wrong with such."""

    normal: Callable[[int, int], Array]
    spoiled: Callable[[Array, int], Array]


def _broken(x: Array, _: int) -> Array:
    half = len(x) // 2
    return np.concatenate([with_extra_impact(x[:half]), with_phase_break(x[half:])])


def _scratched(x: Array, seed: int) -> Array:
    return scratched(x, seed)[0]


def hum(count: int, seed: int) -> Array:
    """Scaled spectrograms `(count, 16, 24)` of a motor: a tone and its harmonic over noise."""
    random = np.random.default_rng(seed)
    x = random.normal(0, 0.5, (count, 16, 24))
    x[:, (3, 6)] += 3 + random.normal(0, 0.5, (count, 1, 1))
    return x.astype(np.float32)


def squealing(x: Array, seed: int) -> Array:
    """A third of the time a tone that is not the motor's."""
    spoiled, random = x.copy(), np.random.default_rng(seed)
    for n, (band, begin) in enumerate(random.integers((8, 0), (15, 16), (len(x), 2)).tolist()):
        spoiled[n, band : band + 2, begin : begin + 8] += 2.5
    return spoiled


SCENES = {
    "windows": Scene(machine, _broken),
    "frames": Scene(plates, _scratched),
    "sound": Scene(hum, squealing),
}
QUICK: dict[str, dict[str, Any]] = {
    "adacos": {"epochs": 2},
    "ae_mahalanobis": {"epochs": 2},
    "contrastive": {"epochs": 2, "memory": 32},
    "conv_ae": {"epochs": 4},
    "deep_sad": {"epochs": 3},
    "deep_svdd": {"epochs": 3},
    "dense_ae": {"epochs": 3},
    "deviation": {"epochs": 4},
    "doc": {"epochs": 2},
    "fastflow": {"epochs": 2, "steps": 2},
    "flow": {"epochs": 4},
    "gan": {"epochs": 4},
    "l2_softmax": {"epochs": 2},
    "masked_ae": {"epochs": 4},
    "vae": {"epochs": 4},
}

# The least AUROC of every detector in each scene.
ALL = {"windows": 0.85, "frames": 0.85, "sound": 0.85}
PICTURES, ROWS = {"frames": 0.85}, {"windows": 0.85, "sound": 0.85}
BOUNDS: dict[str, dict[str, float]] = {
    "adacos": ALL,
    "ae_mahalanobis": ROWS,
    "contrastive": {"windows": 0.85},  # weak for short and small things, see docs/detectors.md
    "conv_ae": ALL,
    "deep_gaussian": PICTURES,
    "deep_sad": ALL,
    "deep_svdd": ALL,
    "dense_ae": ALL,
    "deviation": {"windows": 0.85, "frames": 0.7, "sound": 0.85},
    "doc": {"windows": 0.85},
    "ensemble": ALL,
    "fastflow": PICTURES,
    "flow": ALL,
    "gan": ROWS,  # of frames in tests/test_gan.py, which takes longer
    "gmm": ALL,
    "iforest": ALL,
    "kde": ALL,
    "knn": ALL,
    "l2_softmax": ALL,
    "lof": ALL,
    "mahalanobis": ALL,
    "masked_ae": ROWS,  # of frames in tests/test_heat_maps.py, which takes longer
    "ocsvm": ALL,
    "padim": PICTURES,
    "patch_memory": ALL,
    "patchcore": PICTURES,
    "pca": ALL,
    "random_kernels": ALL,
    "vae": ALL,
}
ONLINE = {"neighbours": 0.85, "novelty": 0.85, "online_iforest": 0.8, "residual": 0.85}
CASES = [(name, of, least) for name, own in BOUNDS.items() for of, least in own.items()]


def test_every_detector_of_the_table_is_here() -> None:
    assert set(BOUNDS) | set(ONLINE) == set(DETECTORS)
    assert {name for name in DETECTORS if learns_online(name)} == set(ONLINE)


@pytest.mark.parametrize(("name", "of", "least"), CASES)
def test_a_trained_detector_finds_what_is_wrong(name: str, of: str, least: float) -> None:
    scene = SCENES[of]
    x = scene.normal(TRAINED, 0)
    view = view_of(name, {}, frames=x.ndim == 4)
    detector = build(name, seen_shape(view, x.shape[1:]), **QUICK.get(name, {}))
    detector.fit(*_lesson(name, detector, scene, view))
    normal = detector.score(seen(view, scene.normal(JUDGED, 1)))
    spoiled = detector.score(seen(view, scene.spoiled(scene.normal(JUDGED, 2), 5)))
    assert auroc(normal, spoiled) >= least


def _lesson(name: str, detector: Any, scene: Scene, view: str) -> tuple[Array, Array | None]:
    """Normal examples; and labelled ones where a detector cannot do without."""
    x = scene.normal(TRAINED, 0)
    if name == "doc":  # the same backwards, and upside down: two kinds that are known
        known = np.concatenate([x, x[:, :, ::-1], -x])
        return seen(view, known), np.repeat(np.array([0, 2, 3], np.float32), TRAINED)
    if not getattr(detector, "needs_labels", False):
        return seen(view, x), None
    bad = scene.spoiled(scene.normal(LABELLED, 3), 4)
    labels = np.repeat(np.array([-1, 1], np.float32), [TRAINED, LABELLED])
    return seen(view, np.concatenate([x, bad])), labels


@pytest.mark.parametrize(("name", "least"), list(ONLINE.items()))
def test_what_learns_in_the_stream_finds_what_is_wrong(name: str, least: float) -> None:
    rounds, samples, first = 500, 16, 300
    random = np.random.default_rng(0)
    wave = np.sin(np.arange(rounds * samples) * 2 * np.pi / 16) + random.normal(
        0, 0.2, rounds * samples
    )
    view = view_of(name, {})
    detector = build(name, seen_shape(view, (1, samples)))
    found: dict[bool, list[float]] = {False: [], True: []}
    for number, window in enumerate(wave.reshape(rounds, 1, 1, samples).astype(np.float32)):
        for wrong in (False, True) if number >= first else ():
            shown = seen(view, window + np.float32(2.5 * wrong))
            score = detector.score_learn(SLOT, shown, np.full(1, -np.inf, np.float32))
            found[wrong].append(float(score[0]))
        detector.score_learn(SLOT, seen(view, window), np.full(1, np.inf, np.float32))
    assert auroc(np.array(found[False]), np.array(found[True])) >= least


@pytest.mark.parametrize("seed", range(20))
def test_random_scores_reach_no_bound(seed: int) -> None:
    random = np.random.default_rng(seed)
    chance = auroc(random.random(JUDGED, np.float32), random.random(JUDGED, np.float32))
    assert chance < min(*ONLINE.values(), *(least for _, _, least in CASES))
