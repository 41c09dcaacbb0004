"""The README's sequence on recorded data: train, play through a real Kafka into a live process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from monitor.offline.measures import ranking
from tests.kafka.conftest import MakeTopic, Topic
from tests.kafka.processes import (
    Running,
    ends,
    environment,
    results,
    running,
    wait_for,
    write_config,
)
from tests.terminal import command

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("MONITOR_DATA", ROOT / "../shared/data")) / "skab" / "data"
RUNS = ("0", "1", "2", "3")
LENGTH = 30.0  # seconds of a window


@pytest.fixture
def recordings() -> list[Path]:
    """Four runs in which a valve is closed for a while."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is absent; set MONITOR_DATA to the folder that holds skab/")
    return [DATA / "valve1" / f"{run}.csv" for run in RUNS]


def adapted(topics: dict[str, Topic], folder: Path) -> dict[str, Any]:
    """deploy/configs/skab.yaml with this broker, these topics and this folder."""
    text = (ROOT / "deploy" / "configs" / "skab.yaml").read_text(encoding="utf-8")
    settings: dict[str, Any] = yaml.safe_load(text)
    samples = topics["samples"]
    settings["source"]["kafka"].update(bootstrap=[samples.address], group=samples.name)
    settings["streams"]["skab"]["topics"] = [samples.name]
    names = {kind: topics[kind].name for kind in ("alerts", "scores")}
    settings["sinks"] = ["log", {"jsonl": {"path": "out/skab.jsonl", "scores": True}}]
    settings["sinks"].append({"kafka": names})
    settings["models"] = str(folder / "models")
    return settings


def test_skab_is_trained_played_scored_and_alerted(
    recordings: list[Path], make_topic: MakeTopic, tmp_path: Path
) -> None:
    topics = {kind: make_topic(4) for kind in ("samples", "alerts", "scores")}
    file = write_config(tmp_path / "skab.yaml", adapted(topics, tmp_path))
    trained = command("train", file, DATA / "anomaly-free")
    assert trained.code == 0, trained.err
    with running(file) as process:
        process.wait_until_ready()
        play(recordings, topics["samples"])
        written = ends(topics["samples"])
        wait_for("all read", lambda: process.position() == written)
        wait_for("all delivered, and shown", commits_after(process))
        assert set(process.metric("monitor_messages_invalid_total").values()) <= {0.0}
        assert sum(process.metric("monitor_messages_total").values()) == sum(written.values())
        scored = process.metric("monitor_anomaly_score")
        known = json.loads(process.get("/api/v1/alerts?state=all"))["items"]
        assert process.end() == 0
    for run in RUNS:
        assert any(f'sensor="{run}"' in labels and 'site="testbed"' in labels for labels in scored)
    out = tmp_path / "out" / "skab.jsonl"
    alerts = results(out, "alert")
    assert {alert["id"] for alert in known} == {alert["id"] for alert in alerts}
    assert {alert["phase"] for alert in alerts} == {"firing", "resolved"}
    live = ranked(results(out, "score"), recordings)
    for run, own in live.items():
        print(f"AUROC of run {run}:", {name: round(value, 3) for name, value in own.items()})
    assert live == evaluated(file, recordings, tmp_path / "figures.json")


def commits_after(process: Running) -> Callable[[], bool]:
    """Whether all that is processed by now is delivered: two more commits have been made."""

    def commits() -> float:
        return process.metric("monitor_commits_total")['{outcome="done"}']

    before = commits()
    return lambda: commits() >= before + 2


def play(recordings: list[Path], topic: Topic) -> None:
    """`python -m simulators play`, a hundred times faster than life and more."""
    options = ["--topic", topic.name, "--bootstrap", topic.address, "--speed", "0"]
    subprocess.run(
        [sys.executable, "-m", "simulators", "play", *map(str, recordings), *options],
        env=environment(),
        check=True,
        timeout=120,
    )


def ranked(scores: list[dict[str, Any]], recordings: list[Path]) -> dict[str, dict[str, float]]:
    """AUROC of each run and detector; a window is anomalous where one of its samples is."""
    found: dict[str, dict[str, float]] = {}
    for run, path in zip(RUNS, recordings, strict=True):
        frame = pd.read_csv(path, sep=";", parse_dates=["datetime"])
        times = ((frame["datetime"] - pd.Timestamp(0)) / pd.Timedelta(seconds=1)).to_numpy()
        bad = times[frame["anomaly"].to_numpy() == 1]
        mine = [score for score in scores if score["sensor"] == run]
        found[run] = {}
        for detector in sorted({score["detector"] for score in mine}):
            own = [score for score in mine if score["detector"] == detector]
            ends = np.array([score["time"] for score in own])
            truth = np.searchsorted(bad, ends - 0.5) > np.searchsorted(bad, ends - LENGTH - 0.5)
            raw = np.array([score["raw"] for score in own], np.float32)
            found[run][detector] = ranking(truth.astype(np.int8), raw).auroc or 0.0
    return found


def evaluated(file: Path, recordings: list[Path], figures: Path) -> dict[str, dict[str, float]]:
    """What `monitor evaluate` says of the same recordings, without a broker."""
    done = command("evaluate", file, *recordings, "--json", figures)
    assert done.code == 0, done.err
    parts = json.loads(figures.read_text())["files"]["skab"]
    return {
        Path(path).stem: {name: own["auroc"] for name, own in sorted(part["raw"].items())}
        for path, part in parts.items()
    }
