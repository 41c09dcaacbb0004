"""JSON and msgpack: everything the paths can say, every refusal, and no crash for any tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ConfigError, DecodeError
from monitor.settings import StreamConfig
from monitor.stream.codec import Codec, make_codec
from monitor.types import Partition, Record, Samples

KINDS: dict[str, Callable[[Any], bytes]] = {"json": orjson.dumps, "msgpack": msgpack.packb}


def codec_of(
    count: int = 2,
    kind: str = "json",
    sensor: str = "key",
    whole: bool = False,
    **paths: Any,
) -> Codec:
    window = {
        "length": "1s",
        "rate": 4,
        "channels": [f"c{i}" for i in range(count)],
        "input": "windows" if whole else "samples",
    }
    return make_codec(
        StreamConfig.model_validate(
            {
                "topics": ["t"],
                "format": {kind: paths},
                "sensor": sensor,
                "window": window,
                "models": [{"use": ["online_iforest"]}],
            }
        )
    )


def record_of(value: bytes) -> Record:
    return Record(Partition("t", 0), 0, b"m1", 50.0, value)


def decoded(codec: Codec, message: Any, kind: str = "json") -> Samples:
    (samples,) = codec.decode(record_of(KINDS[kind](message)))
    assert samples.data.dtype == np.float32
    assert not samples.data.flags.writeable
    return samples


def refused(codec: Codec, value: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        codec.decode(record_of(value))
    assert "\n" not in caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("channels", "values", "expected"),
    [
        (1, 2.5, [[2.5]]),
        (1, [1, 2, 3], [[1, 2, 3]]),
        (1, [[1, 2, 3]], [[1, 2, 3]]),
        (2, [1, 2], [[1], [2]]),
        (2, [[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]]),
        (2, [[1, None], [None, 6.5]], [[1, np.nan], [np.nan, 6.5]]),
        (1, None, [[np.nan]]),
    ],
)
def test_values_of_every_nesting(
    kind: str, channels: int, values: Any, expected: list[list[float]]
) -> None:
    samples = decoded(codec_of(channels, kind), {"time": 3, "values": values}, kind)
    assert samples[:2] == ("m1", 3.0)
    np.testing.assert_array_equal(samples.data, np.array(expected, np.float32))


def test_msgpack_may_carry_raw_float32() -> None:
    data = np.arange(6, dtype="<f4").reshape(2, 3)
    codec = codec_of(kind="msgpack")
    samples = decoded(codec, {"time": 1, "values": data.tobytes()}, "msgpack")
    np.testing.assert_array_equal(samples.data, data)
    assert refused(codec, msgpack.packb({"values": b"12345678901234"})) == "wrong_shape"


def test_a_message_may_be_of_one_channel() -> None:
    codec = codec_of(3, channel="name")
    samples = decoded(codec, {"name": "c2", "values": [1, 2, 3, 4]})
    assert (samples.channel, samples.data.shape) == (2, (1, 4))
    assert refused(codec, orjson.dumps({"name": "z", "values": [1]})) == "unknown_channel"
    assert refused(codec, orjson.dumps({"name": None, "values": [1]})) == "unknown_channel"
    assert refused(codec, orjson.dumps({"values": [1]})) == "missing_path"


def test_each_channel_may_have_a_path_of_its_own() -> None:
    codec = codec_of(channels={"c1": "fields.b", "c0": "fields.a\\.x"}, time="timestamp")
    samples = decoded(codec, {"fields": {"a.x": 1.5, "b": None}, "timestamp": 9})
    np.testing.assert_array_equal(samples.data, [[1.5], [np.nan]])
    samples = decoded(codec, {"fields": {"a.x": [1, 2], "b": [3, 4]}})
    np.testing.assert_array_equal(samples.data, [[1, 2], [3, 4]])
    uneven = {"fields": {"a.x": [1, 2], "b": [3]}}
    assert refused(codec, orjson.dumps(uneven)) == "wrong_shape"
    assert refused(codec, orjson.dumps({"fields": {"b": 1}})) == "missing_path"


def test_channel_paths_must_be_those_of_the_window() -> None:
    with pytest.raises(ConfigError, match=r"names \['c0', 'x'\].*\['c0', 'c1'\]"):
        codec_of(channels={"c0": "a", "x": "b"})


def test_paths_lead_through_lists_and_may_be_empty() -> None:
    codec = codec_of(1, values="metrics.1.value", time=None, sensor="payload:metrics.0.id")
    samples = decoded(codec, {"metrics": [{"id": 17}, {"value": 4}]})
    assert samples == ("17", 50.0, np.array([[4]]), -1, False)
    assert decoded(codec_of(values="", time=None), [[1], [2]]).data.shape == (2, 1)


def test_a_path_with_an_empty_step_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"'a\.\.b' has an empty step"):
        codec_of(values="a..b")


@pytest.mark.parametrize(
    ("unit", "value", "seconds"),
    [
        ("s", 12.5, 12.5),
        ("ms", 12500, 12.5),
        ("us", 12500000, 12.5),
        ("ns", 12500000000, 12.5),
        ("iso", "1970-01-01T00:00:12.5Z", 12.5),
        ("iso", "1970-01-01 00:00:12.5", 12.5),
        ("iso", "1970-01-01T01:00:12.5+01:00", 12.5),
        ("s", None, 50.0),
    ],
)
def test_times_of_every_unit(unit: str, value: Any, seconds: float) -> None:
    samples = decoded(codec_of(time_unit=unit), {"time": value, "values": [1, 2]})
    assert samples.start == seconds


def test_a_message_without_a_time_takes_the_time_of_the_log() -> None:
    assert decoded(codec_of(), {"values": [1, 2]}).start == 50.0


def test_msgpack_has_time_stamps_of_its_own() -> None:
    message = {"time": msgpack.Timestamp(12, 500_000_000), "values": [1, 2]}
    assert decoded(codec_of(kind="msgpack"), message, "msgpack").start == 12.5


@pytest.mark.parametrize(
    ("unit", "value"),
    [("s", "12"), ("s", True), ("s", -1), ("s", 1e15), ("iso", 12), ("iso", "today"), ("s", [1])],
)
def test_what_is_no_time_is_refused(unit: str, value: Any) -> None:
    codec = codec_of(time_unit=unit)
    assert refused(codec, orjson.dumps({"time": value, "values": [1, 2]})) == "bad_time"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"{", "bad_json"),
        (b'{"values": NaN}', "bad_json"),
        (b"\xff", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b" " * 10_000_001, "too_large"),
        (b"{}", "missing_path"),
        (b"3", "missing_path"),
        (b'{"values": []}', "empty"),
        (b'{"values": [[], []]}', "empty"),
        (b'{"values": "3"}', "not_a_number"),
        (b'{"values": ["1", "2"]}', "not_a_number"),
        (b'{"values": [1, "2"]}', "not_a_number"),
        (b'{"values": [true, false]}', "not_a_number"),
        (b'{"values": {"a": 1}}', "not_a_number"),
        (b'{"values": [null, {}]}', "not_a_number"),
        (b'{"values": 1}', "wrong_shape"),
        (b'{"values": [1, 2, 3]}', "wrong_shape"),
        (b'{"values": [[1, 2], [3]]}', "wrong_shape"),
        (b'{"values": [[1], [2], [3]]}', "wrong_shape"),
        (b'{"values": [[[1]], [[2]]]}', "wrong_shape"),
    ],
)
def test_each_mistake_has_its_reason(value: bytes, reason: str) -> None:
    assert refused(codec_of(), value) == reason


def test_bytes_that_are_no_msgpack_have_their_own_reason() -> None:
    codec = codec_of(kind="msgpack")
    assert refused(codec, msgpack.packb({"values": [1, 2]})[:-1]) == "bad_msgpack"
    assert refused(codec, msgpack.packb(1) * 2) == "bad_msgpack"
    assert refused(codec, b"\xc1") == "bad_msgpack"


def test_a_missing_path_is_told_with_what_there_is() -> None:
    with pytest.raises(DecodeError, match=r"nothing at path 'values'.*keys 'data', 'ts'"):
        codec_of().decode(record_of(b'{"data": 1, "ts": 2}'))


def test_a_ready_window_must_be_exactly_one() -> None:
    codec = codec_of(whole=True)
    assert decoded(codec, {"values": [[1, 2, 3, 4]] * 2}).whole
    assert refused(codec, orjson.dumps({"values": [[1, 2, 3]] * 2})) == "wrong_shape"


@pytest.mark.parametrize("name", [1.5, True, None, "", "a\tb", ["x"]])
def test_a_name_in_the_payload_must_be_text_or_a_whole_number(name: Any) -> None:
    codec = codec_of(sensor="payload:id")
    assert refused(codec, orjson.dumps({"id": name, "values": [1, 2]})) == "bad_sensor"


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
TREES = st.recursive(
    LEAVES | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)
WITH_NAMES = st.fixed_dictionaries({}, optional={k: TREES for k in ("values", "time", "id")})
FUZZED = {kind: codec_of(kind=kind, sensor="payload:id") for kind in KINDS}
PLAIN = {kind: codec_of(1, kind=kind) for kind in KINDS}


@given(TREES | WITH_NAMES, st.integers(0, 200), st.lists(st.tuples(st.integers(0), st.binary())))
def test_any_tree_and_any_damage_to_it_decodes_or_is_refused(
    tree: Any, cut: int, damage: list[tuple[int, bytes]]
) -> None:
    packed = msgpack.packb(tree)
    text = orjson.dumps(tree, default=lambda raw: raw.hex())
    for kind, whole in (("json", text), ("msgpack", packed)):
        value = whole
        for place, new in damage:
            at = place % (len(value) + 1)
            value = value[:at] + new + value[at + len(new) :]
        for codec in (FUZZED[kind], PLAIN[kind]):
            for message in (whole, value, value[:cut]):
                _survives(codec, message)


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(value: bytes) -> None:
    for codec in (*FUZZED.values(), *PLAIN.values()):
        _survives(codec, value)


def _survives(codec: Codec, value: bytes) -> None:
    try:
        (samples,) = codec.decode(record_of(value))
    except DecodeError:
        return
    assert samples.data.ndim == 2
    assert samples.data.size
