"""Small messages that would cost seconds or gigabytes: refused before they do."""

from __future__ import annotations

import time
from typing import Any

import msgpack
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stream.codec import packed
from monitor.stream.codec.limits import MOST_PARTS
from monitor.types import Record
from tests.test_codec_document import KINDS, codec_of, record_of, refused

Trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=60,
)


def refused_quickly(kind: str, value: bytes) -> str:
    """The reason; and not for the price of what the message claims to be: many seconds."""
    codec = codec_of(1, kind)
    began = time.process_time()
    reason = refused(codec, value)
    assert time.process_time() - began < 1
    return reason


@pytest.mark.parametrize("kind", KINDS)
def test_one_long_text_among_many_empty_ones_makes_no_huge_array(kind: str) -> None:
    values = ["a" * 500_000] + [""] * 150_000  # as an array of texts: 279 GiB
    assert refused_quickly(kind, KINDS[kind]({"values": values})) == "not_a_number"


def test_many_empty_bytes_make_no_huge_array() -> None:
    values = [b"a" * 500_000] + [b""] * 150_000
    assert refused_quickly("msgpack", msgpack.packb({"values": values})) == "not_a_number"


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf"])
def test_lists_in_lists_that_claim_to_be_long_are_not_made(head: bytes) -> None:
    claimed = (head + (4_000_000).to_bytes(4, "big")) * 1000
    assert refused_quickly("msgpack", claimed + b"\xc0" * 5_000_000) == "bad_msgpack"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("json", b"[" + b"[]," * MOST_PARTS + b"[]]"),
        ("json", b"[" + b"{}," * MOST_PARTS + b"{}]"),
        ("msgpack", msgpack.packb([[]] * MOST_PARTS)),
        ("msgpack", msgpack.packb([{}] * MOST_PARTS)),
    ],
)
def test_too_many_lists_and_maps_are_not_made(kind: str, value: bytes) -> None:
    assert refused_quickly(kind, value).startswith("bad_")


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_lists_as_are_allowed_are_read(kind: str) -> None:
    assert refused(codec_of(1, kind), KINDS[kind]([[]] * (MOST_PARTS - 1))) == "missing_path"


@pytest.mark.parametrize("kind", KINDS)
def test_more_numbers_than_allowed_are_refused_before_they_become_an_array(kind: str) -> None:
    assert refused_quickly(kind, KINDS[kind]({"values": [1] * 2_500_001})) == "too_many_samples"


@pytest.mark.parametrize("place", ["time", "values", "channel", "sensor"])
def test_a_deep_tree_in_any_place_is_refused_with_a_short_sentence(place: str) -> None:
    document: dict[str, Any] = {
        "values": b"[1]",
        "time": b"1",
        "channel": b'"c0"',
        "sensor": b'"a"',
    }
    document[place] = b"[" * 900 + b"]" * 900
    value = b"{" + b",".join(b'"%s":%s' % (n.encode(), v) for n, v in document.items()) + b"}"
    codec = codec_of(2, sensor="payload:sensor", channel="channel")
    assert refused(codec, value) in {"bad_time", "wrong_shape", "unknown_channel", "bad_sensor"}


@pytest.mark.parametrize("values", [[True, 1.5], [1.5, "2"], [[1, True], [1, 2]], [None, "x"]])
def test_a_truth_value_or_a_text_among_numbers_is_refused(values: list[Any]) -> None:
    count = 2 if isinstance(values[0], list) else 1
    assert refused(codec_of(count), orjson.dumps({"values": values})) == "not_a_number"


def test_a_record_with_many_headers_is_refused_with_a_short_sentence() -> None:
    codec = codec_of(1, sensor="header:machine")
    headers = tuple((f"{i}" * 1000, b"") for i in range(1000))
    record: Record = record_of(b'{"values": 1}')._replace(headers=headers)
    with pytest.raises(Exception, match="and 992 more") as caught:
        codec.decode(record)
    assert len(str(caught.value)) < 1000


@given(Trees)
def test_what_is_sound_is_unpacked_as_it_was_packed(tree: Any) -> None:
    value = msgpack.packb(tree)
    assert repr(packed.unpacked(value)) == repr(msgpack.unpackb(value))


@given(Trees, st.data())
def test_what_is_cut_short_is_no_value(tree: Any, data: st.DataObject) -> None:
    value = msgpack.packb(tree)
    cut = value[: data.draw(st.integers(0, len(value) - 1))]
    with pytest.raises((ValueError, msgpack.UnpackException)):
        packed.unpacked(cut)
