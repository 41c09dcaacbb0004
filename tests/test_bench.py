"""The benchmark, small: the shape of what it reports, and that both sides do the same work."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from monitor.detect.deep.training import one_thread
from monitor.errors import ConfigError
from monitor.model import Model
from monitor.offline import bench
from monitor.offline.bench.main import CHUNKS, difference, scored
from monitor.offline.bench.measure import Side, Simple, Slice, compare, interleave, settled_heap
from monitor.offline.bench.naive import FOREST as PEER_FOREST
from monitor.offline.bench.naive import Naive, eager
from monitor.offline.bench.ours import FOREST, NETS, Feed, Ours, configuration
from monitor.offline.bench.report import Report
from monitor.offline.bench.trained import multiplications, sizes, train_nets
from monitor.offline.bench.workload import BEGIN, STREAM, Workload
from monitor.stream.codec import make_codec

TINY = bench.Options(
    0.01, 0.001, sensors=64, pool=32, training=200, epochs=1, settled=3, arrivals=40
)
WORKLOAD = Workload(TINY.sensors, TINY.pool)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def models(store: Path) -> list[Model]:
    return train_nets(WORKLOAD, TINY.training, TINY.epochs, store)


@pytest.fixture(scope="module")
def report() -> Report:
    return bench.run_bench(TINY)


def test_the_json_has_every_comparison_with_its_five_keys(report: Report) -> None:
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    names = [result["name"] for result in found["results"]]
    assert names[:2] == ["pipeline/batch=64", "pipeline/batch=8"]
    for result in found["results"]:
        assert result.keys() >= {"name", "ours_us", "peer", "peer_us", "ratio"}
        assert min(result["ours_us"], result["peer_us"], result["ratio"]) > 0
        assert result["low"] <= result["ratio"] <= result["high"]
    for part in ("forest/25x8/sensors=64", "decode", "threshold/river", "conv_ae/batch=8"):
        assert part in names


def test_the_json_says_how_it_was_measured(report: Report) -> None:
    found = report.as_json()
    assert "process_time" in found["clock"]
    assert found["machine"]["cpu"]
    assert {"python", "torch", "river", "numpy"} <= found["versions"].keys()
    for net in NETS:
        assert found["work"]["nets"][net]["parameters"] > 1000
        assert found["work"]["nets"][net]["macs"] > found["work"]["nets"][net]["parameters"]


def test_stages_add_up_to_the_whole_path(report: Report) -> None:
    assert set(report.stages) == set(CHUNKS)
    for stages in report.stages.values():
        parts = {name: us for name, us in stages.items() if name != "total"}
        assert {"decode", "window", "statistics", *NETS, FOREST, "thresholds"} <= parts.keys()
        assert {"alarm", "tell", "metrics", "between"} <= parts.keys()
        assert sum(parts.values()) == pytest.approx(stages["total"])


def test_latency_is_told_for_each_size_of_call(report: Report) -> None:
    assert [found.chunk for found in report.latency] == list(CHUNKS)
    for found in report.latency:
        assert 0 < found.p50_ms <= found.p99_ms <= found.longest_ms


@pytest.mark.parametrize("chunk", CHUNKS)
def test_both_sides_score_the_same_windows_alike(
    models: list[Model], store: Path, chunk: int
) -> None:
    naive, ours = Naive(WORKLOAD, models), Ours(WORKLOAD, store, chunk)
    theirs = scored(naive, TINY.sensors)
    assert difference(ours, theirs) < 1e-4
    mine = [score for result in ours.newest.results for score in result.scores]
    assert len(mine) == 3 * TINY.sensors
    assert {score.detector for score in mine} == {*NETS, FOREST}
    assert all(row.keys() == {*NETS, PEER_FOREST} for row in theirs)


def test_other_windows_would_be_noticed(models: list[Model], store: Path) -> None:
    ours = Ours(WORKLOAD, store, 8)
    theirs = scored(Naive(WORKLOAD, models), TINY.sensors)
    assert difference(ours, theirs[::-1]) > 1e-3


def test_our_side_takes_full_polls_and_shows_every_sensor(models: list[Model], store: Path) -> None:
    ours = Ours(WORKLOAD, store, 8)
    ours.prepare(2 * TINY.sensors)()
    assert {len(result.scores) for result in ours.newest.results if result.scores} == {3 * 8}
    assert not ours.feed.waiting
    page = ours.show().decode()
    assert page.count("monitor_anomaly_score{") == 3 * TINY.sensors


def test_the_net_is_the_same_in_eager_torch(models: list[Model]) -> None:
    window = WORKLOAD.windows[:1]
    for model in models:
        constants = np.array([[[0.0], [1.0]]], np.float32)
        assert eager(model, window[0]) == pytest.approx(
            float(model.score(window, constants)[0]), rel=1e-4
        )


@given(st.integers(0, 200), st.integers(1, 100))
def test_a_window_does_not_depend_on_who_asks(begin: int, count: int) -> None:
    every = list(WORKLOAD.items(0, begin + count))
    assert list(WORKLOAD.items(begin, count)) == every[begin:]
    assert [item.number for item in every] == list(range(begin + count))


def test_each_second_has_each_sensor_once() -> None:
    items = list(WORKLOAD.items(0, 3 * TINY.sensors))
    for second in range(3):
        ours = [item for item in items if item.start == BEGIN + second]
        assert sorted(item.sensor for item in ours) == list(range(TINY.sensors))


def test_both_encodings_hold_the_same_window(tmp_path: Path) -> None:
    codec = make_codec(configuration(tmp_path, 8).streams[STREAM])
    for item in WORKLOAD.items(0, 50):
        (binary,) = codec.decode(WORKLOAD.record(item))
        text = json.loads(WORKLOAD.text(item))
        assert (text["sensor"], text["time"]) == (binary.sensor, binary.start)
        assert np.array_equal(np.array([text["values"]], np.float32), binary.data)


def test_the_feed_gives_its_records_in_order_and_no_more_than_a_poll() -> None:
    feed = Feed(8)
    records = [WORKLOAD.record(item) for item in WORKLOAD.items(0, 20)]
    feed.waiting.extend(records)
    polls: list[Sequence[Any]] = [feed.poll(0.0) for _ in range(4)]
    assert [len(poll) for poll in polls] == [8, 8, 4, 0]
    assert [record for poll in polls for record in poll] == records


def test_sides_take_turns_and_the_order_is_turned_round() -> None:
    calls: list[str] = []

    def side(name: str) -> Side:
        def work() -> None:
            calls.append(name)
            sum(range(200_000))

        return Simple(1, lambda n: work)

    with settled_heap():
        found = interleave([side("a"), side("b")], 0.004, 0.001)
    assert [len(slices) for slices in found] == [4, 4]
    assert calls[-8:] == ["b", "a", "a", "b", "b", "a", "a", "b"]


def test_a_ratio_is_the_median_over_pairs() -> None:
    ours = [Slice(10, 1.0, 2.0), Slice(10, 2.0, 2.0), Slice(10, 1.0, 2.0)]
    theirs = [Slice(5, 5.0, 9.0), Slice(5, 5.0, 9.0), Slice(5, 50.0, 90.0)]
    found = compare("x", "peer", ours, theirs)
    assert found.ratio == 10.0
    assert found.ours_us == pytest.approx(1e5)
    assert found.peer_us == pytest.approx(1e6)
    assert found.pairs == 3


def test_multiplications_are_counted_per_weight_and_place() -> None:
    down = nn.Conv1d(2, 3, 4, stride=4)  # 16 places of 3 x 2 x 4 weights
    up = nn.ConvTranspose1d(3, 1, 4, stride=4)  # 16 places of 3 x 1 x 4 weights
    net = nn.Sequential(down, up, nn.Flatten(), nn.Linear(64, 5))
    assert multiplications(net, (2, 64)) == 16 * 24 + 16 * 12 + 64 * 5


def test_sizes_are_those_of_the_nets(models: list[Model]) -> None:
    assert list(sizes(models)) == list(NETS)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
def test_a_senseless_time_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match="any number over 0"):
        bench.run(seconds)


def test_a_missing_folder_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        bench.run(1.0, tmp_path / "absent" / "bench.json")


def test_torch_gets_its_threads_back() -> None:
    threads = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads
