"""The log, the file, and the order in which at-least-once does things."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.connect.sinks import AtLeastOnce, JsonLinesSink, LogSink
from monitor.connections import JsonLines
from monitor.errors import SinkError, SourceError
from monitor.protocols import Owner
from monitor.testing import check_sink, example_result
from monitor.types import Notice, Partition, Record, Rejected, Result

HERE = Partition("plant", 1)


def rejected(reason: str, count: int = 1) -> Result:
    records = [Record(HERE, offset, None, 0.0, b"?") for offset in range(count)]
    return Result(rejected=[Rejected(r, "vibration", reason, "why") for r in records])


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def alerts(path: Path) -> list[str]:
    return [line["id"] for line in read(path) if line["type"] == "alert"] if path.exists() else []


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Book:
    """A source and a sink that write down what is asked of them."""

    def __init__(self, name: str, page: list[str], *, fails: str = "") -> None:
        self.name, self.page, self.fails = name, page, fails

    def _do(self, act: str) -> None:
        self.page.append(f"{self.name} {act}")
        if act == self.fails:
            raise SinkError("full", retriable=True)

    def emit(self, result: Result) -> None:
        self._do("emit")

    def flush(self) -> None:
        self._do("flush")

    def close(self) -> None:
        self._do("close")

    def start(self, owner: Owner) -> None:
        self._do("start")

    def poll(self, timeout: float, most: int | None = None) -> Sequence[Record]:
        return []

    def rewind(self, partitions: Sequence[Partition]) -> None:
        self._do("rewind")

    def lag(self) -> Mapping[Partition, int]:
        return {}

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._do("commit")


def test_every_sink_is_flushed_before_the_offsets_are_committed() -> None:
    page: list[str] = []
    delivery = AtLeastOnce([Book("a", page), Book("b", page)], Book("source", page))
    delivery.emit(Result())
    delivery.commit({HERE: 3})
    assert page == ["a emit", "b emit", "a flush", "b flush", "source commit"]


def test_where_one_sink_fails_nothing_is_committed() -> None:
    page: list[str] = []
    delivery = AtLeastOnce([Book("a", page, fails="flush")], Book("source", page))
    with pytest.raises(SinkError):
        delivery.commit({HERE: 3})
    assert page == ["a flush"]


def test_without_offsets_results_are_flushed_all_the_same() -> None:
    page: list[str] = []
    AtLeastOnce([Book("a", page)], Book("source", page)).commit({})
    assert page == ["a flush"]


def test_an_abort_takes_nothing_back() -> None:
    page: list[str] = []
    AtLeastOnce([Book("a", page)], Book("source", page)).abort()
    assert page == []


def test_every_sink_is_closed_also_where_one_fails() -> None:
    page: list[str] = []
    first, second = Book("a", page, fails="close"), Book("b", page, fails="close")
    with pytest.raises(SinkError):
        AtLeastOnce([first, second], Book("source", page)).close()
    assert sorted(page) == ["a close", "b close"]


def test_the_file_keeps_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.jsonl"
    check_sink(lambda: JsonLinesSink(JsonLines(path=path)), lambda: alerts(path))


@pytest.mark.parametrize("scores", [False, True])
def test_scores_are_in_the_file_where_asked_for_and_the_rest_always(
    tmp_path: Path, scores: bool
) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(JsonLines(path=path, scores=scores))
    notice = Notice(HERE, 3, "vibration", "pump", "new_level", "adopted")
    sink.emit(replace(example_result("one"), notices=[notice], **_rejected()))
    sink.close()
    kinds = ["alert", "score", "rejected", "notice"]
    assert [line["type"] for line in read(path)] == [k for k in kinds if scores or k != "score"]


def _rejected() -> dict[str, Any]:
    return {"rejected": rejected("truncated").rejected}


def test_a_line_cut_short_by_a_crash_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"type": "al')
    sink = JsonLinesSink(JsonLines(path=path))
    sink.emit(example_result("one"))
    sink.close()
    torn, line, end = path.read_bytes().split(b"\n")
    assert torn == b'{"type": "al'
    assert json.loads(line)["id"] == "one"
    assert end == b""


def test_many_lines_are_written_before_the_flush(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(JsonLines(path=path))
    while not path.stat().st_size:
        sink.emit(Result(alerts=list(example_result("x" * 10_000).alerts) * 20))
    sink.close()
    assert {len(identity) for identity in alerts(path)} == {10_000}


def test_a_full_disk_is_told_and_nothing_is_lost_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(JsonLines(path=path))
    room, write = [10], os.write

    def limited(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = write(file, bytes(data[: room[0]]))
        room[0] -= written
        return written

    monkeypatch.setattr("os.write", limited)
    sink.emit(example_result("one"))
    with pytest.raises(SinkError, match=r"cannot write .*out\.jsonl: No space left") as caught:
        sink.flush()
    assert caught.value.retriable
    room[0] = 1_000_000
    sink.close()
    assert alerts(path) == ["one"]


def test_the_kernels_own_full_device_is_told() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    sink = JsonLinesSink(JsonLines(path=Path("/dev/full")))
    sink.emit(example_result("one"))
    with pytest.raises(SinkError, match="cannot write /dev/full: No space left on device"):
        sink.close()
    sink.close()


def test_a_path_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=f"cannot write {tmp_path}: Is a directory"):
        JsonLinesSink(JsonLines(path=tmp_path))


def test_a_closed_file_says_so(tmp_path: Path) -> None:
    sink = JsonLinesSink(JsonLines(path=tmp_path / "out.jsonl"))
    sink.close()
    with pytest.raises(SinkError, match="is closed"):
        sink.flush()


def test_an_alert_is_one_line_of_the_log_with_its_top_channel_first() -> None:
    (alert,) = example_result("one").alerts
    with capture_logs() as lines:
        LogSink().emit(Result(alerts=[alert, alert._replace(phase="resolved")]))
    firing, resolved = lines
    assert (firing["event"], firing["log_level"]) == ("alert", "warning")
    assert resolved["log_level"] == "info"
    assert list(firing["channels"].items()) == [("x", 0.75), ("y", 0.25)]
    assert firing["opened"] == "2023-11-14T22:13:20.250000Z"
    assert (firing["id"], firing["labels"]) == ("one", {"site": "north"})


def test_a_notice_is_one_line_of_the_log() -> None:
    with capture_logs() as lines:
        LogSink().emit(Result(notices=[Notice(HERE, 3, "s", "pump", "new_level", "adopted")]))
    (line,) = lines
    assert (line["event"], line["sensor"], line["detail"]) == ("new_level", "pump", "adopted")


def test_rejected_records_are_told_once_then_as_a_sum_for_each_reason() -> None:
    clock = Clock()
    sink = LogSink(quiet=60.0, clock=clock)
    with capture_logs() as lines:
        sink.emit(rejected("truncated", 5))
        sink.emit(rejected("too_old", 1))
        sink.flush()
        assert [(line["reason"], line["count"]) for line in lines] == [
            ("truncated", 1),
            ("too_old", 1),
        ]
        clock.now = 61.0
        sink.flush()
        assert (lines[-1]["reason"], lines[-1]["count"]) == ("truncated", 4)
        sink.emit(rejected("truncated", 7))
        sink.close()
    assert sum(line["count"] for line in lines) == 13
    assert lines[-1]["last_offset"] == 6


def test_a_source_that_cannot_commit_is_heard() -> None:
    class Lost(Book):
        def commit(self, offsets: Mapping[Partition, int]) -> None:
            raise SourceError("the group is changing", retriable=True)

    with pytest.raises(SourceError, match="the group is changing"):
        AtLeastOnce([], Lost("source", [])).commit({HERE: 1})
