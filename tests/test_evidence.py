"""Evidence on disk: a picture and a JSON file for each step of an alert, and not too many."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from structlog.testing import capture_logs

from monitor.connect.evidence import EvidenceSink, part
from monitor.connections import EvidenceFolder
from monitor.errors import SinkError
from monitor.settings import Config
from monitor.testing import check_sink, example_result
from monitor.types import Evidence, Result, Score
from monitor.view import ModelInfo
from monitor.wiring import build_sink
from tests.served import NOW, alert, evidence

MODEL = ModelInfo("vibration", "conv_ae", "belt", 3, "c0ffee", NOW)
NAMES = st.one_of(
    st.sampled_from([".", "..", "/", "../outside", "a/../../x", "~", "-rf", "a\0b", "%2E", ".x"]),
    st.text(min_size=1, max_size=8),
    st.text("./\\~%\0-_a1", min_size=1, max_size=12),
    st.text(min_size=150, max_size=200),
)


def step(
    sensor: str = "camera-1", *, time: float = NOW, offset: int = 118, name: str = "5a0c"
) -> Result:
    """One step of an alert with its picture and the scores it is raised for."""
    raised = alert(sensor, opened=NOW - 9, time=time)._replace(id=name, offset=offset)
    scores = [
        Score(raised.partition, offset, raised.stream, sensor, detector, time, raw, 0.25)
        for detector, raw in (("conv_ae", 1.05), ("padim", 0.5))
    ]
    other = [scores[0]._replace(sensor="else"), scores[0]._replace(time=time - 1)]
    return Result([*other, *scores], [raised], evidence=[evidence(raised, offset=offset)])


def keeper(folder: Path, keep: int = 100, models: tuple[ModelInfo, ...] = ()) -> EvidenceSink:
    return EvidenceSink(EvidenceFolder(path=folder, keep=keep), models)


def files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def read(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("*.json")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def test_it_keeps_the_contract_of_sinks(tmp_path: Path) -> None:
    def delivered() -> list[str]:
        return [json.loads(path.read_bytes())["alert"]["id"] for path in tmp_path.rglob("*.json")]

    check_sink(lambda: keeper(tmp_path), delivered, repeats=False)


def test_a_step_of_an_alert_is_a_picture_and_what_was_said(tmp_path: Path) -> None:
    sink = keeper(tmp_path, models=(MODEL,))
    sink.emit(step())
    assert files(tmp_path) == []
    sink.flush()
    name = "vibration/camera-1/20260101T000000.000000Z-5a0c"
    assert files(tmp_path) == [f"{name}.json", f"{name}.png"]
    picture = Image.open(tmp_path / f"{name}.png").convert("RGB")
    assert len(picture.getcolors(1 << 20) or ()) > 10, "it is not blank"
    told = read(tmp_path)
    assert told["alert"]["reason"] == "3 of 5 windows above the threshold"
    assert told["scores"] == [
        {"detector": "conv_ae", "raw": 1.05, "threshold": 0.25, "value": 4.2},
        {"detector": "padim", "raw": 0.5, "threshold": 0.25, "value": 2.0},
    ]
    assert told["model"] == {"name": "belt", "version": 3, "fingerprint": "c0ffee"}
    assert told["hottest"] == {"row": 10, "column": 30, "heat": 1.0}
    assert (told["rows"], told["columns"], told["offset"]) == (48, 64, 118)


def test_a_detector_that_has_no_model_is_told_so(tmp_path: Path) -> None:
    sink = keeper(tmp_path)
    sink.emit(step())
    sink.close()
    assert read(tmp_path)["model"] is None


def test_a_repeat_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        sink = keeper(tmp_path, keep=1)
        sink.emit(step())
        sink.emit(step())
        sink.close()
    assert len(files(tmp_path)) == 2


def test_each_step_of_an_alert_has_its_own_files(tmp_path: Path) -> None:
    sink = keeper(tmp_path)
    sink.emit(step())
    sink.emit(step(time=NOW + 1))
    sink.close()
    assert len(files(tmp_path)) == 4


def test_alerts_without_a_picture_leave_nothing(tmp_path: Path) -> None:
    sink = keeper(tmp_path)
    sink.emit(Result(alerts=[alert()]))
    sink.close()
    assert files(tmp_path) == []


def test_the_oldest_go_with_their_pictures_and_nothing_of_anybody_else(tmp_path: Path) -> None:
    others = [tmp_path / "notes.json", tmp_path / "vibration" / "old" / "mine-1.json"]
    others[1].parent.mkdir(parents=True)
    for path in others:
        path.write_text("{}")
    sink = keeper(tmp_path, keep=3)
    for number in range(8):
        sink.emit(step(f"camera-{number}", time=NOW - number))
        sink.flush()
        written = next(tmp_path.rglob(f"camera-{number}/*.json"))
        os.utime(written, ns=(number, number))
    kept = [name for name in files(tmp_path) if "camera" in name]
    assert [name.split("/")[1] for name in kept] == [
        f"camera-{number}" for number in (5, 6, 7) for _ in ("json", "png")
    ], "those written last stay, whatever time they are of"
    assert all(path.exists() for path in others)
    assert not (tmp_path / "vibration" / "camera-0").exists()


def test_a_new_process_counts_what_is_there(tmp_path: Path) -> None:
    for number in range(5):
        sink = keeper(tmp_path, keep=2)
        sink.emit(step(time=NOW + number))
        sink.close()
    assert len(files(tmp_path)) == 4


@given(st.lists(NAMES, min_size=2, max_size=4, unique=True))
@example(["a/b", "a%2Fb", "a"])
@example([".", "%2E"])
@example(["x" * 119, "x" * 120, "x" * 121, "x" * 122])
def test_no_two_names_share_a_folder(names: list[str]) -> None:
    parts = [part(name) for name in names]
    assert len(set(parts)) == len(parts)
    assert all(0 < len(each) <= 150 and "/" not in each and each[0] != "." for each in parts)


@given(NAMES, NAMES)
@example("..", "..")
@example("a", "x" * 200)
def test_evidence_of_any_sensor_stays_in_its_folder(sensor: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        around = Path(scratch)
        sink = keeper(around / "deep" / "folder", keep=1)
        sink.emit(step(sensor, name=name))
        sink.close()
        found = {path.relative_to(around).parts for path in around.rglob("*") if path.is_file()}
        assert {parts[:3] for parts in found} == {("deep", "folder", "vibration")}
        assert {len(parts) for parts in found} == {5}
        assert len(found) == 2


def test_a_time_that_no_calendar_has_is_kept_too(tmp_path: Path) -> None:
    sink = keeper(tmp_path, keep=1)
    for time in (float("inf"), 1e18):
        sink.emit(step(time=time))
        sink.flush()
    assert len(files(tmp_path)) == 2


def test_a_full_disk_is_told_and_nothing_is_lost_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = keeper(tmp_path)
    sink.emit(step())
    sink.emit(step(time=NOW + 1))
    room, fsync = [2], os.fsync

    def limited(file: int) -> None:
        if not room[0]:
            raise OSError(28, "No space left on device")
        room[0] -= 1
        fsync(file)

    monkeypatch.setattr("os.fsync", limited)
    with pytest.raises(SinkError, match=r"cannot keep evidence in .*: No space left") as caught:
        sink.flush()
    assert caught.value.retriable
    assert not [name for name in files(tmp_path) if name.endswith("partial")]
    room[0] = 100
    sink.flush()
    assert len(files(tmp_path)) == 4


def test_what_a_crash_left_half_written_goes(tmp_path: Path) -> None:
    torn = tmp_path / "vibration" / "camera-1" / ".x.json.17.partial"
    torn.parent.mkdir(parents=True)
    torn.write_text("{")
    keeper(tmp_path)
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"cannot keep evidence in .*file: File exists"):
        keeper(tmp_path / "file")


def test_a_heat_map_that_does_not_fit_leaves_the_rest(tmp_path: Path) -> None:
    result = step()
    odd = result.evidence[0]._replace(heat=np.ones((2, 2), np.float32))
    sink = keeper(tmp_path)
    sink.emit(Result(result.scores, result.alerts, evidence=[odd]))
    with capture_logs() as lines:
        sink.close()
    assert [line["event"] for line in lines] == ["no picture"]
    assert len(files(tmp_path)) == 1
    assert read(tmp_path)["alert"]["sensor"] == "camera-1"


def config(sink: Any) -> Config:
    """With a transaction, and this sink beside it."""
    window = {"input": "frames", "size": [8, 8]}
    settings = {
        "source": {"kafka": {"bootstrap": ["127.0.0.1:1"]}},
        "delivery": "exactly_once",
        "streams": {"belt": {"topics": ["b"], "window": window, "models": [{"use": ["novelty"]}]}},
        "sinks": ["kafka", {"evidence": sink}],
    }
    return Config.model_validate(settings)


@pytest.mark.parametrize("given_as", [str, lambda path: {"path": str(path), "keep": 7}])
def test_the_sink_is_named_by_its_folder_and_may_stand_beside_a_transaction(
    tmp_path: Path, given_as: Callable[[Path], Any]
) -> None:
    found = config(given_as(tmp_path / "kept"))
    assert isinstance(build_sink(found, found.sinks[1]), EvidenceSink)
    assert (tmp_path / "kept").is_dir()


def test_the_examples_of_the_contract_can_be_drawn() -> None:
    (seen,) = example_result("one").evidence
    assert isinstance(seen, Evidence)
    assert seen.heat.shape == seen.example.shape[1:]
