"""What operators say of recordings reaches the detectors that can learn from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.connect.store import ModelStore
from monitor.errors import ConfigError
from monitor.offline.dataset import Recorded, SensorWindows, windows_of
from monitor.offline.labels import Event
from monitor.offline.taught import read_taught, taught
from monitor.offline.train import Trained, run, train
from monitor.recipe import Recipe
from monitor.recipe import train as train_model
from monitor.settings import Config
from monitor.types import Array, State
from tests.recorded import RATE, START, config, recording, write_csv

PUPIL = "tests.test_train_labels:Pupil"
FAULT = Event("pump-1", START + 20, START + 24)
FALSE_ALARM = Event("pump-1", START + 30, START + 33, fault=False)
RECORDED: Recorded = {
    "machines": [recording("pump-1", 60.0, labelled=False), recording("fan-1", 60.0)]
}


class Pupil:
    """Keeps what it was taught: how many examples had each label."""

    uses_labels = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.counts = np.zeros(4, np.float32)

    def fit(self, x: Array, y: Array | None = None) -> None:
        given = np.full(len(x), -1.0) if y is None else y
        self.counts = np.array([(given == label).sum() for label in (-1, 0, 1, 2)], np.float32)

    def score(self, x: Array) -> Array:
        loudest: Array = np.abs(x).max(axis=(1, 2))
        return loudest

    def state(self) -> State:
        return {"counts": self.counts}

    def restore(self, state: State) -> None:
        self.counts = state["counts"]


def trained(folder: Path, name: str, events: list[Event] | None) -> tuple[Trained, State]:
    chosen = with_store(folder, name)
    (found,) = train(chosen, RECORDED, events)
    (use,) = chosen.streams["machines"].models[0].use
    return found, dict(ModelStore(chosen.models).load(use.reference).state())


def with_store(folder: Path, use: str) -> Config:
    return config([use]).model_copy(update={"models": folder / "models"})


def told(path: Path, *rows: str, head: str = "sensor,start,end,label") -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_detector_that_learns_from_labels_is_given_them(tmp_path: Path) -> None:
    found, state = trained(tmp_path, f"{PUPIL}:pumps@production", [FAULT, FALSE_ALARM])
    # 9 windows share a sample with the 4 s of fault; 5 lie in the 3 s of false alarm, and the
    # fan's own labels say that it was well: 119 windows, the last fifth and a gap of 3 held out.
    assert (found.faults, found.anomalous, found.windows) == (9, 0, 238)
    assert state["detector/counts"].tolist() == [92 - 9 - 5, 5 + 92, 9, 0]


def test_without_operators_labels_faults_are_left_out(tmp_path: Path) -> None:
    found, state = trained(tmp_path, f"{PUPIL}:pumps@production", None)
    assert (found.faults, found.anomalous, found.windows) == (0, 0, 238)
    assert state["detector/counts"].tolist() == [2 * 92, 0, 0, 0]


def test_a_detector_that_does_not_learn_from_labels_never_sees_the_faults(tmp_path: Path) -> None:
    found, _ = trained(tmp_path, "mahalanobis:pumps@production", [FAULT, FALSE_ALARM])
    assert (found.faults, found.anomalous, found.windows) == (0, 9, 238 - 9)


def test_faults_at_the_end_are_learned_and_calibrate_nothing(tmp_path: Path) -> None:
    late = Event("pump-1", START + 50, START + 54)
    _, state = trained(tmp_path, f"{PUPIL}:pumps@production", [late])
    assert state["detector/counts"].tolist() == [92, 92, 9, 0]


def test_known_faults_and_other_classes_stay_out_of_constants_and_calibration() -> None:
    random = np.random.default_rng(0)
    normal = random.normal(0, 1, (100, 1, 8)).astype(np.float32)
    other = random.normal(50, 9, (20, 1, 8)).astype(np.float32)
    recipe = Recipe(PUPIL, "m", (1, 8), ("x",), 1.0)
    alone = train_model(recipe, {"a": normal}, {"a": np.zeros(100, np.float32)})
    for label in (1, 2):
        y = np.repeat(np.array([label, 0], np.float32), [20, 100])
        beside = train_model(recipe, {"a": np.concatenate([other, normal])}, {"a": y})
        assert np.allclose(beside.group, alone.group, atol=0.2)
        assert max(beside.manifest.calibration) < 10
        assert beside.state()["detector/counts"][1 + label] == 20


def test_labels_are_of_their_stream_where_they_name_one() -> None:
    own = machines()
    for stream, faults in (("machines", 9), ("", 9), ("others", 0)):
        found = taught(own, [FAULT._replace(stream=stream)], "machines", config_window())
        assert int((found["pump-1"].labels == 1).sum()) == faults


@settings(deadline=None, max_examples=30)
@given(
    start=st.integers(0, 400),
    length=st.integers(0, 200),
    fault=st.booleans(),
)
def test_windows_are_labelled_by_their_samples(start: int, length: int, fault: bool) -> None:
    begin, end = START + start / RATE, START + (start + length) / RATE
    event = Event("pump-1", begin, end, fault=fault)
    found = taught(machines(), [event], "machines", config_window())["pump-1"]
    for place, label in enumerate(found.labels.tolist()):
        samples = range(8 * place, 8 * place + 16)
        inside = [start <= sample < start + max(length, fault) for sample in samples]
        if fault:
            assert label == (1 if any(inside) else -1)
        else:
            assert label == (0 if all(inside) else -1)


def test_a_fault_outranks_a_normal_stretch_and_an_operator_the_recording() -> None:
    (recorded,) = [recording("pump-1", 60.0, [(20.0, 24.0)])]
    own = windows_of([recorded], config().streams["machines"])
    wide = Event("pump-1", START, START + 60, fault=False)
    (cleared,) = taught(own, [wide], "machines", config_window()).values()
    assert set(cleared.labels.tolist()) == {0}
    (both,) = taught(own, [FAULT, wide], "machines", config_window()).values()
    assert int((both.labels == 1).sum()) == 9


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "sensor,start,end,label\npump-1,{0},{1},normal\n"),
        ("a.json", '[{{"sensor": "pump-1", "start": {0}, "end": {1}, "label": "normal"}}]'),
        ("a.jsonl", '{{"sensor": "pump-1", "start": {0}, "end": {1}, "label": "normal"}}\n'),
    ],
)
def test_labels_are_read_from_csv_json_and_json_lines(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text.format(START + 30, START + 33))
    assert read_taught(tmp_path / name, config(), RECORDED) == [FALSE_ALARM]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            f"pump-7,{START},{START + 1},fault,",
            "sensor is 'pump-7'; recorded are 'fan-1', 'pump-1'",
        ),
        (f"pump-1,{START},{START + 1},broken,", "label is 'broken'; valid are fault, normal"),
        (f"pump-1,{START},{START + 1},fault,mill", "stream is 'mill'; recorded are 'machines'"),
        (
            f"pump-1,{START + 90},{START + 91},fault,machines",
            "2026-01-01T00:01:30Z to 2026-01-01T00:01:31Z lies outside of the recordings of "
            "'pump-1', which last from 2026-01-01T00:00:00Z to 2026-01-01T00:01:00Z",
        ),
    ],
)
def test_labels_that_mean_nothing_are_told_with_their_row(
    tmp_path: Path, row: str, message: str
) -> None:
    good = f"pump-1,{START},{START + 1},,machines"
    path = told(tmp_path / "labels.csv", good, row, head="sensor,start,end,label,stream")
    with pytest.raises(ConfigError, match=re.escape(f"{path}: data row 2: {message}")):
        read_taught(path, config(), RECORDED)


def test_the_command_counts_the_faults_it_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(tmp_path, recording("pump-1", 60.0))
    labels = told(tmp_path / "labels.csv", f"pump-1,{START + 20},{START + 24},fault")
    figures = tmp_path / "trained.json"
    chosen = with_store(tmp_path, f"{PUPIL}:pumps@production")
    run(chosen, [path], labels=labels, json_file=figures)
    (model,) = json.loads(figures.read_text())["models"]
    assert (model["faults"], model["anomalous"]) == (9, 0)
    shown = " ".join(capsys.readouterr().out.split())
    assert "119 windows, 9 of them faults, of 1 sensors" in shown


def machines() -> dict[str, SensorWindows]:
    return windows_of(RECORDED["machines"], config().streams["machines"])


def config_window() -> Any:
    return config().streams["machines"].window
