"""The loop: what it delivers, commits and saves, in which order, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from monitor.arrays import from_bytes
from monitor.connect.memory import MemoryLog, MemorySource
from monitor.connect.sinks import AtLeastOnce
from monitor.errors import SinkError, SourceError, StateError
from monitor.runner import Pace, Runner
from monitor.stream.pipeline import Pipeline
from monitor.types import Partition, Result, State
from tests.core.builders import message, pipeline, stream, stream_config
from tests.core.snapshots import MemorySnapshots

HERE = Partition("plant", 0)
SILENCE = {"raise": "2 of 3", "clear": "2 below 0.9", "silence": 10}


class Sink:
    """Keeps what it is given; `fails` is raised by the next flush."""

    def __init__(self, acts: list[str]) -> None:
        self.acts = acts
        self.results: list[Result] = []
        self.safe = 0
        self.fails: Exception | None = None

    def emit(self, result: Result) -> None:
        self.results.append(result)

    def flush(self) -> None:
        if self.fails:
            error, self.fails = self.fails, None
            raise error
        self.acts.append("flush")
        self.safe = len(self.results)

    def close(self) -> None:
        self.acts.append("close")

    def offsets(self, kind: str = "scores") -> list[int]:
        return [item.offset for result in self.results for item in getattr(result, kind)]


class Source(MemorySource):
    """Notes commits; `fails` is raised by the next commit, poll or lag."""

    def __init__(self, log: MemoryLog, acts: list[str]) -> None:
        super().__init__(log, max_records=1)
        self.acts = acts
        self.fails: dict[str, Exception] = {}

    def poll(self, timeout: float, most: int | None = None) -> Any:
        self._fail("poll")
        return super().poll(0, most)

    def lag(self) -> Mapping[Partition, int]:
        self._fail("lag")
        return super().lag()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._fail("commit")
        super().commit(offsets)
        self.acts.append(f"commit {sum(offsets.values())}")

    def _fail(self, act: str) -> None:
        if act in self.fails:
            raise self.fails.pop(act)


class Snapshots(MemorySnapshots):
    """Notes what is saved; `fails` is raised by the next save."""

    def __init__(self, acts: list[str]) -> None:
        super().__init__()
        self.acts = acts
        self.fails: Exception | None = None

    def save(self, partition: Partition, offset: int, state: State) -> None:
        if self.fails:
            error, self.fails = self.fails, None
            raise error
        super().save(partition, offset, state)
        self.acts.append(f"save {offset}")


class Bench:
    """A runner with everything around it: one partition, one record for each step."""

    def __init__(
        self, make: Callable[[], Pipeline] = pipeline, after: Bench | None = None, **pace: Any
    ) -> None:
        self.acts: list[str] = []
        self.now = 0.0
        self.log: MemoryLog = after.log if after else MemoryLog("plant", 1)
        self.snapshots: Snapshots = after.snapshots if after else Snapshots(self.acts)
        self.snapshots.acts = self.acts
        self.sink = Sink(self.acts)
        self.source = Source(self.log, self.acts)
        plain = {"commit_every": 0.0, "snapshot_every": 1e9, "patience": 0.0, "live": False}
        plain["confirm_every"] = 1e9
        made = make()
        made.close(HERE)
        delivery = AtLeastOnce([self.sink], self.source)
        clock = lambda: self.now  # noqa: E731
        parts = (self.source, made, delivery, self.snapshots, clock, Pace(**(plain | pace)))
        self.runner = Runner(*parts)

    @property
    def committed(self) -> int:
        return self.log.group("monitor").committed.get(HERE, 0)

    def feed(self, *levels: float, sensor: str = "pump") -> Bench:
        """One window of each level, four seconds each."""
        for value in levels:
            start = 4.0 * self.log.end(HERE)
            data = np.full((2, 4), value, np.float32)
            self.log.append(sensor.encode(), start, message(start, data))
        return self

    def start(self) -> Bench:
        self.runner.start()
        return self

    def steps(self, count: int = 1) -> Bench:
        for _ in range(count):
            self.runner.step()
        return self

    def counted(self, *key: str) -> float:
        return self.runner.counts[key]


def test_results_are_safe_before_their_offsets_are_committed_and_then_saved() -> None:
    bench = Bench(snapshot_every=0.0).feed(1, 2).start()
    assert bench.acts == ["save 0"], "so that there always is a snapshot to resume from"
    bench.steps(2)
    assert bench.acts[1:] == ["flush", "commit 1", "save 1", "flush", "commit 2", "save 2"]


def test_commits_and_snapshots_come_at_their_pace() -> None:
    bench = Bench(commit_every=10.0, snapshot_every=25.0).feed(*[1] * 9).start()
    for bench.now in range(9):
        bench.steps()
    assert bench.acts == ["save 0"]
    for bench.now in (10, 15, 20, 25, 30):
        bench.steps()
    assert bench.acts == ["save 0", "flush", "commit 9", "flush", "flush", "save 9"]


def test_where_a_sink_fails_nothing_is_committed_and_nothing_lost() -> None:
    bench = Bench(snapshot_every=0.0).feed(1, 2).start()
    bench.sink.fails = SinkError("broker is away", retriable=True)
    bench.steps()
    assert (bench.committed, bench.sink.safe, bench.acts) == (0, 0, ["save 0"])
    assert bench.counted("commits", "failed") == 1
    bench.steps()
    assert (bench.committed, bench.sink.safe) == (1, 2)
    bench.steps()
    assert (bench.committed, bench.sink.offsets()) == (2, [0, 0, 1, 1])


def test_while_results_cannot_be_delivered_nothing_more_is_read() -> None:
    bench = Bench(commit_every=5.0).feed(*[1.0] * 20).start().steps(3)
    bench.now = 5.0
    for _ in range(10):
        bench.sink.fails = SinkError("broker is away", retriable=True)
        bench.now += 5.0
        bench.steps()
    assert bench.log.end(HERE) - bench.source.lag()[HERE] == 4, "one step was under way"
    assert bench.runner.view.failing == {"delivery": "broker is away"}
    bench.sink.fails = None
    bench.now += 5.0
    bench.steps()
    bench.runner.publish()
    assert not bench.runner.view.failing
    bench.steps(30)
    bench.now += 5.0
    bench.steps()
    assert bench.committed == 20


def test_a_commit_that_fails_for_want_of_a_broker_is_shown_until_one_succeeds() -> None:
    bench = Bench(live=True).feed(1).start()
    bench.source.fails["poll"] = SourceError("broker is away", retriable=True)
    bench.steps()
    assert bench.runner.view.failing == {"source": "broker is away"}
    bench.steps()
    bench.runner.publish()
    assert not bench.runner.view.failing


def test_a_quiet_log_is_committed_again_so_that_an_outage_is_noticed() -> None:
    bench = Bench(confirm_every=30.0).feed(1).start().steps(2)
    bench.acts.clear()
    for bench.now in range(1, 62):
        bench.steps()
    assert [act for act in bench.acts if act != "flush"] == ["commit 1", "commit 1"]
    bench.source.fails["commit"] = SourceError("broker is away", retriable=True)
    bench.now = 100.0
    bench.steps()
    assert bench.runner.failing == {"delivery": "broker is away"}


def test_after_a_failure_only_a_commit_of_something_says_that_it_works_again() -> None:
    bench = Bench(confirm_every=30.0).feed(1).start().steps(2)
    bench.now = 31.0
    for _ in range(3):
        bench.source.fails["commit"] = SourceError("broker is away", retriable=True)
        bench.now += 1
        bench.steps()
        assert bench.runner.failing == {"delivery": "broker is away"}
    bench.acts.clear()
    bench.now += 1
    bench.steps()
    assert "commit 1" in bench.acts
    assert not bench.runner.failing


def test_a_step_takes_as_many_records_as_its_time_allows() -> None:
    bench = Bench(step_within=1.0)
    asked: list[int | None] = []
    poll = bench.source.poll

    def slow(timeout: float, most: int | None = None) -> Any:
        asked.append(most)
        return poll(timeout, most)

    process = bench.runner.pipeline.process

    def take_long(records: Any) -> Result:
        bench.now += 0.5 * len(records)
        return process(records)

    bench.source.poll = slow  # type: ignore[method-assign]
    bench.source.max_records = 1000
    bench.runner.pipeline.process = take_long  # type: ignore[method-assign]
    bench.feed(*[1.0] * 400).start().steps(20)
    assert asked[0] == 256
    assert set(asked[1:]) == {2}, "half a second each"
    bench.runner.pipeline.process = process  # type: ignore[method-assign]
    bench.steps(4)
    assert asked[-3:] == [4, 8, 16], "at most twice as many"


def test_many_results_are_delivered_before_the_time() -> None:
    bench = Bench(commit_every=1e9, most_held=6).feed(*[1.0] * 9).start().steps(9)
    assert bench.committed == 9, "three windows have six scores"
    assert bench.runner.counts["commits", "done"] == 3


def test_where_a_commit_fails_it_is_tried_again() -> None:
    bench = Bench().feed(1).start()
    bench.source.fails["commit"] = SourceError("the group changes", retriable=True)
    bench.steps()
    assert bench.committed == 0
    bench.steps()
    assert bench.committed == 1


@pytest.mark.parametrize("act", ["poll", "lag"])
def test_where_reading_fails_it_is_tried_again(act: str) -> None:
    bench = Bench(live=True).feed(1).start()
    bench.source.fails[act] = SourceError("broker is away", retriable=True)
    bench.steps(2)
    assert bench.committed == 1
    assert bench.counted(f"{act}s", "failed") == 1


@pytest.mark.parametrize("act", ["poll", "commit", "lag"])
def test_what_waiting_cannot_mend_ends_the_process(act: str) -> None:
    bench = Bench(live=True).feed(1).start()
    bench.source.fails[act] = SourceError("not allowed")
    with pytest.raises(SourceError, match="not allowed"):
        bench.steps()


def test_a_sink_that_cannot_be_mended_ends_the_process() -> None:
    bench = Bench().feed(1).start()
    bench.sink.fails = SinkError("no such topic")
    with pytest.raises(SinkError, match="no such topic"):
        bench.steps()
    assert bench.committed == 0


def test_a_snapshot_that_fails_is_told_and_stops_nothing() -> None:
    bench = Bench(snapshot_every=0.0).feed(1, 1).start()
    bench.snapshots.fails = StateError("disk full")
    bench.steps(2)
    assert bench.counted("snapshots", "failed") == 1
    assert bench.committed == 2
    assert bench.acts[-1] == "save 2"


def test_leaving_delivers_commits_saves_and_closes() -> None:
    bench = Bench(commit_every=1e9).feed(1, 1).start().steps(2)
    bench.runner.close()
    assert bench.acts == ["save 0", "flush", "commit 2", "save 2", "close"]
    assert not bench.runner.pipeline.partitions
    assert bench.runner.view.lanes == ()


def test_leaving_with_a_sink_that_fails_commits_and_saves_nothing() -> None:
    bench = Bench(commit_every=1e9).feed(1).start().steps()
    bench.sink.fails = SinkError("broker is away", retriable=True)
    bench.runner.close()
    assert bench.acts == ["save 0", "close"]
    assert bench.committed == 0


def test_the_sinks_are_closed_also_where_leaving_fails() -> None:
    bench = Bench(commit_every=1e9).feed(1).start().steps()
    bench.source.fails["commit"] = SourceError("not allowed")
    with pytest.raises(SourceError, match="not allowed"):
        bench.runner.close()
    assert bench.acts[-1] == "close"


def test_lost_partitions_are_forgotten_and_never_saved_or_committed() -> None:
    bench = Bench(commit_every=1e9).feed(1, 1).start().steps(2)
    bench.source.lose([HERE])
    bench.log.group("monitor").members.clear()
    bench.steps()
    bench.runner.deliver()
    assert bench.acts == ["save 0", "flush"]
    assert not bench.runner.custody.position
    assert not bench.runner.pipeline.partitions


def test_the_next_owner_goes_on_from_exactly_here() -> None:
    first = Bench().feed(*[1.0] * 8, 9).start().steps(9)
    first.runner.close()
    second = Bench(after=first).feed(9).start().steps()
    (alert,) = second.sink.results[0].alerts
    assert alert.offset == 9, "the ninth window was the first vote"
    assert second.counted("snapshots", "restored") == 1
    assert not second.runner.custody.notices


def test_after_a_crash_it_is_silent_below_the_commit() -> None:
    first = Bench(commit_every=1e9).feed(*range(1, 9)).start().steps(5)
    first.runner.deliver()
    first.steps(2)
    first.source.crash()
    second = Bench(after=first).start()
    assert second.runner.custody.position == {HERE: 0}
    second.steps(8)
    assert sorted(set(second.sink.offsets())) == [5, 6, 7]
    assert not second.runner.custody.silent


def test_a_missing_snapshot_is_told() -> None:
    first = Bench().feed(1, 1).start().steps(2)
    first.source.crash()
    first.snapshots.kept.clear()
    second = Bench(after=first).start()
    (notice,) = second.runner.custody.notices
    assert (notice.kind, notice.offset) == ("snapshot_missing", 2)
    assert notice.detail.startswith("no snapshot at or below the committed offset 2")
    assert second.counted("snapshots", "snapshot_missing") == 1
    assert second.acts == ["save 2"]


def test_a_snapshot_of_something_else_is_told_and_the_one_before_is_used() -> None:
    first = Bench(snapshot_every=0.0).feed(1, 1, 1).start().steps(3)
    first.source.crash()
    first.snapshots.replace_newest({"something": np.zeros(3)})
    second = Bench(after=first).start()
    assert second.runner.custody.position == {HERE: 2}
    assert [notice.kind for notice in second.runner.custody.notices] == ["snapshot_unreadable"]


def test_a_change_of_settings_keeps_what_fits_and_tells_the_rest() -> None:
    first = Bench().feed(1, 1).start().steps(2)
    first.runner.close()
    config = stream_config(threshold={"window": 64, "warm_up": 4})
    second = Bench(lambda: pipeline(stream(config)), after=first).start()
    assert [notice.kind for notice in second.runner.custody.notices] == ["state_dropped"] * 2
    assert {n.detail for n in second.runner.custody.notices} == {
        "vibration:*: threshold:energy starts warm",
        "vibration:*: threshold:level starts warm",
    }
    assert second.counted("snapshots", "state_dropped") == 2


def silent() -> Pipeline:
    return pipeline(stream(stream_config(alert=SILENCE)))


def test_time_passes_only_at_the_end_of_the_log() -> None:
    bench = Bench(silent, live=True).feed(1, 1).start()
    bench.steps()
    bench.now = 1e6
    assert bench.source.lag() == {HERE: 1}
    bench.steps()
    assert not bench.sink.offsets("alerts"), "a record has just come"
    bench.now += 10
    bench.steps()
    assert not bench.sink.offsets("alerts"), "ten seconds are allowed"
    bench.now += 0.1
    bench.steps()
    (alert,) = bench.sink.results[-1].alerts
    assert (alert.rule, alert.offset, alert.opened) == ("silence", 2, 17.0)


def test_a_jump_of_the_wall_clock_silences_nobody() -> None:
    bench = Bench(silent, live=True).feed(1, 1).start()
    bench.runner.clock = lambda: 1e9
    bench.steps(3)
    bench.runner.clock = lambda: -1e9
    bench.steps(3)
    assert not bench.sink.offsets("alerts")
    assert bench.committed == 2


def test_time_does_not_pass_in_a_replay() -> None:
    bench = Bench(silent, live=False).feed(1).start()
    bench.now = 1e6
    bench.steps(3)
    assert not bench.sink.offsets("alerts")


def test_time_does_not_pass_while_catching_up_in_silence() -> None:
    first = Bench(silent).feed(1, 1).start().steps(2)
    first.source.crash()
    first.log.group("monitor").committed[HERE] = 5
    second = Bench(silent, after=first, live=True).start()
    second.now = 1e6
    second.steps(2)
    assert not second.sink.offsets("alerts")


def test_what_a_tick_found_is_saved_with_the_next_commit() -> None:
    """No record says it, so after a crash only the snapshot knows who has to be resolved."""
    first = Bench(silent, live=True).feed(1).start().steps()
    first.now = 1e6
    first.steps()
    assert first.acts.count("save 1") == 1
    (opened,) = first.sink.results[-1].alerts
    first.source.crash()
    second = Bench(silent, after=first).feed(1).start()
    assert list(second.runner.pipeline.open_alerts) == [opened.id]
    second.steps()
    (ended,) = second.sink.results[0].alerts
    assert (ended.id, ended.phase) == (opened.id, "resolved")


def test_the_view_shows_what_is_known() -> None:
    bench = Bench(live=True).feed(*[1.0] * 8, 9, 9).start().steps(11)
    bench.runner.publish()
    view = bench.runner.view
    assert view.position == {HERE: 10}
    assert view.lag == {HERE: 0}
    assert [lane.sensors for lane in view.lanes] == [("pump",)]
    assert [alert.phase for alert in view.alerts] == ["firing"]
    assert [alert.id for alert in view.recent_alerts] == [view.alerts[0].id]
    assert view.counters["messages", "vibration"] == 10
    assert view.counters["windows_processed", "vibration", "scored"] == 10
    assert view.counters["samples", "vibration", "late"] == 0, "a counter is there from the start"
    assert view.counters["alerts", "vibration", "critical", "score"] == 1
    assert view.counters["commits", "done"] == 11
    assert sum(view.histograms["score_latency",].counts) == 20


def test_after_a_restart_the_view_shows_what_was_open() -> None:
    first = Bench().feed(*[1.0] * 8, 9, 9).start().steps(10)
    opened = dict(first.runner.pipeline.open_alerts)
    first.runner.close()
    second = Bench(after=first).start()
    second.runner.publish()
    (alert,) = second.runner.view.alerts
    assert alert.id in opened
    assert (alert.reason, alert.offset) == ("open since before", 10)


def test_a_view_is_published_at_its_pace() -> None:
    bench = Bench(view_every=5.0).start()
    bench.steps()
    for bench.now, published in [(1.0, 0.0), (5.0, 5.0), (9.0, 5.0)]:
        bench.steps()
        assert bench.runner.view.published == published


def test_it_runs_until_it_is_stopped() -> None:
    bench = Bench().feed(1, 1)
    poll = bench.source.poll

    def stop_at_the_end(timeout: float, most: int | None = None) -> Any:
        found = poll(timeout, most)
        if not found:
            bench.runner.stop()
        return found

    bench.source.poll = stop_at_the_end  # type: ignore[method-assign]
    bench.runner.run()
    assert bench.committed == 2
    assert bench.acts[-1] == "close"
    assert from_bytes(bench.snapshots.kept[HERE][2])


def test_after_an_error_it_leaves_at_once_and_saves_nothing() -> None:
    bench = Bench(commit_every=1e9).feed(1, 1)
    process = bench.runner.pipeline.process

    def fail_at_the_second(records: Any) -> Result:
        result = process(records)
        if any(record.offset == 1 for record in records):
            raise RuntimeError("half done")
        return result

    bench.runner.pipeline.process = fail_at_the_second  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="half done"):
        bench.runner.run()
    assert bench.committed == 0
    assert bench.acts[-1] == "close"
    assert "save 1" not in bench.acts
    assert "save 2" not in bench.acts
    assert not bench.log.group("monitor").members
