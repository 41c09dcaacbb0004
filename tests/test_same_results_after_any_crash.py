"""Whatever happens to the members of a group, what comes out is that of an undisturbed one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.connect.sinks import AtLeastOnce
from monitor.custody import Custody
from monitor.detect.online.online_iforest import OnlineIsolationForest
from monitor.runner import Runner
from monitor.stream import judge
from monitor.stream.alarm import Alarm
from monitor.stream.constants import Constants
from monitor.stream.guards import Guards
from monitor.stream.silence import Silence
from monitor.stream.threshold import RollingThreshold
from monitor.stream.window import Windower
from monitor.types import Array, Partition, Result, Slots, State
from tests.core.builders import Told
from tests.core.detectors import Level
from tests.core.snapshots import MemorySnapshots
from tests.core.world import DEATHS, STEPS, World

SCRIPTS = st.lists(st.sampled_from(["step"] * 10 + STEPS * 2 + DEATHS), max_size=40)
EVERY = st.sampled_from([0.0, 5.0, 1e9])
Mutation = Callable[[pytest.MonkeyPatch], None]


@cache
def undisturbed() -> Mapping[str, Told]:
    return World().run([]).told


@cache
def undisturbed_times() -> Mapping[str, Counter[tuple[object, ...]]]:
    return World().run([]).times


def test_the_undisturbed_run_has_something_to_lose() -> None:
    found = undisturbed()
    assert len(found["scores"]) > 600
    assert {alert[6] for alert in found["alerts"]} == {"firing", "resolved"}
    rules = {"score", "silence", "range", "stuck", "missing"}
    assert {alert[5] for alert in found["alerts"]} == rules
    assert len(found["rejected"]) >= 3
    assert {notice[4] for notice in found["notices"]} == {"level_adopted"}
    assert any(score[6] == "nan" for score in found["scores"])


@given(SCRIPTS, EVERY)
def test_results_may_repeat_but_never_differ(script: list[str], every: float) -> None:
    ledger = World(snapshot_every=every).run(script)
    assert ledger.told == undisturbed()
    assert not ledger.early, "sent again though it was committed"


@given(SCRIPTS, EVERY)
def test_in_transactions_results_come_exactly_once(script: list[str], every: float) -> None:
    ledger = World(snapshot_every=every, exactly_once=True).run(script)
    assert ledger.times == undisturbed_times()


def fixed_scripts() -> list[list[str]]:
    """Scripts for which the property above holds, rough enough to find what is broken: hand-offs
    after every poll, and each death again and again.
    """
    return [
        ["step", "leave"] * 15,
        ["step", "step", "step", "crash", "forget"] * 5,
        *(["step", "step", death, "step"] * 4 for death in DEATHS),
    ]


def broken(script: list[str]) -> bool:
    """Whether a script shows anything wrong; `trust` loads also snapshots ahead of the commit."""
    ledger = World(snapshot_every=2.0, trust=True).run(script)
    return ledger.told != undisturbed() or bool(ledger.early)


def broken_in_transactions(script: list[str]) -> bool:
    """The same where results come in transactions."""
    ledger = World(snapshot_every=2.0, trust=True, exactly_once=True).run(script)
    return ledger.times != undisturbed_times()


def test_the_fixed_scripts_find_nothing_wrong() -> None:
    assert not any(map(broken, fixed_scripts()))


def nothing_restored(part: type[Any]) -> Mutation:
    return lambda patch: patch.setattr(part, "restore", lambda self, state: None)


def zeros_restored(part: type[Any], name: str) -> Mutation:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        restore = part.restore

        def forgetful(self: Any, state: State) -> None:
            restore(self, {**state, name: np.zeros_like(state[name])})

        patch.setattr(part, "restore", forgetful)

    return mutate


def commit_before_flush(patch: pytest.MonkeyPatch) -> None:
    def commit(self: Any, offsets: Mapping[Partition, int]) -> None:
        self._source.commit(offsets)
        for sink in self._sinks:
            sink.flush()

    patch.setattr(AtLeastOnce, "commit", commit)


def flush_forgotten(patch: pytest.MonkeyPatch) -> None:
    def commit(self: Any, offsets: Mapping[Partition, int]) -> None:
        self._source.commit(offsets)

    patch.setattr(AtLeastOnce, "commit", commit)


def snapshot_before_commit(patch: pytest.MonkeyPatch) -> None:
    deliver = Runner.deliver

    def early(self: Any) -> bool:
        self.custody.save(self.custody.position)
        return deliver(self)

    patch.setattr(Runner, "deliver", early)


def not_silent_below_the_commit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Result, "since", lambda self, marks: self)


def silent_for_ever(patch: pytest.MonkeyPatch) -> None:
    def move(self: Custody, result: Result) -> None:
        self.position.update(result.offsets)

    def since(self: Result, marks: Mapping[Partition, int]) -> Result:
        return Result(
            [s for s in self.scores if s.partition not in marks],
            [a for a in self.alerts if a.partition not in marks],
            [r for r in self.rejected if r.record.partition not in marks],
            [n for n in self.notices if n.partition not in marks],
            offsets=self.offsets,
        )

    patch.setattr(Custody, "move", move)
    patch.setattr(Result, "since", since)


def read_on_at_the_commit(patch: pytest.MonkeyPatch) -> None:
    """As if a snapshot were always as new as the commit."""
    assigned = Runner.assigned

    def skip(self: Runner, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        assigned(self, committed)
        return committed

    patch.setattr("tests.core.world.Runner.assigned", skip)


def no_first_snapshot(patch: pytest.MonkeyPatch) -> None:
    save = MemorySnapshots.save

    def later(self: MemorySnapshots, partition: Partition, offset: int, state: State) -> None:
        if offset:
            save(self, partition, offset, state)

    patch.setattr(MemorySnapshots, "save", later)


BREAKS_HAND_OFF: dict[str, Mutation] = {
    "commit before flush": commit_before_flush,
    "no flush": flush_forgotten,
    "snapshot before commit": snapshot_before_commit,
    "no first snapshot": no_first_snapshot,
    "not silent below the commit": not_silent_below_the_commit,
    "silent for ever": silent_for_ever,
    "read on at the commit": read_on_at_the_commit,
    "windower forgotten": nothing_restored(Windower),
    "silence forgotten": nothing_restored(Silence),
    "alarm forgotten": nothing_restored(Alarm),
    "guards forgotten": nothing_restored(Guards),
    "values of stuck channels forgotten": zeros_restored(Guards, "since"),
    "warm-up forgotten": nothing_restored(Constants),
    "threshold forgotten": nothing_restored(RollingThreshold),
    "online detector forgotten": nothing_restored(OnlineIsolationForest),
    "random numbers of the forest begin anew": zeros_restored(OnlineIsolationForest, "draws"),
    "random numbers of the level begin anew": zeros_restored(Level, "drawn"),
    "cool-down forgotten": zeros_restored(Alarm, "rest_until"),
    "votes of earlier windows forgotten": zeros_restored(Alarm, "history"),
}


@pytest.mark.parametrize("name", BREAKS_HAND_OFF)
def test_the_fixed_scripts_find_a_broken_hand_off(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = undisturbed()
    BREAKS_HAND_OFF[name](monkeypatch)
    if name != "no flush":
        assert World().run([]).told == truth, "only a hand-off shows the difference"
    assert any(map(broken, fixed_scripts()))


def lost_without_an_abort(patch: pytest.MonkeyPatch) -> None:
    def lost(self: Runner, partitions: Sequence[Partition]) -> None:
        self._drop(partitions, "partition lost")

    patch.setattr(Runner, "lost", lost)


def only_the_lost_begin_anew(patch: pytest.MonkeyPatch) -> None:
    def lost(self: Runner, partitions: Sequence[Partition]) -> None:
        self.delivery.abort()
        self._drop(partitions, "partition lost")

    patch.setattr(Runner, "lost", lost)


def offsets_before_results(patch: pytest.MonkeyPatch) -> None:
    """As if the two were not in one transaction; the ledger loses what a later act kills."""

    def deliver(self: Runner) -> bool:
        self.source.commit(self.custody.due())
        return real(self)

    real = Runner.deliver
    patch.setattr(Runner, "deliver", deliver)


BREAKS_TRANSACTIONS: dict[str, Mutation] = {
    "lost without an abort": lost_without_an_abort,
    "only what is lost begins anew": only_the_lost_begin_anew,
    "offsets before results": offsets_before_results,
    "nothing begins anew": lambda patch: patch.setattr(Runner, "_begin_anew", Runner._void),
    "read on at the commit": read_on_at_the_commit,
    "silent for ever": silent_for_ever,
    "not silent below the commit": not_silent_below_the_commit,
}


def scripts_for_transactions() -> list[list[str]]:
    """Some partitions are lost while results of others wait in the same transaction."""
    return [*fixed_scripts(), ["step", "lose"] * 10, ["step", "join", "lose", "step"] * 5]


def test_the_fixed_scripts_find_nothing_wrong_in_transactions() -> None:
    assert not any(map(broken_in_transactions, scripts_for_transactions()))


@pytest.mark.parametrize("name", BREAKS_TRANSACTIONS)
def test_the_fixed_scripts_find_a_broken_transaction(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed_times()
    BREAKS_TRANSACTIONS[name](monkeypatch)
    assert any(map(broken_in_transactions, scripts_for_transactions()))


def all_in_one_round(slots: Slots) -> list[Slots]:
    return [np.arange(len(slots))]


def newest_first(slots: Slots) -> list[Slots]:
    return [np.array([i]) for i in range(len(slots))][::-1]


def judged_by_the_future(patch: pytest.MonkeyPatch) -> None:
    """Thresholds that have seen the score they judge."""
    update, cuts = RollingThreshold.update, RollingThreshold.cuts
    seen: list[Array] = []

    def late(self: RollingThreshold, slots: Slots, raw: Array, held: Any = None) -> Any:
        adopted = update(self, slots, raw, held)
        if len(slots):
            seen.append(cuts(self, slots))
        return adopted

    patch.setattr(RollingThreshold, "update", late)
    patch.setattr(judge, "_alarm_round", with_cuts(judge._alarm_round, seen))


def with_cuts(alarm_round: Any, results: list[Array]) -> Any:
    def replaced(lane: Any, slots: Slots, rows: Slots, ends: Any, out: Any) -> None:
        out.cuts[rows] = np.concatenate(results, axis=1)
        results.clear()
        alarm_round(lane, slots, rows, ends, out)

    return replaced


BREAKS_ORDER: dict[str, Mutation] = {
    "newest window first": lambda patch: patch.setattr(judge, "rounds", newest_first),
    "thresholds after learning": judged_by_the_future,
}


@pytest.mark.parametrize("name", BREAKS_ORDER)
def test_a_broken_order_of_learning_changes_results(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = undisturbed()
    BREAKS_ORDER[name](monkeypatch)
    assert World().run([]).told != truth


def test_a_round_with_a_sensor_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed()
    monkeypatch.setattr(judge, "rounds", all_in_one_round)
    with pytest.raises(AssertionError, match="at most once"):
        World().run([])


def test_no_kernel_leaves_its_arrays() -> None:
    """The same in a process where nothing is compiled, so that every index is checked."""
    script = "from tests.core.world import World; World().run(['step', 'leave'] * 5)"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
