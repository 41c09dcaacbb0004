"""`process(a + b)` is `process(a)` and then `process(b)`, wherever it is cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stream.pipeline import Pipeline
from monitor.types import Partition, Record, Result
from tests.core.builders import Told, told
from tests.core.detectors import Energy
from tests.core.world import everything, filled_log, new_pipeline

LOG = filled_log()
RECORDS = everything(LOG)


def opened() -> Pipeline:
    pipeline = new_pipeline()
    for partition in LOG.partitions:
        pipeline.open(partition, None)
    return pipeline


def through(calls: Sequence[Sequence[Record]]) -> tuple[list[Result], Pipeline]:
    pipeline = opened()
    return [pipeline.process(call) for call in calls], pipeline


def joined(results: Sequence[Result]) -> Result:
    return Result(
        [score for result in results for score in result.scores],
        [alert for result in results for alert in result.alerts],
        [rejected for result in results for rejected in result.rejected],
        [notice for result in results for notice in result.notices],
    )


@cache
def one_by_one() -> tuple[dict[str, Told], list[str]]:
    results, pipeline = through([[record] for record in RECORDS])
    return told(joined(results)), sorted(pipeline.open_alerts)


@given(st.lists(st.integers(0, len(RECORDS)), max_size=12))
@settings(max_examples=30)
def test_neither_the_number_of_calls_matters_nor_their_sizes(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(RECORDS)]
    calls = [RECORDS[low:high] for low, high in pairwise(edges)]
    results, pipeline = through(calls)
    assert (told(joined(results)), sorted(pipeline.open_alerts)) == one_by_one()


@given(st.randoms(use_true_random=False), st.integers(1, 60))
@settings(max_examples=30)
def test_it_does_not_matter_how_partitions_are_interleaved(random: Random, size: int) -> None:
    waiting = {p: LOG.read(p, 0, LOG.end(p)) for p in LOG.partitions}
    calls: list[list[Record]] = []
    while any(waiting.values()):
        partition = random.choice([p for p, records in waiting.items() if records])
        calls.append(waiting[partition][:size])
        waiting[partition] = waiting[partition][size:]
    results, _ = through(calls)
    assert told(joined(results)) == one_by_one()[0]


def test_results_come_in_the_order_of_offsets_and_say_where_to_go_on() -> None:
    (result,), pipeline = through([RECORDS])
    assert result.offsets == {p: LOG.end(p) for p in LOG.partitions}
    for partition in LOG.partitions:
        for offsets in offsets_of(result, partition):
            assert offsets
            assert offsets == sorted(offsets)
    assert {p: s.next_offset for p, s in pipeline.partitions.items()} == result.offsets


def offsets_of(result: Result, partition: Partition) -> list[list[int]]:
    scores = [score.offset for score in result.scores if score.partition == partition]
    alerts = [alert.offset for alert in result.alerts if alert.partition == partition]
    return [scores, alerts]


def test_alerts_that_fired_and_did_not_resolve_are_open() -> None:
    (result,), pipeline = through([RECORDS])
    phases = {alert.id: alert.phase for alert in result.alerts}
    assert set(pipeline.open_alerts) == {i for i, phase in phases.items() if phase == "firing"}


def test_trained_models_are_called_once_for_all_sensors_and_partitions() -> None:
    pipeline = opened()
    scorer = pipeline.streams[0].lanes[0].scorers[0]
    pipeline.process(RECORDS[:100])
    assert isinstance(scorer, Energy)
    assert len(scorer.calls) == 1
    assert scorer.calls[0] > 20
