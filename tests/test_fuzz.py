"""The short form of `make fuzz`, and one test for each fault that it has found so far."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config import parse
from monitor.connect.kafka.compacted import Message
from monitor.connect.kafka.index import Generation
from monitor.connect.kafka.snapshots import TopicSnapshots
from monitor.connect.recording.reading import read_recordings
from monitor.connect.store import ALIASES, ModelStore
from monitor.detect import build
from monitor.errors import ConfigError, ModelError, StateError
from monitor.notation import reference
from monitor.offline.labels import read_labels
from monitor.recipe import train
from tests.compacted import MemoryTopic
from tests.fleet import fleet, recipe
from tests.fuzz.draws import Draws
from tests.fuzz.messages import Codec, stream_of
from tests.fuzz.models import Manifests, Weights
from tests.fuzz.mutations import Mutator
from tests.fuzz.states import HERE, sound_state
from tests.fuzz.stream import pipeline, trained
from tests.fuzz.target import BrokenPromiseError, Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.trial import Found, feed, try_target
from tests.fuzz.worker import quieten

# So that all of them together take some seconds.
PAYLOADS = {"stream": 150, "states": 25, "manifests": 25, "weights": 25, "parquet": 60, "csv": 60}
# Without nets, which take seconds to train.
SMALLER: Mapping[str, Callable[[Path], Target]] = {
    "manifests": lambda folder: Manifests(folder, ["mahalanobis"]),
    "weights": lambda folder: Weights(folder, ["mahalanobis"]),
}
STREAM = stream_of("float32", {})


@pytest.fixture
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        quieten()
        yield


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("name", TARGETS)
def test_no_payload_gets_more_than_a_refusal(name: str, tmp_path: Path) -> None:
    payloads = PAYLOADS.get(name, max(100, 3 * TARGETS[name].share))
    make = SMALLER.get(name, TARGETS[name].make)
    found = try_target(make(tmp_path), Draws(5), payloads)
    assert not found.faults
    assert found.payloads == payloads == found.accepted + sum(found.refused.values())
    assert found.accepted
    assert found.refused


@pytest.mark.parametrize("kind", ["json", "msgpack", "float32"])
@settings(max_examples=60)
@given(data=st.data())
def test_any_bytes_at_all_are_samples_or_refused(kind: str, data: st.DataObject) -> None:
    codec = Codec(kind)
    head = bytes([data.draw(st.integers(0, len(codec.ways) - 1)), 0, 0, 0])
    found = Found("")
    feed(codec, head + data.draw(st.binary() | st.sampled_from(codec.words)), found)
    assert not found.faults


class Careless:
    """A reader that fails in each of the ways that are looked for."""

    name, words, longest = "careless", (b"A",), 10

    def sound(self, draws: Draws) -> bytes:
        return b"B"

    def run(self, payload: bytes) -> str:
        if payload.startswith(b"A"):
            raise ValueError("undocumented")
        if payload.startswith(b"B"):
            raise ModelError("documented, but not here")
        if payload.startswith(b"C"):
            raise BrokenPromiseError("NaN")
        sum(range(10_000_000))
        return "accepted"


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"A", "ValueError at"),
        (b"B", "undocumented ModelError"),
        (b"C", "BrokenPromiseError"),
        (b"slow", "takes more than 100 ms"),
    ],
)
def test_the_harness_sees_what_it_looks_for(payload: bytes, told: str) -> None:
    careless: Target = Careless()
    found = Found("")
    feed(careless, payload, found)
    ((what, witness),) = found.faults.items()
    assert told in what
    assert bytes.fromhex(witness) == payload


def test_the_same_seed_gives_the_same_payloads() -> None:
    def made() -> list[bytes]:
        draws = Draws(3)
        mutator = Mutator(draws, (b"word",), 1000)
        return [mutator.damaged(b"some payload", b"another one") for _ in range(200)]

    assert made() == made()
    assert len(set(made())) > 150
    assert max(map(len, made())) <= 1000


# Faults that were found in files


@pytest.mark.parametrize(
    ("value", "kind"), [("!!timestamp s", "timestamp"), ("!!bool maybe", "bool")]
)
def test_a_tag_that_does_not_fit_its_value_is_told(value: str, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"looks like a value of type {kind} but is none"):
        parse(f"snapshots: {{topic: {value}}}", "x.yaml")


@pytest.mark.parametrize("bracket", ["{", "[", "a: {"])
def test_brackets_in_brackets_are_refused_at_once(bracket: str) -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse(bracket * 1500, "x.yaml")


def npy_with(head: str) -> bytes:
    text = head.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(16)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\3\4",
        npy_with("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3), }"),
        npy_with("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }"),
        npy_with("{'descr': '|u1, 'fortran_order': False, 'shape: (0,), }"),
        npy_with("{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 60),
    ],
)
def test_an_array_file_that_lies_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(ConfigError, match=r"x\.npy: "):
        read_recordings([tmp_path / "x.npy"], STREAM)


def test_numbers_beyond_float32_are_infinite(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("time,x,y,z\n1767225600,1e300,-1e300,1\n1767225600.25,1,2,3")
    (found,) = read_recordings([tmp_path / "x.csv"], STREAM)
    assert found.data[:, 0].tolist() == [np.inf, -np.inf, 1.0]


@pytest.mark.parametrize(
    "time",
    [
        pa.array([float("inf")] * 2),
        pa.array([2**60, 2**61], pa.timestamp("ms")),
        pa.array([[1], [2]]),
        pa.array([{"a": 1}, {"a": 2}]),
    ],
)
def test_times_that_are_none_are_refused(time: Any, tmp_path: Path) -> None:
    columns = {"time": time, "x": [1.0, 2], "y": [1.0, 2], "z": [1.0, 2]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match=r"x\.parquet: "):
        read_recordings([tmp_path / "x.parquet"], STREAM)


def test_a_column_that_occurs_twice_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("time,x,y,z,z \n1767225600,1,2,3,4")
    with pytest.raises(ConfigError, match="two of its columns are called 'z'"):
        read_recordings([tmp_path / "x.csv"], STREAM)


@pytest.mark.parametrize(
    "line",
    [
        '{"sensor": "a", "start": ' + "[" * 5000 + "]" * 5000 + ', "end": 1}',
        '{"sensor": "a", "start": 1e999, "end": 1767225600}',
        '{"sensor": "a", "start": [1], "end": 1767225600}',
        '{"sensor": "a", "start": true, "end": 1767225600}',
        '{"sensor": "a", " sensor": "b", "start": 1767225600, "end": 1767225600}',
        '{"sensor": "a", "start": "24:00", "end": 1}\n{"sensor": "a", "start": 1, "end": "24:00"}',
    ],
)
def test_labels_that_cannot_be_are_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(line)
    with pytest.raises(ConfigError, match=r"x\.jsonl: "):
        read_labels(tmp_path / "x.jsonl")


def test_a_kind_that_is_a_number_is_read_as_text(tmp_path: Path) -> None:
    row = {"sensor": 7, "start": 1767225600, "end": 1767225601, "kind": -9}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    (event,) = read_labels(tmp_path / "x.jsonl")
    assert (event.sensor, event.kind) == ("7", "-9")


def test_rows_of_labels_with_more_cells_than_the_header_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("sensor,start,end\na,1767225600,1767225601,more")
    with pytest.raises(ConfigError, match="more cells than its header"):
        read_labels(tmp_path / "x.csv")


def test_of_many_columns_only_the_first_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(",".join(f"column-{i}" for i in range(500)) + "\n")
    with pytest.raises(ConfigError, match="and 480 more") as caught:
        read_labels(tmp_path / "x.csv")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["\0", "a\nb", "n" * 201])
def test_a_sensor_that_no_message_could_name_is_told(name: str, tmp_path: Path) -> None:
    columns = {"time": [1767225600.0], "x": [1.0], "y": [1.0], "z": [1.0], "sensor": [name]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match="column 'sensor', data row 1: the sensor's name"):
        read_recordings([tmp_path / "x.parquet"], STREAM)


# Faults that were found in models and snapshots


def test_a_net_that_would_fill_the_memory_is_refused_before_it_is_made() -> None:
    with pytest.raises(ConfigError, match="weights; at most 100000000 are valid"):
        build("conv_ae", (4, 100_000), widths=[4096] * 4, latent=4096)


def test_weights_that_would_make_scores_negative_are_refused() -> None:
    state = build("conv_ae", (2, 32)).net.state_dict()
    arrays = {name: np.asarray(tensor.numpy()) for name, tensor in state.items()}
    arrays["weight"] = -arrays["weight"]
    with pytest.raises(ModelError, match="'weight' are negative"):
        build("conv_ae", (2, 32)).restore(arrays)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"production": ' + "[" * 100_000])
def test_deep_aliases_and_manifests_are_damaged(text: str, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    store.publish(train(recipe(), fleet()))
    folder = tmp_path / "mahalanobis" / "pumps"
    for file in (folder / ALIASES, folder / "1" / "manifest.json"):
        kept = file.read_bytes()
        file.write_text(text)
        with pytest.raises(ModelError, match="cannot be read"):
            store.load(reference("mahalanobis:pumps"))
        file.write_bytes(kept)


@pytest.mark.parametrize(("name", "value"), [("group", 0.0), ("constants", np.nan)])
def test_a_model_whose_scale_is_none_is_refused(name: str, value: float, tmp_path: Path) -> None:
    model = train(recipe(), fleet())
    state = model.state()
    state[name] = np.full_like(state[name], value)
    model.state = lambda: state  # type: ignore[method-assign]
    from_manifest = ModelStore(tmp_path).publish(model)
    assert from_manifest.version == 1
    with pytest.raises(ModelError):
        ModelStore(tmp_path).load(reference("mahalanobis:pumps"))


@pytest.mark.parametrize(
    ("part", "place", "value"),
    [
        ("0/windower/newest", (0, 0), 2**59),  # the kernel would count up to it
        ("0/windower/base", 0, -(2**63)),
        ("0/windower/present", 0, 2**40),
        ("0/windower/carry_at", (0, 0), 2**59),
        ("0/alarm/severity", 0, 100),
        ("0/alarm/opened", slice(None), np.nan),
        ("0/silence/last", 0, np.inf),
        ("0/skew/ahead", 0, np.nan),
    ],
)
def test_a_part_of_a_state_that_cannot_be_starts_anew(part: str, place: Any, value: Any) -> None:
    state = sound_state()
    changed = state[part].copy()
    changed[place] = value
    running = pipeline(trained())
    told = running.open(HERE, state | {part: changed}, 9)
    assert [line.split()[1] for line in told] == [part.split("/")[1]]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("clock", np.array([np.nan])),
        ("clock", np.array([np.inf])),
        ("clock", np.array([1j])),
        ("lanes", np.frombuffer(b'[["a"]]', np.uint8)),
        ("lanes", np.frombuffer(b"[" * 100_000, np.uint8)),
        ("usual/seconds", np.array([np.nan])),
        ("usual/records", np.array(3)),
        ("usual/records", np.array([np.inf, 1])),
        ("0/sensors/names", np.frombuffer(b"[" * 100_000, np.uint8)),
        ("0/sensors/names", np.frombuffer(b'["\\ud800", "a", "b"]', np.uint8)),
    ],
)
def test_a_state_without_a_sound_frame_is_a_state_error(part: str, value: Any) -> None:
    state = sound_state() | {part: value}
    with pytest.raises(StateError):
        pipeline(trained()).open(HERE, state, 9)


def test_rows_that_belong_to_no_sensor_are_forgotten() -> None:
    state = sound_state()
    for name in ("last", "heard", "opened", "before"):
        rows = state[f"0/silence/{name}"]
        state[f"0/silence/{name}"] = np.concatenate([rows, rows])
    running = pipeline(trained())
    assert running.open(HERE, state, 9) == []
    running.tick(HERE, 1e6)  # everybody is silent: nobody else
    assert {alert.sensor for alert in running.open_alerts.values()} <= {
        "pump-1",
        "pump-2",
        "witness-1",
    }


def complete(piece: bytes, **changes: Any) -> list[Message]:
    """A snapshot at offset 9 as its writer tells of it, with something else in it."""
    made = Generation("g", HERE, 9, "run", 1, -1, 1, 1, 0, len(piece), sha256(piece).hexdigest())
    told = json.loads(made.entry().value or b"") | changes
    index = Message(0, made.key, json.dumps(told).encode())
    return [index, Message(1, made.piece(0), piece)]


@pytest.mark.parametrize("value", [float("inf"), -1, 10**30, 3, "x", None, []])
def test_an_entry_of_the_index_that_points_nowhere_is_passed_over(value: Any) -> None:
    topic = MemoryTopic(partitions=3)
    topic.write(complete(b"x", place=value))
    assert TopicSnapshots(topic, "g").offsets(HERE) == []


def test_a_block_that_claims_to_be_huge_takes_no_memory() -> None:
    topic = MemoryTopic(partitions=3)
    topic.write(complete(lz4.frame.LZ4FrameCompressor().begin(2**40) + bytes(4)))
    store = TopicSnapshots(topic, "g")
    assert store.offsets(HERE) == [9]
    with pytest.raises(StateError, match="cannot hold 1099511627776"):
        store.load(HERE, 9)
