"""docs/messages.md says what the decoders do: its examples and its reasons are true."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from monitor.settings import StreamConfig
from monitor.stream.codec import make_codec
from monitor.types import Partition, Record

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")


def stream_of(kind: str, sensor: str, names: str, **paths: object) -> StreamConfig:
    return StreamConfig.model_validate(
        {
            "topics": ["t"],
            "format": {"kind": kind, "paths": paths},
            "sensor": sensor,
            "window": {"length": "1s", "rate": 4, "channels": list(names)},
            "models": [{"use": ["online_iforest"]}],
        }
    )


def record_of(value: str | bytes) -> Record:
    raw = value.encode() if isinstance(value, str) else value
    return Record(Partition("t", 0), 0, b"m1", 50.0, raw)


def test_every_reason_is_documented_and_every_documented_reason_exists() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "monitor/stream/codec").glob("*.py")
    )
    raised = set(re.findall(r'DecodeError\(\s*"(\w+)"', source))
    raised |= set(re.findall(r'_(?:json|msgpack), "(\w+)"', source))
    raised |= set(re.findall(r'reason = "(\w+)" if .* else "(\w+)"', source)[0])
    table = TEXT[TEXT.index("## What is refused") :]
    assert raised == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_the_binary_example_decodes() -> None:
    line = next(line for line in TEXT.splitlines() if line.startswith("struct.pack("))
    data = np.arange(6, dtype="<f4").tobytes()
    names = {"struct": struct, "channels": 2, "samples": 3, "start": 7.0, "data": data}
    value = eval(line, names)
    (samples,) = make_codec(stream_of("float32", "key", "ab")).decode(record_of(value))
    assert samples.start == 7.0
    assert samples.data.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_json_example_decodes() -> None:
    (example,) = re.findall(r"```json\n(.*?)\n```", TEXT, re.DOTALL)
    (samples,) = make_codec(stream_of("json", "key", "xyz")).decode(record_of(example))
    assert samples.start == 1583748873.25
    assert samples.data.shape == (3, 3)


def test_the_messages_of_real_bridges_decode() -> None:
    telegraf, connect, bare = re.findall(r"^\| (?:T|K|a b)[\w ]+ \| `(.*?)` \|", TEXT, re.MULTILINE)
    paths: dict[str, object] = {"channels": {"x": "fields.ax", "y": "fields.ay"}}
    codec = make_codec(stream_of("json", "payload:tags.id", "xy", time="timestamp", **paths))
    assert codec.decode(record_of(telegraf))[0][:2] == ("p1", 1583748873.0)
    paths = {"values": "payload.v", "time": "payload.ts", "time_unit": "ms"}
    codec = make_codec(stream_of("json", "payload:payload.id", "x", **paths))
    assert codec.decode(record_of(connect))[0][:2] == ("7", 1583748873.25)
    codec = make_codec(stream_of("json", "key", "x", values="", time=None))
    assert codec.decode(record_of(bare))[0][:2] == ("m1", 50.0)
