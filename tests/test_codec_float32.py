"""The binary format: what goes in comes out, and no bytes do anything but decode or be refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ConfigError, DecodeError
from monitor.settings import StreamConfig
from monitor.stream.codec import encode_float32, make_codec
from monitor.stream.codec.float32 import HEADER
from monitor.types import Partition, Record, Samples

PARTITION = Partition("plant.vibration", 3)


def stream_of(channels: int = 2, sensor: str = "key", whole: bool = False) -> StreamConfig:
    return StreamConfig.model_validate(
        {
            "topics": ["plant.vibration"],
            "sensor": sensor,
            "window": {
                "length": "1s",
                "rate": 4,
                "channels": [f"c{i}" for i in range(channels)],
                "input": "windows" if whole else "samples",
            },
            "models": [{"use": ["online_iforest"]}],
        }
    )


def record_of(
    value: bytes,
    key: bytes | None = b"pump-1",
    time: float = 50.0,
    headers: tuple[tuple[str, bytes], ...] = (),
) -> Record:
    return Record(PARTITION, 7, key, time, value, headers)


def message(channels: int = 2, count: int = 3, channel: int = -1, start: float = 12.5) -> bytes:
    data = np.arange(channels * count, dtype=np.float32).reshape(channels, count)
    return encode_float32(Samples("pump-1", start, data, channel))


def reason_of(decode: Callable[[], object]) -> str:
    with pytest.raises(DecodeError) as caught:
        decode()
    assert "\n" not in caught.value.detail
    return caught.value.reason


@given(
    channels=st.integers(1, 5),
    count=st.integers(1, 40),
    start=st.floats(0, 2e9),
    seed=st.integers(0, 999),
)
def test_what_is_encoded_is_decoded(channels: int, count: int, start: float, seed: int) -> None:
    data = np.random.default_rng(seed).normal(size=(channels, count)).astype(np.float32)
    value = encode_float32(Samples("pump-1", start, data))
    (samples,) = make_codec(stream_of(channels)).decode(record_of(value))
    assert samples[:2] == ("pump-1", start)
    assert (samples.channel, samples.whole) == (-1, False)
    assert samples.data.dtype == np.float32
    np.testing.assert_array_equal(samples.data, data)


def test_the_bytes_are_those_of_the_documentation() -> None:
    value = encode_float32(Samples("x", 1.0, np.array([[0.5, 2.0]], np.float32)))
    assert value == (
        b"MF32\x01\x00\xff\xff\x01\x00\x00\x00\x02\x00\x00\x00"
        b"\x00\x00\x00\x00\x00\x00\xf0\x3f"
        b"\x00\x00\x00\x3f\x00\x00\x00\x40"
    )


def test_one_channel_alone_keeps_its_number() -> None:
    (samples,) = make_codec(stream_of(3)).decode(record_of(message(1, 4, channel=2)))
    assert (samples.channel, samples.data.shape) == (2, (1, 4))


def test_the_only_channel_of_a_stream_is_all_of_them() -> None:
    (samples,) = make_codec(stream_of(1)).decode(record_of(message(1, 4, channel=0)))
    assert samples.channel == -1


def test_no_time_in_the_message_takes_the_time_of_the_log() -> None:
    (samples,) = make_codec(stream_of()).decode(record_of(message(start=math.nan), time=99.0))
    assert samples.start == 99.0


def test_missing_samples_stay_nan() -> None:
    data = np.array([[1, math.nan], [math.inf, 2]], np.float32)
    (samples,) = make_codec(stream_of()).decode(record_of(encode_float32(Samples("", 1, data))))
    np.testing.assert_array_equal(samples.data, data)


def test_a_ready_window_is_marked_whole() -> None:
    codec = make_codec(stream_of(2, whole=True))
    (samples,) = codec.decode(record_of(message(2, 4)))
    assert samples.whole
    assert reason_of(lambda: codec.decode(record_of(message(2, 5)))) == "wrong_shape"
    assert reason_of(lambda: codec.decode(record_of(message(1, 4, channel=1)))) == "wrong_shape"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"MF3", "truncated"),
        (b"JUNK", "bad_magic"),
        (b"{" + message()[1:], "bad_magic"),
        (message()[:4] + b"\x02" + message()[5:], "bad_magic"),
        (message()[:5] + b"\x01" + message()[6:], "bad_magic"),
        (message()[:-1], "truncated"),
        (message() + b"\0", "trailing"),
        (message(3), "wrong_shape"),
        (message(1), "wrong_shape"),
        (message(2, channel=1), "wrong_shape"),
        (message(1, channel=2), "unknown_channel"),
        (message(start=-1.0), "bad_time"),
        (message(start=math.inf), "bad_time"),
        (message(start=1e15), "bad_time"),
        (HEADER.pack(b"MF32", 1, 0, 0xFFFF, 2, 0, 0, 1.0), "empty"),
        (HEADER.pack(b"MF32", 1, 0, 0xFFFF, 0xFFFF, 0, 0xFFFFFFFF, 1.0), "truncated"),
        (bytes(10_000_001), "too_large"),
    ],
)
def test_each_damage_has_its_reason(value: bytes, reason: str) -> None:
    assert reason_of(lambda: make_codec(stream_of()).decode(record_of(value))) == reason


def test_a_wrong_shape_names_both_shapes() -> None:
    with pytest.raises(DecodeError, match=r"shape \(2, 3\), not \(2, 4\) \(a whole window\)"):
        make_codec(stream_of(2, whole=True)).decode(record_of(message(2, 3)))


@pytest.mark.parametrize(
    ("sensor", "record", "name"),
    [
        ("key", record_of(message(), key="Pumpe ö/1".encode()), "Pumpe ö/1"),
        ("key", record_of(message(), key=None), "plant.vibration"),
        ("topic", record_of(message()), "plant.vibration"),
        ("header:id", record_of(message(), headers=(("a", b"x"), ("id", b"m7"))), "m7"),
    ],
)
def test_the_sensor_is_named_by(sensor: str, record: Record, name: str) -> None:
    assert make_codec(stream_of(sensor=sensor)).decode(record)[0].sensor == name


@pytest.mark.parametrize("key", [b"", b"\xff", b"a\nb", b"x" * 201, "a\u2028".encode()])
def test_a_name_that_cannot_be_shown_is_refused(key: bytes) -> None:
    assert reason_of(lambda: make_codec(stream_of()).decode(record_of(message(), key))) == (
        "bad_sensor"
    )


def test_a_missing_header_is_told_with_those_there_are() -> None:
    codec = make_codec(stream_of(sensor="header:id"))
    with pytest.raises(DecodeError, match="there is 'site'") as caught:
        codec.decode(record_of(message(), headers=(("site", b"x"),)))
    assert caught.value.reason == "bad_sensor"


def test_a_binary_message_has_no_place_for_a_name() -> None:
    with pytest.raises(ConfigError, match=r"payload:id.*valid are key"):
        make_codec(stream_of(sensor="payload:id"))


def test_too_many_channels_are_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="1025 channels; at most 1024"):
        make_codec(stream_of(1025))


@pytest.mark.parametrize("shape", [(2,), (2, 0), (0, 2), (1025, 1)])
def test_what_is_no_matrix_is_not_encoded(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not \\(1 to 1024, 1 or more\\)"):
        encode_float32(Samples("x", 0.0, np.zeros(shape, np.float32)))


CODEC = make_codec(stream_of())


@given(st.binary(max_size=80), st.none() | st.binary(max_size=8), st.floats())
def test_any_bytes_decode_or_are_refused(value: bytes, key: bytes | None, time: float) -> None:
    _survives(record_of(value, key, time))


@given(st.data())
def test_any_damage_to_a_message_decodes_or_is_refused(data: st.DataObject) -> None:
    value = bytearray(message(data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))))
    for place in data.draw(st.lists(st.integers(0, len(value) - 1), max_size=6)):
        value[place] = data.draw(st.integers(0, 255))
    _survives(record_of(bytes(value[: data.draw(st.integers(0, len(value)))])))


def _survives(record: Record) -> None:
    try:
        (samples,) = CODEC.decode(record)
    except DecodeError:
        return
    assert samples.data.shape[0] == (2 if samples.channel < 0 else 1)
    assert samples.start >= 0
