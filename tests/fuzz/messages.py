"""The codecs, through `codec.decode(record)` with settings of every kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from monitor.errors import DecodeError
from monitor.settings import StreamConfig
from monitor.stream.codec import encode_audio, encode_float32, make_codec
from monitor.stream.codec.audio import KINDS
from monitor.stream.codec.limits import END_OF_TIME
from monitor.stream.codec.naming import MAX_NAME
from monitor.types import Partition, Record, Samples
from monitor.windowing import CameraConfig
from tests.fuzz import documents
from tests.fuzz.draws import Draws
from tests.fuzz.pictures import PIECES, pictures
from tests.fuzz.target import ACCEPTED, demand

NOW = 1_767_225_600.0
LONGEST_DETAIL = 1_000
_KEYS = (
    b"pump-1", b"x", b"", None, b"\xff\xfe", b"a\0b", b"n" * 200, b"n" * 201, "é".encode() * 90,
    "\u2028".encode(), b"k" * 20_000, b"../..", b"\xed\xa0\x80",
)  # fmt: skip
_TIMES = (NOW, NOW, NOW, 0.0, -1.0, -0.001, 9.2e15, -9.2e15, 253_402_300_800.0)
_HEADERS: Sequence[tuple[tuple[str, bytes], ...]] = (
    (("machine", b"pump-2"),), (), (("machine", b"\xff"),), (("other", b"x"), ("machine", b"")),
    tuple((f"h{i}" * 50, b"") for i in range(100)), (("\0\u2028", b"x"),),
)  # fmt: skip
TREES: Sequence[Mapping[str, Any]] = (
    {"paths": {}},
    {"paths": {"values": "data.v", "time": "meta.t", "time_unit": "ms"}, "sensor": "payload:id"},
    {"paths": {"channel": "channel", "time_unit": "iso"}, "sensor": "header:machine"},
    {"paths": {"channels": {"x": "x", "y": "meta.y", "z": "data.0"}, "time_unit": "us"}},
    {"paths": {"time": None}, "channels": ["x"], "sensor": "topic"},
    {"paths": {"values": "", "time": None}, "channels": ["x", "y"]},
    {"paths": {"time_unit": "ns"}, "input": "windows"},
    {"paths": {}, "channels": 32, "rate": 1e6, "length": "1ms", "limits": {"samples": 500}},
    {"paths": {"values": "0.1", "time": "0.0"}, "channels": ["x"], "limits": {"message": 2_000}},
)  # fmt: skip
HEADED: Sequence[Mapping[str, Any]] = (
    {},
    {"channels": ["x"], "sensor": "topic"},
    {"input": "windows", "sensor": "header:machine"},
    {"channels": 32, "rate": 1e6, "length": "1ms", "limits": {"samples": 500}},
    {"rate": 1e-3, "length": "4000s", "limits": {"message": 2_000}},
)
HEARD: Sequence[Mapping[str, Any]] = (
    {},
    {"rate": 16_000, "sensor": "topic"},
    {"sensor": "header:machine", "limits": {"samples": 500}},
    {"limits": {"message": 2_000}},
)
SEEN: Sequence[Mapping[str, Any]] = (
    {},
    {"color": "gray", "sensor": "topic"},
    {"region": [0.4, 0.9, 0.41, 1], "sensor": "header:machine", "limits": {"pixels": 100_000}},
    {"limits": {"message": 2_000}},
)
SETTINGS = {
    "float32": HEADED,
    "audio": HEARD,
    "image": SEEN,
    "json": TREES,
    "msgpack": TREES,
}


def stream_of(kind: str, about: Mapping[str, Any]) -> StreamConfig:
    """Settings of a stream; `about` names what is unusual."""
    window = {"length": "1s", "rate": 4, "channels": ["x", "y", "z"]}
    window |= {
        name: about[name] for name in ("length", "rate", "channels", "input") if name in about
    }
    if kind == "audio":
        mel = {"bands": 2, "fft": 16, "hop": 16}
        window = {"length": "1s", "rate": about.get("rate", 8000), "input": "sound", "mel": mel}
    if kind == "image":
        seen = {name: about[name] for name in ("color", "region") if name in about}
        window = {"input": "frames", "size": [12, 8], **seen}
    return StreamConfig.model_validate(
        {
            "topics": ["t"],
            "format": {kind: about["paths"]} if "paths" in about else kind,
            "sensor": about.get("sensor", "key"),
            "window": window,
            "models": [{"use": ["conv_ae" if kind == "image" else "online_iforest"]}],
            "limits": about.get("limits", {}),
        }
    )


def record_of(payload: bytes) -> Record:
    """A record: three bytes choose key, time and headers, the rest is its value."""
    key, time, headers = (payload[:3] + b"\0\0\0")[:3]
    return Record(
        Partition("t", 0),
        7,
        _KEYS[key % len(_KEYS)],
        _TIMES[time % len(_TIMES)],
        payload[3:],
        _HEADERS[headers % len(_HEADERS)],
    )


def around(draws: Draws, value: bytes) -> bytes:
    """The value with those three bytes, most often harmless ones."""
    return bytes(draws.below(256) if draws.chance(0.1) else 0 for _ in range(3)) + value


class _Way(NamedTuple):
    stream: StreamConfig
    about: Mapping[str, Any]


class Codec:
    """One format; the settings are many."""

    longest = 65_536

    def __init__(self, kind: str) -> None:
        self.name = f"messages: {kind}"
        self._kind = kind
        self.ways = [_Way(stream_of(kind, about), about) for about in SETTINGS[kind]]
        self._codecs = [make_codec(way.stream) for way in self.ways]
        self.words = WORDS[kind]

    def sound(self, draws: Draws) -> bytes:
        place = draws.below(len(self.ways))
        value = message(draws, self._kind, self.ways[place].about)
        return bytes([place]) + around(draws, value)

    def run(self, payload: bytes) -> str:
        """The first byte chooses the settings."""
        place = payload[0] % len(self._codecs) if payload else 0
        try:
            decoded = self._codecs[place].decode(record_of(payload[1:]))
        except DecodeError as error:
            demand(len(error.detail) <= LONGEST_DETAIL, "a reason that people can read")
            demand(error.detail.isprintable(), f"printable, not {error.detail!a}")
            return error.reason
        for samples in decoded:
            check_samples(samples, self.ways[place].stream)
        return ACCEPTED


def check_samples(samples: Samples, stream: StreamConfig) -> None:
    """What the pipeline may rely on."""
    channels, length = stream.window.shape
    rows = 1 if samples.channel >= 0 else channels
    demand(samples.data.ndim == 2 and samples.data.shape[0] == rows, "the shape")
    demand(1 <= samples.data.size <= stream.limits.samples, "limits.samples")
    demand(samples.data.dtype == np.dtype("<f4"), "float32")
    demand(not samples.data.flags.writeable, "nobody can change it")
    demand(-1 <= samples.channel < channels, "a channel of the stream")
    demand(not samples.whole or samples.data.shape[1] == length, "a whole window")
    if isinstance(stream.window, CameraConfig):
        low, high = samples.data.min(), samples.data.max()
        demand(bool(0 <= low <= high <= 255), "pixels of 0 to 255")
    demand(0.0 <= samples.start < END_OF_TIME, "a time within the calendar")
    demand(1 <= len(samples.sensor) <= MAX_NAME, "a name of 1 to 200 characters")
    demand(samples.sensor.encode() != b"", "a name that can be written")


def message(draws: Draws, kind: str, about: Mapping[str, Any]) -> bytes:
    """A message for such a stream, as its sender would build it."""
    if kind == "audio":
        return draws.one(_files())
    if kind == "image":
        return draws.one(pictures())
    found = about.get("channels", 3)
    channels = found if isinstance(found, int) else len(found)
    if kind == "float32":
        return _headed(draws, channels)
    document = _document(draws, about["paths"], channels, packed=kind == "msgpack")
    return documents.as_json(document) if kind == "json" else documents.as_msgpack(document)


def _headed(draws: Draws, channels: int) -> bytes:
    rows, channel = (1, draws.below(channels)) if draws.chance(0.3) else (channels, -1)
    data = draws.normal(rows, draws.one((1, 2, 4, 4, 4, 64, 1000)))
    if draws.chance(0.3):
        data.flat[draws.below(data.size)] = draws.one((np.nan, np.inf, -np.inf, 1e-45, 3.4e38))
    time = draws.one((NOW, NOW + 86_400.0 * draws.part(), *documents.NUMBERS))
    return encode_float32(Samples("", float(time), data, channel))


@cache
def _files() -> Sequence[bytes]:
    """Short files of sound of every kind, by two rates and numbers of channels."""
    random = np.random.default_rng(0)
    return [
        encode_audio(random.normal(0, 0.2, (channels, count)).astype(np.float32), rate, kind)
        for kind in KINDS
        for rate in (8000, 16_000)
        for channels, count in ((1, 400), (2, 100), (1, 1))
    ]


def _document(draws: Draws, paths: Mapping[str, Any], channels: int, *, packed: bool) -> Any:
    found: dict[str, Any] = {}
    for path in paths.get("channels", {}).values():
        documents.put(found, path, documents.samples(draws, 1))
    if not paths.get("channels"):
        alone = "channel" in paths and draws.chance(0.5)
        values: Any = documents.samples(draws, 1 if alone else channels)
        if packed and draws.chance(0.3):
            values = draws.data(4 * channels * draws.below(20))
        if paths.get("values", "values") == "":
            return values
        documents.put(found, paths.get("values", "values"), values)
    for path, likely in (("time", _time(draws, paths)), ("channel", draws.one("xyzw"))):
        if paths.get(path, path):
            documents.put(found, paths.get(path, path), likely)
    documents.put(found, "id", draws.one(documents.TEXTS))
    while draws.chance(0.4):
        found[draws.one(documents.KEYS)] = documents.hostile(draws, packed)
    return found


def _time(draws: Draws, paths: Mapping[str, Any]) -> Any:
    unit = paths.get("time_unit", "s")
    per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
    if unit in per_second and draws.chance(0.6):
        return (NOW + 100 * draws.part()) * per_second[unit]
    return draws.one((*documents.TEXTS, *documents.NUMBERS, None))


WORDS: Mapping[str, Sequence[bytes]] = {
    "float32": (b"MF32", b"\xff\xff", b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\1\0\0\0", b"\0" * 64),
    "audio": (
        b"RIFF", b"WAVE", b"fmt ", b"data", b"fLaC", b"OggS", b"OpusHead", b"\1vorbis", b"\3vorbis",
        b"\5vorbis", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff\xf8", b"LIST",
        b"\x40\x1f\0\0", b"\x80\x3e\0\0", b"\0" * 64, b"AIFF", b"RF64", b"ID3",
    ),
    "image": PIECES,
    "json": (
        b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"1E400", b"null", b"true", b"[[",
        b"]]", b'{"values":', b'"time":', b"[[[[[[[[", b'"\\ud800"', b'"\\u0000"', b"\xef\xbb\xbf",
        b"\xff", b"9" * 400, b"0." + b"0" * 400 + b"1", b'{"a":' * 40, b",", b"[],", b'"a",',
        b'"' + b"a" * 4000 + b'",',
    ),
    "msgpack": (
        b"\xdd\xff\xff\xff\xff", b"\xdd\0\0\xff\xff", b"\xdc\xff\xff", b"\xdf\xff\xff\xff\xff",
        b"\xdf\0\0\x0f\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\xff", b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xcb\x7f\xf0\0\0\0\0\0\0",
        b"\xd7\xff" + b"\xff" * 8, b"\xc1", b"\x91" * 200, b"\x81\xa1a" * 100, b"\xa6values",
        b"\xa4time", b"\xc0" * 50, b"\xc3", b"\xa1\xff",
    ),
}  # fmt: skip
