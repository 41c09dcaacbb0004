"""Machines that are heard: the same in any pieces, with faults that detectors tell by ear."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from monitor.connect.recording.reading import read_recordings
from monitor.errors import ConfigError
from monitor.features.front import front
from monitor.model import Model
from monitor.recipe import Recipe, train
from monitor.types import Array
from monitor.windowing import MelConfig, SoundConfig
from simulators.fleet import Fleet, Plan
from simulators.record import record
from simulators.sounds import SOUND_FAULTS, SOUNDS
from tests.recorded import config

RATE = 8000
WINDOW = SoundConfig(
    length=1.0, hop=0.5, rate=RATE, input="sound", mel=MelConfig(bands=32, fft=512, hop=240)
)
TRAINED, TESTED = 30.0, 46.0
EVERY_FAULT = [(kind, fault) for kind, made in SOUNDS.items() for fault in made.kinds]
DETECTORS: Mapping[str, Mapping[str, Any]] = {
    "mahalanobis": {"view": "moments"},
    "ae_mahalanobis": {"epochs": 3, "widths": [32], "context": 3},
}
HEARD = [
    (kind, fault, detector)
    for kind, fault in EVERY_FAULT
    for detector in DETECTORS
    if (fault, detector) != ("missing_strokes", "ae_mahalanobis")  # it hears what is too much
]


def fleet_of(kind: str, fault: str | None = None) -> Fleet:
    plain = Fleet(5, 1, kind, RATE)
    if fault is None:
        return plain
    plan = Plan(shortest=12, longest=15, recovery=15, kinds=(fault,))
    return plain.with_faults(TRAINED, TRAINED + TESTED, plan)


@cache
def spectrograms(kind: str, fault: str | None = None) -> Array:
    """Those of windows of a second, each half a second: of good order, or with a fault."""
    fleet = fleet_of(kind, fault)
    span = (0.0, TRAINED) if fault is None else (TRAINED, TRAINED + TESTED)
    sound = fleet.chunk(fleet.sensors[0], *span).data[0]
    windows = np.lib.stride_tricks.sliding_window_view(sound, RATE)[:: RATE // 2]
    return front(WINDOW)(windows[:, None])


@cache
def model_of(kind: str, detector: str) -> Model:
    recipe = Recipe(
        detector=detector,
        name=kind,
        shape=WINDOW.model_shape,
        channels=WINDOW.model_channels,
        rate=RATE,
        params=DETECTORS[detector],
        front=WINDOW.front,
    )
    return train(recipe, {kind: spectrograms(kind)})


def constants(model: Model, x: Array) -> Array:
    return np.repeat(model.group[None], len(x), axis=0)


def judged(kind: str, fault: str, detector: str) -> tuple[Array, NDArray[np.bool_]]:
    """Scores of windows in a fault and outside of it, and which is which; edges are left out."""
    model, fleet = model_of(kind, detector), fleet_of(kind, fault)
    x = spectrograms(kind, fault)
    scores = model.score(x, constants(model, x))
    labels = fleet.labels(fleet.sensors[0], TRAINED, TRAINED + TESTED)
    share = np.lib.stride_tricks.sliding_window_view(labels, RATE)[:: RATE // 2].mean(axis=1)
    clear = (share == 0) | (share == 1)
    return scores[clear], share[clear] > 0


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(sorted(SOUNDS)),
    cuts=st.lists(st.floats(0.0, 0.5), max_size=4),
)
def test_any_pieces_make_the_same_whole(seed: int, kind: str, cuts: list[float]) -> None:
    fleet = Fleet(seed, 1, kind, RATE, start=990.0).with_faults(1000.0, 1070.0)
    (sensor,), fault = fleet.sensors, fleet.faults[0]
    begin, end = fault.start - 0.2, fault.start + 0.3
    edges = [begin, *sorted(begin + cut for cut in cuts), end]
    pieces = [fleet.chunk(sensor, a, b).data for a, b in itertools.pairwise(edges)]
    whole = fleet.chunk(sensor, begin, end)
    np.testing.assert_array_equal(np.hstack(pieces), whole.data)
    assert whole.data.shape[0] == 1
    assert np.abs(whole.data).max() <= 1.5


@pytest.mark.parametrize("kind", SOUNDS)
def test_the_stated_loudness_is_that_of_good_order(kind: str) -> None:
    fleet = Fleet(3, 8, kind, 16_000)
    loud = [fleet.chunk(sensor, 0.0, 4.0).data for sensor in fleet.sensors]
    (stated,) = fleet.machines[fleet.sensors[0]].scale
    assert np.mean([sound.std() for sound in loud]) == pytest.approx(stated, rel=0.25)
    assert max(float(np.abs(sound).max()) for sound in loud) < 1


def test_seeds_and_numbers_make_different_machines() -> None:
    every = [Fleet(seed, 2, "motor", RATE) for seed in (0, 1)]
    sounds = [fleet.chunk(s, 0.0, 0.1).data for fleet in every for s in fleet.sensors]
    for one, other in itertools.combinations(sounds, 2):
        assert not np.allclose(one, other, atol=0.01)


@pytest.mark.parametrize(("kind", "fault", "detector"), HEARD)
def test_every_fault_is_heard(kind: str, fault: str, detector: str) -> None:
    scores, faulty = judged(kind, fault, detector)
    assert roc_auc_score(faulty, scores) > 0.9


def test_random_scores_hear_nothing() -> None:
    random = np.random.default_rng(0)
    for kind, fault in EVERY_FAULT:
        scores, faulty = judged(kind, fault, "mahalanobis")
        assert roc_auc_score(faulty, random.normal(size=len(scores))) < 0.9


def test_a_squeal_is_told_by_the_bands_it_is_in() -> None:
    model = model_of("motor", "ae_mahalanobis")
    x = spectrograms("motor", "belt_squeal")
    loudest = x[np.argsort(-model.score(x, constants(model, x)))[:10]]
    shares = model.contributions(loudest, constants(model, loudest)).mean(axis=0)
    pitches = [float(name.partition("_")[2].removesuffix("Hz")) for name in WINDOW.model_channels]
    assert 1700 < pitches[int(shares.argmax())] < 2700


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_what_is_recorded_is_read_again_with_its_time(tmp_path: Path, suffix: str) -> None:
    start = 1_769_860_800.0
    fleet = Fleet(5, 2, "blower", RATE, start=start)
    record(fleet, start + 10, start + 12, tmp_path, suffix)
    window = {"length": "1s", "rate": RATE, "input": "sound", "mel": {"fft": 512}}
    found = read_recordings([tmp_path], config(window=window).streams["machines"])
    assert [recording.sensor for recording in found] == list(fleet.sensors)
    for recording in found:
        assert recording.time[0] == start + 10
        expected = fleet.chunk(recording.sensor, start + 10, start + 12).data
        np.testing.assert_allclose(recording.data, expected, atol=1e-4)


def test_only_what_is_heard_is_written_as_sound(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="valid are machines that are heard"):
        record(Fleet(0, 1), 0.0, 1.0, tmp_path, ".wav")
    with pytest.raises(ConfigError, match="valid are csv, parquet, wav, flac"):
        record(Fleet(0, 1), 0.0, 1.0, tmp_path, ".mp3")


def test_faults_are_named_and_belong_to_a_machine() -> None:
    assert {fault for _, fault in EVERY_FAULT} == set(SOUND_FAULTS)
    with pytest.raises(ConfigError, match="machines that are heard need 8000 Hz"):
        Fleet(0, 1, "valve", 4000.0)
    with pytest.raises(ConfigError, match="valid are rotor, pump, motor, blower, valve"):
        Fleet(0, 1, "drum", RATE)
    with pytest.raises(ConfigError, match="a valve can have cavitation, missing_strokes"):
        Fleet(0, 1, "valve", RATE).with_faults(0.0, 70.0, Plan(kinds=("belt_squeal",)))
