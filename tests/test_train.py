"""Training takes the right windows, publishes, and says clearly what is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.connect.store import ModelStore
from monitor.errors import ConfigError, ModelError
from monitor.notation import Reference
from monitor.offline.dataset import Recorded
from monitor.offline.train import jobs_of, recipe_of, run, train
from monitor.settings import Config
from tests.recorded import RATE, config, recording, stream_of, write_csv

USE = "mahalanobis:pumps@production"
FLEET = [recording("pump-1", 60.0, [(20.0, 24.0)]), recording("fan-1", 60.0)]
RECORDED: Recorded = {"machines": FLEET}


def with_store(folder: Path, settings: Config) -> Config:
    return settings.model_copy(update={"models": folder / "models"})


def of_streams(**streams: dict[str, Any]) -> Config:
    source = {"recordings": {"paths": ["x"]}}
    return Config.model_validate({"source": source, "streams": streams})


def rules(*pairs: tuple[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [{"match": match, "use": list(use)} for match, use in pairs]


def test_a_model_is_trained_on_the_normal_windows_of_its_sensors(tmp_path: Path) -> None:
    settings = with_store(tmp_path, config([USE, "tests.recorded:Loudness"]))
    (found,) = train(settings, RECORDED)
    # 119 windows of each; of pump-1 those that share a sample with the 4 s of fault are left out.
    assert (found.detector, found.model, found.version) == ("mahalanobis", "pumps", 1)
    assert (found.windows, found.anomalous, found.sensors) == (229, 9, 2)
    assert found.aliases == ("production",)
    quantiles = list(found.held_out.values())
    assert list(found.held_out) == ["0.5", "0.95", "0.99", "1"]
    assert 0 < quantiles[0] <= quantiles[1] <= quantiles[2] <= quantiles[3]
    manifest = ModelStore(settings.models).load(Reference("mahalanobis", "pumps", "1")).manifest
    assert manifest.sensors == ("fan-1", "pump-1")
    assert (manifest.shape, manifest.channels, manifest.rate) == ((2, 16), ("x", "y"), RATE)


def test_each_training_makes_a_new_version_and_moves_the_alias(tmp_path: Path) -> None:
    settings = with_store(tmp_path, config([USE]))
    versions = [train(settings, RECORDED)[0].version for _ in range(2)]
    store = ModelStore(settings.models)
    assert versions == [1, 2]
    assert store.load(Reference("mahalanobis", "pumps", "production")).manifest.version == 2


def test_without_promotion_the_alias_stays(tmp_path: Path) -> None:
    settings = with_store(tmp_path, config([USE]))
    train(settings, RECORDED)
    (found,) = train(settings, RECORDED, promote=False)
    store = ModelStore(settings.models)
    assert (found.version, found.aliases) == (2, ())
    assert store.load(Reference("mahalanobis", "pumps", "production")).manifest.version == 1


def test_a_model_pinned_to_a_number_moves_no_alias(tmp_path: Path) -> None:
    settings = with_store(tmp_path, config(["mahalanobis:pumps@1"]))
    (found,) = train(settings, RECORDED)
    assert (found.version, found.aliases) == (1, ())


def test_each_rule_trains_on_its_own_sensors(tmp_path: Path) -> None:
    own = rules(("pump-*", [USE]), ("*", ["mahalanobis:fans@production"]))
    settings = with_store(tmp_path, config(models=own))
    assert [(f.model, f.sensors) for f in train(settings, RECORDED)] == [("pumps", 1), ("fans", 1)]


def test_a_model_of_two_rules_is_trained_once_on_the_sensors_of_both(tmp_path: Path) -> None:
    own = rules(("pump-*", [USE]), ("fan-*", ["mahalanobis:pumps@staging"]))
    (found,) = train(with_store(tmp_path, config(models=own)), RECORDED)
    assert (found.sensors, found.aliases) == (2, ("production", "staging"))


def test_a_model_of_two_streams_is_trained_once_on_both(tmp_path: Path) -> None:
    settings = of_streams(north=stream_of([USE]), south=stream_of([USE]))
    recorded = {"north": FLEET, "south": [recording("pump-1", 30.0), recording("pump-9", 30.0)]}
    (found,) = train(with_store(tmp_path, settings), recorded)
    assert (found.sensors, found.windows) == (3, 229 + 59 + 59)


def test_a_stream_that_was_not_recorded_is_not_trained(tmp_path: Path) -> None:
    other = stream_of(["mahalanobis:others@production"])
    settings = of_streams(machines=stream_of([USE]), others=other)
    assert [found.model for found in train(with_store(tmp_path, settings), RECORDED)] == ["pumps"]


def test_overlapping_windows_have_no_sample_both_trained_on_and_held_out() -> None:
    (half,) = jobs_of(config([USE]))
    window = {"length": "1s", "rate": RATE, "channels": ["x", "y"]}
    (whole,) = jobs_of(config([USE], window=window))
    (odd,) = jobs_of(config([USE], window={**window, "hop": 7 / RATE}))
    assert [recipe_of(job).gap for job in (whole, half, odd)] == [1, 3, 4]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (config(), "nothing to train: streams machines use no detector with a model"),
        (config(["mahalanobis"]), "streams.machines.models[0]: mahalanobis has to be trained"),
        (config(["online_iforest:x@production"]), "learns in the stream: no model to train"),
        (
            config(models=rules(("valve-*", [USE]), ("*", ["tests.recorded:Loudness"]))),
            "mahalanobis:pumps: no recorded sensor is matched by 'valve-*', or an earlier rule "
            "takes it; recorded are 'fan-1', 'pump-1'",
        ),
        (
            config(models=rules(("*", [USE]), ("fan-*", ["mahalanobis:fans@production"]))),
            "mahalanobis:fans: no recorded sensor is matched by 'fan-*', or an earlier rule",
        ),
        (
            config(
                models=rules(
                    ("fan-*", [USE]), ("*", [{"detector": USE, "params": {"shrinkage": 0.5}}])
                )
            ),
            "mahalanobis:pumps is used with params {} and with {'shrinkage': 0.5}",
        ),
        (
            of_streams(
                machines=stream_of([USE]),
                slow=stream_of(
                    [USE], window={"length": "2s", "rate": RATE, "channels": ["x", "y"]}
                ),
            ),
            "mahalanobis:pumps is used in stream 'slow' for windows of x, y with 32 samples at 16 "
            "Hz and in 'machines' for x, y with 16 samples at 16 Hz; give each its own name",
        ),
    ],
)
def test_what_cannot_be_trained_is_told(tmp_path: Path, settings: Config, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        train(with_store(tmp_path, settings), RECORDED)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_too_few_windows_are_told_with_their_number(tmp_path: Path) -> None:
    settings = with_store(tmp_path, config([USE]))
    with pytest.raises(ModelError, match=r"at least 50 usable windows.*there are 19 windows"):
        train(settings, {"machines": [recording(seconds=10.0)]})


def test_windows_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    broken = recording("pump-1", 60.0)
    broken.data[0, 100] = np.nan
    (found,) = train(with_store(tmp_path, config([USE])), {"machines": [broken]})
    assert found.windows == 119 - 2


def test_the_command_prints_a_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(tmp_path, FLEET[0])
    run(with_store(tmp_path, config([USE])), [path], json_file=tmp_path / "trained.json")
    (model,) = json.loads((tmp_path / "trained.json").read_text())["models"]
    assert (model["model"], model["version"], model["aliases"]) == ("pumps", 1, ["production"])
    shown = capsys.readouterr().out
    assert "training mahalanobis:pumps on 110 windows of 1 sensors" in shown
    assert "mahalanobis:pumps@1" in shown
