"""The benchmark of image detectors, small: what it reports, and that it scores as in serving."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.offline.bench import images

TINY = images.Options(0.01, side=32, training=64, chunk=2)


@pytest.fixture(scope="module")
def report() -> images.Report:
    return images.run_bench(TINY)


def test_the_json_tells_the_rate_of_each_detector(report: images.Report) -> None:
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert [row["name"] for row in found["results"]] == ["conv_ae", "padim", "patchcore"]
    for row in found["results"]:
        assert row["low"] <= row["high"]
        assert row["frames_per_second"] == pytest.approx(1e3 / row["ms"])
        assert row["backend"] in ("onnx", "torch")
        assert row["state_bytes"] > 0
    assert found["frames"] == {"side": 32, "colours": 3, "chunk": 2}
    assert {"clock", "machine", "versions"} <= found.keys()


def test_models_are_called_as_in_serving(report: images.Report) -> None:
    for model in report.models:
        assert model.chunk == TINY.chunk
        assert model.shape == (3, 32 * 32)
        assert model.detector.shape == (3, 32, 32)


def test_pictures_are_pixels() -> None:
    shown = images.pictures(3, 16)
    assert shown.shape == (3, 3, 256)
    assert 0 <= shown.min() < shown.max() <= 255


def test_arguments_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--seconds is 0"):
        images.run(0.0)
    with pytest.raises(ConfigError, match="there is no folder"):
        images.run(1.0, tmp_path / "none" / "x.json")
