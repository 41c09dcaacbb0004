"""A detector of a user's own, written in one file beside the configuration, works like ours."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from monitor.connect.store import ModelStore
from monitor.notation import Reference
from monitor.testing import check_detector, check_online
from tests.recorded import CHANNELS, RATE, recording, write_csv
from tests.terminal import command, written

GUIDE = (Path(__file__).parents[1] / "docs" / "custom-detector.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", GUIDE, re.DOTALL))
CLASSES = {"trained": "loudness:Loudness", "static": "peak:Peak", "online": "levels:Levels"}
USES = {
    "trained": "loudness:Loudness:pumps",
    "static": "peak:Peak:pumps",
    "online": "levels:Levels",
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The files of the guide, and two recordings: one normal, one with a fault."""
    for name, code in BLOCKS.items():
        (tmp_path / f"{name}.py").write_text(code)
    (tmp_path / "normal").mkdir()
    write_csv(tmp_path / "normal", recording("pump-1", 120.0))
    write_csv(tmp_path, recording("pump-1", 120.0, [(80.0, 90.0)], start=1_767_230_000.0))
    yield tmp_path
    for name in BLOCKS:
        sys.modules.pop(name, None)


def configuration(folder: Path, *uses: str) -> Path:
    window = {"length": "1s", "hop": "0.5s", "rate": RATE, "channels": list(CHANNELS)}
    stream = {
        "topics": ["plant"],
        "window": window,
        "models": [{"use": list(uses)}],
        "threshold": {"quantile": 0.99, "window": 128, "warm_up": 40, "margin": 1.5},
        "alert": {"raise": "3 of 5", "clear": "3 below 0.9"},
    }
    settings: dict[str, Any] = {
        "source": {"recordings": {"paths": [str(folder / "pump-1.csv")]}},
        "models": str(folder / "models"),
        "streams": {"pumps": stream},
    }
    return written(folder / "plant.yaml", settings)


def module(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module(name)


def test_the_guide_has_a_file_for_each_kind() -> None:
    assert {path.partition(":")[0] for path in CLASSES.values()} == set(BLOCKS)


@pytest.mark.parametrize("kind", ["trained", "static"])
def test_a_detector_of_the_guide_keeps_the_contract(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, attribute = CLASSES[kind].partition(":")
    made = getattr(module(folder, name, monkeypatch), attribute)
    check_detector(lambda: made((3, 64)))


def test_the_detector_of_the_guide_that_learns_keeps_the_contract(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = module(folder, "levels", monkeypatch).Levels
    check_online(lambda: made((3, 16)))


@pytest.mark.parametrize("kind", ["trained", "static"])
def test_a_detector_beside_the_configuration_is_trained_and_alerts(folder: Path, kind: str) -> None:
    file = configuration(folder, USES[kind])
    trained = command("train", file, folder / "normal", "--json", folder / "trained.json")
    assert trained.code == 0, trained.err
    (model,) = json.loads((folder / "trained.json").read_text())["models"]
    assert (model["model"], model["version"], model["aliases"]) == ("pumps", 1, ["production"])
    found = evaluated(file, folder)
    assert found["fused"]["auroc"] > 0.95
    assert found["alerts"]["detected"] == 1


def test_a_detector_beside_the_configuration_learns_in_the_stream(folder: Path) -> None:
    found = evaluated(configuration(folder, USES["online"]), folder)
    assert found["fused"]["auroc"] > 0.95
    assert found["alerts"]["detected"] == 1


def test_own_detectors_and_ours_judge_together(folder: Path) -> None:
    file = configuration(folder, *USES.values(), "mahalanobis:pumps")
    assert command("train", file, folder / "normal").code == 0
    found = evaluated(file, folder)
    assert list(found["raw"]) == ["Loudness", "Peak", "mahalanobis", "Levels"]


def evaluated(file: Path, folder: Path) -> dict[str, Any]:
    """The figures of the recording with the fault."""
    figures = folder / "figures.json"
    done = command("evaluate", file, folder / "pump-1.csv", "--json", figures)
    assert done.code == 0, done.err
    pooled: dict[str, Any] = json.loads(figures.read_text())["pooled"]["pumps"]
    return pooled


def test_its_parameters_come_from_the_configuration(folder: Path) -> None:
    file = configuration(folder, "loudness:Loudness:pumps")
    text = file.read_text().replace(
        "- loudness:Loudness:pumps",
        "- {detector: 'loudness:Loudness:pumps', params: {quantile: 0.5}}",
    )
    file.write_text(text)
    assert command("train", file, folder / "normal").code == 0
    sys.path.append(str(folder))
    try:
        wanted = Reference("loudness:Loudness", "pumps", "1")
        manifest = ModelStore(folder / "models").load(wanted).manifest
    finally:
        sys.path.remove(str(folder))
    assert manifest.params == {"quantile": 0.5}
    file.write_text(text.replace("quantile: 0.5", "loud: 1"))
    found = command("train", file, folder / "normal")
    assert found.code == 2
    assert "does not take {'loud': 1}" in found.err


def test_a_file_beside_the_configuration_hides_nothing_installed(folder: Path) -> None:
    (folder / "yaml.py").write_text("raise SystemExit('the wrong yaml')")
    assert command("check", configuration(folder, "online_iforest")).code == 0
    assert not any(str(folder) == entry for entry in sys.path)


def test_a_mistake_in_the_file_is_one_line(folder: Path) -> None:
    (folder / "typo.py").write_text("class Typo:\n    def score(self, x)\n        return x\n")
    outcome = command("check", "--connect", configuration(folder, "typo:Typo"))
    assert outcome.code == 2
    assert "typo:Typo" in outcome.err
    assert "line 2" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
