"""The whole pipeline: what hostile messages do to grid, thresholds, silence and eviction, and that
they do nothing to the scores of other sensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from monitor.connect.messages import (
    alert_message,
    notice_message,
    rejected_message,
    score_message,
)
from monitor.detect.online.online_iforest import OnlineIsolationForest
from monitor.errors import DecodeError
from monitor.features.statistics import STATISTICS
from monitor.model import Model
from monitor.protocols import Scorer
from monitor.recipe import Recipe, train
from monitor.settings import StreamConfig
from monitor.stream.codec import Codec, encode_float32, make_codec
from monitor.stream.lane import LaneSpec, OnlineSpec
from monitor.stream.partition import Stream
from monitor.stream.pipeline import Pipeline
from monitor.types import Partition, Record, Result, Samples, Score
from tests.fuzz.documents import as_json, as_msgpack
from tests.fuzz.draws import Draws
from tests.fuzz.messages import NOW, TREES, WORDS, around, message, record_of
from tests.fuzz.target import ACCEPTED, demand

WITNESSES = ("witness-1", "witness-2")
EVERY = 16
_WINDOW = {"length": "4s", "hop": "2s", "rate": 4, "channels": ["x", "y", "z"], "lateness": "2s"}
_KINDS: Sequence[tuple[str, dict[str, Any]]] = (
    ("float32", {"fill": "linear", "max_gap": "1s"}),
    ("json", {"fill": "hold", "max_gap": "9s"}),
    ("msgpack", {}),
)


def settings(kind: str, window: dict[str, Any]) -> StreamConfig:
    """A stream with few slots and short memories, so that all of them turn over and over."""
    return StreamConfig.model_validate(
        {
            "topics": [kind],
            "format": kind,
            "window": _WINDOW | window,
            "models": [{"use": ["mahalanobis:pumps", "online_iforest"]}],
            "unknown_sensors": "warm_up" if kind == "json" else "group",
            "warm_up": 3,
            "threshold": {"window": 64, "quantile": 0.9, "warm_up": 8, "adopt": 12},
            "alert": {"raise": "2 of 3", "clear": "2 below 0.9", "silence": "30s"},
            "limits": {"sensors": 48, "sensor_ttl": "1h"},
            "event_time": {"late": "dead_letter", "duplicate": "last"},
        }
    )


def trained() -> Scorer:
    """A real model of the product, trained in a blink."""
    random = np.random.default_rng(0)
    recipe = Recipe(
        detector="mahalanobis", name="pumps", shape=(3, 16), channels=("x", "y", "z"), rate=4.0
    )
    windows = {f"pump-{i}": random.normal(i, 1, (40, 3, 16)).astype(np.float32) for i in range(2)}
    return train(recipe, windows, clock=lambda: NOW)


def pipeline(scorer: Scorer) -> Pipeline:
    """Three streams, one of each format, each with a partition of its own."""
    forest = OnlineSpec(
        "online_iforest",
        lambda: OnlineIsolationForest((3, len(STATISTICS)), trees=4, window=16, leaf=2),
        "statistics",
        "forest",
    )
    streams = []
    codecs: dict[str, Codec] = {}
    for kind, window in _KINDS:
        stream = settings(kind, window)
        lanes = (LaneSpec(kind, "*", stream, (scorer,), (forest,)),)
        streams.append(Stream(kind, stream, lanes))
        codecs[kind] = make_codec(stream)
    made = Pipeline(streams, codecs)
    for kind, _ in _KINDS:
        made.open(Partition(kind, 0), None)
    return made


class Streams:
    """Each payload is a record of a hostile sensor. After every few of them sound records of the
    witnesses follow, which a second pipeline gets too, without the hostile ones: what both say of
    the witnesses must be the same to the last bit.
    """

    name = "pipeline"
    longest = 16_384
    words = (*WORDS["float32"], *WORDS["json"], *WORDS["msgpack"])

    def __init__(self) -> None:
        self._model = trained()
        assert isinstance(self._model, Model)
        self._draws = Draws(1)
        self._partitions = [Partition(kind, 0) for kind, _ in _KINDS]
        self._begin()

    def _begin(self) -> None:
        self._disturbed, self._quiet = pipeline(self._model), pipeline(self._model)
        self._offset = 0
        self._turn = 0

    def sound(self, draws: Draws) -> bytes:
        place = draws.below(len(_KINDS))
        kind, _ = _KINDS[place]
        value = message(draws, kind, TREES[0])
        return bytes([place, draws.below(100)]) + around(draws, value)[1:]

    def run(self, payload: bytes) -> str:
        """The first byte chooses the stream."""
        try:
            return self._run(payload)
        except BaseException:
            self._begin()  # the state may be anything now
            raise

    def _run(self, payload: bytes) -> str:
        where = self._partitions[payload[0] % len(_KINDS) if payload else 0]
        self._offset += 1
        record = _sent(payload[1:], where, NOW + self._turn)._replace(offset=self._offset)
        if _sensors(self._disturbed.codecs[where.topic], record).intersection(WITNESSES):
            return "named like a witness"
        result = self._disturbed.process([record])
        check_result(result)
        if self._offset % EVERY == 0:
            self._testify()
        return result.rejected[0].reason if result.rejected else ACCEPTED

    def _testify(self) -> None:
        self._turn += 1
        for where in self._partitions:
            records = [self._of_witness(name, where) for name in WITNESSES]
            seen, expected = self._disturbed.process(records), self._quiet.process(records)
            check_result(seen)
            demand(told(seen.scores) == told(expected.scores), "others' scores stay the same")
            demand(not seen.rejected, "others' messages stay accepted")

    def _of_witness(self, name: str, where: Partition) -> Record:
        self._offset += 1
        time = NOW + self._turn
        data = self._draws.normal(3, 4)
        if where.topic == "float32":
            value = encode_float32(Samples(name, time, data))
        else:
            document = {"values": data.tolist(), "time": time}
            value = (as_json if where.topic == "json" else as_msgpack)(document)
        return Record(where, self._offset, name.encode(), time, value)


def _sent(payload: bytes, where: Partition, now: float) -> Record:
    """As `record_of`, from one of a hundred sensors. The time stamp is the broker's, or one that a
    broker takes from a producer: old, or none.
    """
    record = record_of(payload)
    record = record._replace(partition=where, time=record.time if record.time <= 0 else now)
    number = payload[0] if payload else 0
    return record._replace(key=f"pump-{number}".encode()) if number < 100 else record


def _sensors(codec: Codec, record: Record) -> set[str]:
    try:
        return {samples.sensor for samples in codec.decode(record)}
    except DecodeError:
        return set()


def told(scores: Iterable[Score]) -> list[tuple[object, ...]]:
    """What is said of the witnesses, bit by bit."""
    return [
        (s.sensor, s.detector, s.time, float(s.raw).hex(), float(s.threshold).hex())
        for s in scores
        if s.sensor in WITNESSES
    ]


def check_result(result: Result) -> None:
    """What is promised to consumers, and that all of it can be written down."""
    for score in result.scores:
        demand(math.isnan(score.raw) or 0 <= score.raw < math.inf, "a raw score of 0 or more")
        demand(score.threshold > 0, "a threshold over 0")
        demand(math.isnan(score.raw) or not math.isnan(score.value), "a value with every score")
        demand(math.isfinite(score.time), "a time with every score")
        score_message(score)
    for alert in result.alerts:
        demand(math.isfinite(alert.opened) and math.isfinite(alert.time), "times of alerts")
        demand(abs(sum(alert.channels.values()) - 1) < 1e-3 or not alert.channels, "shares")
        alert_message(alert)
    for rejected in result.rejected:
        rejected_message(rejected)
    for notice in result.notices:
        demand(len(notice.detail) < 10_000, "a notice that people can read")
        notice_message(notice)
