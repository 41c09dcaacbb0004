"""Snapshots: the files, and what is made of states that have a right checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.arrays import from_bytes, to_bytes
from monitor.connect.kafka.compacted import Message
from monitor.connect.kafka.index import Generation
from monitor.connect.kafka.snapshots import TopicSnapshots
from monitor.connect.snapshots import DirectorySnapshots
from monitor.errors import StateError
from monitor.stream.codec import encode_float32
from monitor.types import Partition, Record, Samples, State
from tests.compacted import MemoryTopic
from tests.fuzz.draws import Draws
from tests.fuzz.messages import NOW
from tests.fuzz.stream import check_result, pipeline, trained
from tests.fuzz.target import ACCEPTED, demand

HERE = Partition("float32", 0)
_SENSORS = ("pump-1", "pump-2", "witness-1")
_HEADERS = (
    b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}', b'"dtype":"BF16"',
    b'"dtype":"F8_E4M3"', b'"shape":[9223372036854775807,2]',
    b'"data_offsets":[0,18446744073709551615]', b'"__metadata__":{}',
    b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\0" * 8, b"[" * 200, b"9" * 40, b"-1", b"null", b"{}",
    b'"\\ud800"', b'"format": 2', b'"format": true', b'"offset"', b'"size": 0', b'"sha256": ""',
    b"1e999", b"\n",
)  # fmt: skip


def sound_state() -> State:
    """A state as it is after some minutes, with an alert open and a sensor that warms up."""
    running = pipeline(trained())
    random = np.random.default_rng(3)
    for turn in range(40):
        level = 40.0 if turn > 34 else 1.0
        records = [
            _record(3 * turn + i, sensor, turn, level * random.normal(size=(3, 4)))
            for i, sensor in enumerate(_SENSORS)
            if sensor != "pump-2" or turn < 20
        ]
        check_result(running.process(records))
    return running.partitions[HERE].state()


def _record(offset: int, sensor: str, turn: int, data: NDArray[Any]) -> Record:
    time = NOW + turn
    value = encode_float32(Samples(sensor, time, data.astype(np.float32)))
    return Record(HERE, offset, sensor.encode(), time, value)


class SafetensorFiles:
    """`arrays.from_bytes`, which reads weights and snapshots."""

    name = "arrays (safetensors)"
    words = _HEADERS
    longest = 8_192

    def sound(self, draws: Draws) -> bytes:
        kinds = ("f4", "f8", "i8", "u1", "?", "f2", "i1", "u8")
        shapes = ((), (0,), (3,), (2, 3), (1, 1, 4))
        arrays = {
            f"part/{i}": draws.normal(*draws.one(shapes)).astype(draws.one(kinds))
            for i in range(draws.below(5))
        }
        return to_bytes(arrays)

    def run(self, payload: bytes) -> str:
        try:
            found = from_bytes(payload)
        except StateError:
            return "StateError"
        demand(sum(array.nbytes for array in found.values()) <= len(payload), "no more than came")
        return ACCEPTED


class SnapshotFiles:
    """`DirectorySnapshots`: a file that may be anything, beside an older sound one."""

    name = "snapshot files"
    words = _HEADERS
    longest = 16_384

    def __init__(self, folder: Path) -> None:
        self._snapshots = DirectorySnapshots(folder, 2)
        state: State = {"clock": np.zeros(3), "names": np.frombuffer(b"abc", np.uint8)}
        self._snapshots.save(HERE, 5, state)
        self._folder = folder / HERE.topic / str(HERE.number)
        self._sound = (self._folder / f"{5:020d}.snapshot").read_bytes()

    def sound(self, draws: Draws) -> bytes:
        return self._sound

    def run(self, payload: bytes) -> str:
        path = self._folder / f"{9:020d}.snapshot"
        path.write_bytes(payload)
        snapshots = DirectorySnapshots(self._folder.parents[1], 2)
        outcome = ACCEPTED
        try:
            snapshots.load(HERE, 9)
        except StateError:
            outcome = "StateError"
            demand(list(snapshots.offsets(HERE)) == [5], "a damaged one is not named again")
        path.unlink(missing_ok=True)
        path.with_suffix(".damaged").unlink(missing_ok=True)
        demand(len(snapshots.load(HERE, 5)) == 2, "the older one serves")
        return outcome


class States:
    """A snapshot whose checksum is right and whose arrays are not: it is restored, then works."""

    name = "states of partitions"
    words = _HEADERS
    longest = 262_144

    def __init__(self, folder: Path) -> None:
        self._scorer = trained()
        self._state = sound_state()
        self._snapshots = DirectorySnapshots(folder, 2)
        self._path = folder / HERE.topic / str(HERE.number) / f"{9:020d}.snapshot"
        self._path.parent.mkdir(parents=True)

    def sound(self, draws: Draws) -> bytes:
        state = dict(self._state)
        for _ in range(1 + draws.below(3)):
            name = draws.one(sorted(state))
            changed = draws.one(_CHANGES)(draws, state[name])
            if changed is None:
                del state[name]
            else:
                state[name] = changed
        return to_bytes(state)

    def run(self, payload: bytes) -> str:
        head = {"format": 1, "size": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
        self._path.write_bytes(json.dumps(head).encode() + b"\n" + payload)
        running = pipeline(self._scorer)
        try:
            told = running.open(HERE, self._snapshots.load(HERE, 9), 9)
        except StateError:
            self._path.with_suffix(".damaged").unlink(missing_ok=True)
            return "StateError"
        for turn in (41, 42, 43, 200):
            check_result(running.process(list(_further(turn))))
        check_result(running.tick(HERE, 1000.0))
        demand(len(running.views()) == 3, "something to show")
        again = pipeline(self._scorer)
        again.open(HERE, running.partitions[HERE].state(), 600)
        return "some parts" if told else ACCEPTED


def _further(turn: int) -> list[Record]:
    data = np.full((3, 4), 1.0 + turn % 3)
    names = (*_SENSORS, f"new-{turn}")
    return [_record(10 * turn + i, name, turn, data) for i, name in enumerate(names)]


def scattered(draws: Draws, array: NDArray[Any]) -> NDArray[Any]:
    """Some numbers at the limits of their type."""
    changed = np.array(array)
    limits: Sequence[Any] = (0, 1, True)
    if array.dtype.kind == "f":
        limits = (np.nan, np.inf, -np.inf, -1.0, 0.0, 1e300, 3e38, 5e-324)
    elif array.dtype.kind in "iu":
        found = np.iinfo(array.dtype)
        limits = (found.min, found.max, found.max // 2, 0, 1, max(-1, found.min), 127)
    for _ in range(1 + draws.below(4)):
        if changed.size:
            with np.errstate(over="ignore"):
                changed.flat[draws.below(changed.size)] = draws.one(limits)
    return changed


_NAMES: Sequence[bytes] = (
    b'["pump-1", "pump-1"]', b'["\\ud800"]', b"[1, null]", b"[" * 5000, b"{}", b'["a", "", "b"]',
    b"\xff", b'["pump-1", "pump-2", "witness-1", "x"]', b'[""]', b"[]", b'["float32:*", 1]',
    b'[["a"]]', b"9" * 5000,
)  # fmt: skip
_Change = Callable[[Draws, NDArray[Any]], "NDArray[Any] | None"]
_CHANGES: Sequence[_Change] = (
    scattered,
    scattered,
    scattered,
    scattered,
    lambda draws, array: None,
    lambda draws, array: array[:-1] if array.ndim else array[None],
    lambda draws, array: np.concatenate([array, array]) if array.ndim else array[None],
    lambda draws, array: np.zeros(array.shape, draws.one(("f4", "f8", "i8", "u1", "?", "i4"))),
    lambda draws, array: array.reshape(-1),
    lambda draws, array: array[..., None],
    lambda draws, array: np.zeros((0, *array.shape[1:]), array.dtype),
    lambda draws, array: np.frombuffer(draws.one(_NAMES), np.uint8),
)


class TopicEntries:
    """`TopicSnapshots`: the index and the pieces in a topic, some of them another's."""

    name = "snapshots in a topic"
    words = (
        *_HEADERS,
        b'["snapshot","g","float32",0,',
        b"-1",
        b"1e400",
        b"Infinity",
        b"NaN",
        b"\x04\x22\x4d\x18",
    )
    longest = 4_096

    def __init__(self) -> None:
        self._topic = MemoryTopic(partitions=3, largest=65_536)
        self._store = TopicSnapshots(self._topic, "g", 2)
        self._store.save(HERE, 5, {"clock": np.zeros(3)})
        self._logs = {place: list(log) for place, log in self._topic.logs.items()}
        self._body = b"".join(e.value or b"" for e in self._logs.get(1, []) + self._logs.get(2, []))

    def sound(self, draws: Draws) -> bytes:
        """A key, a value and a piece, one line each; those of the index first."""
        place = draws.below(3)
        made = Generation("g", HERE, 9, "run", 1, 2, place, 1, 0, len(self._body), "x", "w")
        if draws.chance(0.5):
            return _entry(draws, made.key, made.entry().value or b"", self._body)
        told = {
            "format": 1,
            "claim": 2,
            "place": place,
            "pieces": 1,
            "start": 0,
            "size": 1,
            "sha256": "x",
        }
        told[draws.one(sorted(told))] = draws.one(_STRANGE)
        key: list[Any] = ["snapshot", "g", "float32", 0, 9, "run", 1]
        if draws.chance(0.3):
            key[draws.below(len(key))] = draws.one(_STRANGE)
        return _entry(draws, json.dumps(key).encode(), json.dumps(told).encode(), self._body)

    def run(self, payload: bytes) -> str:
        """What is damaged gets a right checksum, so that it is read to the end."""
        self._topic.logs = {place: list(log) for place, log in self._logs.items()}
        key, value, piece = [*payload.split(b"\n", 2), b"", b""][:3]
        self._topic.write([Message(0, key, _signed(value, piece))])
        for place in range(3):
            name = json.dumps(["piece", "g", *HERE, 9, "run", 1, 0]).encode()
            self._topic.write([Message(place, name, piece)])
        store = TopicSnapshots(self._topic, "g", 2)
        outcomes = {offset: _loaded(store, offset) for offset in store.offsets(HERE)}
        demand(outcomes.get(5) == ACCEPTED or 5 not in outcomes, "the sound one serves")
        demand(all(0 <= offset < 2**63 for offset in outcomes), "offsets that a log can have")
        store.save(HERE, 12, {"clock": np.ones(2)})
        demand(_loaded(store, 12) == ACCEPTED, "what is saved can be loaded")
        others = [outcome for offset, outcome in outcomes.items() if offset != 5]
        return others[0] if others else "not an entry"


_STRANGE: Sequence[Any] = (
    -1, 0, 2**31, 2**63, 2**64, 1e308, float("inf"), float("nan"), None, True, "", "9", [], {},
    "x" * 300, 10**6,
)  # fmt: skip


def _entry(draws: Draws, key: bytes, value: bytes, body: bytes) -> bytes:
    return b"\n".join([key, value, body])


def _signed(value: bytes, piece: bytes) -> bytes:
    try:
        told = json.loads(value)
    except (ValueError, RecursionError):
        return value
    if not isinstance(told, dict) or told.get("sha256") != "x":
        return value
    return json.dumps(
        told | {"size": len(piece), "sha256": hashlib.sha256(piece).hexdigest()}
    ).encode()


def _loaded(store: TopicSnapshots, offset: int) -> str:
    try:
        store.load(HERE, offset)
    except StateError:
        return "StateError"
    return ACCEPTED
