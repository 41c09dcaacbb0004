"""`monitor init`: a configuration from a recording."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.config import load, parse
from monitor.errors import ConfigError
from monitor.offline.init import configuration, run
from monitor.offline.suggest import (
    LONGEST,
    SHORTEST,
    Suggestion,
    hop_samples,
    suggest,
    window_samples,
)

NAMES = st.text(string.printable, min_size=1, max_size=12).map(str.strip).filter(bool)
START = 1_767_225_600.0


def write(path: Path, columns: Mapping[str, NDArray[np.float64]]) -> Path:
    rows = np.column_stack(list(columns.values()))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, rows, fmt="%.9f", delimiter=",", header=",".join(columns), comments="")
    return path


def recorded(
    path: Path, rate: float = 10.0, period: float | None = 2.5, seconds: float = 300.0
) -> Path:
    """Two channels, of which both swing with a period in seconds; and labels."""
    time = START + np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.3, (2, len(time)))
    wave = np.sin(2 * np.pi * (time - START) / period) if period else 0.0
    columns = {"time": time, "x": noise[0] + wave, "y": noise[1] + 2 * wave, "anomaly": time * 0}
    return write(path, columns)


def test_channels_rate_and_window_are_found(tmp_path: Path) -> None:
    found = suggest([recorded(tmp_path / "pump.csv")])
    assert found.channels == ("x", "y")
    assert found.rate == pytest.approx(10.0)
    assert found.period == pytest.approx(25.0, rel=0.1)
    assert found.samples == pytest.approx(100, abs=8)
    assert found.hop == 5


def test_noise_that_grows_towards_low_frequencies_has_no_period(tmp_path: Path) -> None:
    time = START + np.arange(3_000.0)
    walk = np.cumsum(np.random.default_rng(1).normal(size=3_000))
    found = suggest([write(tmp_path / "slow.csv", {"time": time, "level": walk})])
    assert found.period is None
    assert (found.samples, found.hop) == (SHORTEST, 1)


def test_what_is_labelled_or_empty_is_no_channel(tmp_path: Path) -> None:
    time = START + np.arange(200.0)
    columns = {"time": time, "x": time % 7, "changepoint": time * 0, "Label": time * 0}
    columns["z"] = np.full(200, np.nan)
    assert suggest([write(tmp_path / "a.csv", columns)]).channels == ("x",)


def test_only_channels_that_all_files_have_are_taken(tmp_path: Path) -> None:
    time = START + np.arange(200.0)
    one = write(tmp_path / "a.csv", {"time": time, "x": time % 7, "y": time % 5})
    other = write(tmp_path / "b.csv", {"time": time, "y": time % 5})
    assert suggest([one, other]).channels == ("y",)


def test_the_file_is_written_and_can_be_trained_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = recorded(tmp_path / "normal" / "pump 1.csv")
    out = tmp_path / "plant.yaml"
    run([recording.parent], out)
    (name, stream), *others = load(out).streams.items()
    assert (name, not others) == ("normal", True)
    assert stream.window.channels == ["x", "y"]
    told = capsys.readouterr().out
    assert f"next: monitor train {out} {recording.parent}" in told


@given(
    st.lists(NAMES, min_size=1, max_size=4, unique=True),
    st.floats(1e-3, 1e5),
    st.one_of(st.none(), st.floats(2, 1e6)),
)
def test_whatever_was_found_makes_a_valid_configuration(
    channels: list[str], rate: float, period: float | None
) -> None:
    samples = window_samples(rate, period)
    assert SHORTEST <= samples <= LONGEST
    hop = hop_samples(rate, samples)
    found = Suggestion(tuple(channels), rate, samples, hop, period)
    window = parse(configuration(found, "plant"), "plant.yaml").streams["plant"].window
    assert window.channels == channels
    assert (window.samples, window.hop_samples) == (samples, hop)


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "plant.yaml"
    out.write_text("mine")
    with pytest.raises(ConfigError, match="is there already; name another file, or give --force"):
        run([recorded(tmp_path / "a.csv")], out)
    assert out.read_text() == "mine"
    run([recorded(tmp_path / "a.csv")], out, force=True)
    assert "ensemble:a@production" in out.read_text()


def test_recordings_that_suggest_nothing_are_told(tmp_path: Path) -> None:
    time = START + np.arange(50.0)
    bare = write(tmp_path / "bare.csv", {"time": time, "anomaly": time * 0})
    with pytest.raises(ConfigError, match=r"bare.csv: has no column of numbers that is no time"):
        suggest([bare])
    slow, fast = recorded(tmp_path / "slow.csv", 2.0), recorded(tmp_path / "fast.csv", 10.0)
    with pytest.raises(ConfigError, match=r"fast.csv was sampled at 10 Hz, .*slow.csv at 2 Hz"):
        suggest([slow, fast])
    with pytest.raises(ConfigError, match=r"slow.csv: has no channel 'z'; its columns: time, x"):
        suggest([slow], channels=["x", "z"])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match=r"holds no recording to look at; valid endings: .csv"):
        run([empty], tmp_path / "out.yaml")
