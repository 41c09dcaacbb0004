"""Files that people or other programs wrote: configuration, secrets, recordings, labels."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from monitor.config import parse
from monitor.connect.recording.reading import Recording, read_recordings
from monitor.errors import ConfigError
from monitor.offline.labels import Event, read_labels, truth_from, truth_in
from monitor.settings import Config, StreamConfig
from tests.fuzz import documents
from tests.fuzz.draws import Draws
from tests.fuzz.messages import NOW, stream_of
from tests.fuzz.target import ACCEPTED, demand

GOOD = Path(__file__).parents[1] / "data" / "good.yaml"
BAD = sorted((Path(__file__).parents[1] / "data" / "bad").glob("*.yaml"))
LONGEST_MESSAGE = 20_000
LONGEST_YAML = 2_000
_STREAM = stream_of("float32", {})
# The first lines of a configuration and its parts, from which payloads are put together.
_SECTIONS = (
    "source: {kafka: {bootstrap: [a:9092], group: g}}\n",
    "source: {recordings: {paths: [a.csv]}}\n",
    "streams: {a: {topics: [t], window: {length: 1s, rate: 4, channels: [x]}, "
    "models: [{use: [online_iforest]}]}}\n",
    "sinks: [{log: true}, {jsonl: out}]\n",
    "serve: {port: 8080}\n",
    "commit_every: 1s\n",
    "delivery: exactly_once\n",
    "snapshots: {topic: s}\n",
    "scoring: {chunk: 64}\n",
)


def refused(error: ConfigError) -> str:
    """One word for a mistake, after holding its message to what is promised."""
    told = str(error)
    demand(0 < len(told) <= LONGEST_MESSAGE, "a message that people can read")
    told.encode()
    return "ConfigError"


class Configuration:
    """`monitor.config.parse`."""

    name = "configuration (YAML)"
    longest = LONGEST_YAML
    words = (
        b"&a ", b"*a", b"<<: ", b"!!python/object ", b"!!binary ", b"!!timestamp ", b"!!set ",
        b"? ", b"- ", b": ", b"[", b"]", b"{", b"}", b"'", b'"', b"|", b">", b"%YAML 1.1\n",
        b"---\n", b"...\n", b"${HOME}", b"${file:/etc/passwd}", b"${file:}", b"\t", b"1:59:59",
        b"0x", b".inf", b".nan", b"1e999", b"null", b"2001-12-14t21:59:43.10-05:00",
        b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\xc2\x85", b"9" * 101, b"=", b"bootstrap",
        b"streams", b"channels", b"sasl", b"password: ", b"-1s", b"1e9d", b"^(a+)+$", b"5 of 3",
    )  # fmt: skip

    def __init__(self) -> None:
        self._seeds = [file.read_bytes() for file in BAD if file.stat().st_size < LONGEST_YAML]
        self._seeds.append(GOOD.read_bytes()[:LONGEST_YAML])

    def sound(self, draws: Draws) -> bytes:
        if draws.chance(0.3):
            return draws.one(self._seeds)
        if draws.chance(0.4):
            return (draws.one(_SECTIONS[:2]) + _SECTIONS[2] + draws.one(_SECTIONS[3:])).encode()
        return "".join(draws.one(_SECTIONS) for _ in range(1 + draws.below(4))).encode()

    def run(self, payload: bytes) -> str:
        text = payload[:LONGEST_YAML].decode(errors="surrogateescape")
        try:
            demand(isinstance(parse(text, "x.yaml", {"HOME": "/home/x"}), Config), "settings")
        except ConfigError as error:
            return refused(error)
        return ACCEPTED


class Secrets:
    """`${file:PATH}` in a configuration, where the payload is what the file holds."""

    name = "secret files"
    longest = 65_537
    words = (
        b"\n",
        b"\r\n",
        b"\0",
        b"\xff",
        b"${HOME}",
        b"${file:secret}",
        b"'",
        b": ",
        b"\xed\xa0\x80",
        b"$2b$",
    )

    def __init__(self, folder: Path) -> None:
        self._file = folder / "secret"
        secret = f"'${{file:{self._file}}}'"
        security = f"protocol: SASL_SSL, mechanism: PLAIN, username: u, password: {secret}"
        self._text = (
            f"source: {{kafka: {{bootstrap: [a:9092], group: g, security: {{{security}}}}}}}\n"
            f"{_SECTIONS[2]}serve: {{login: {{tokens: {{ada: {secret}}}}}}}\n"
        )

    def sound(self, draws: Draws) -> bytes:
        return draws.one((b"hunter2", b"", b"\n", "pässwörd".encode(), b"x" * 4096, draws.data(32)))

    def run(self, payload: bytes) -> str:
        self._file.write_bytes(payload)
        try:
            parse(self._text, "x.yaml", {})
        except ConfigError as error:
            text = payload.decode(errors="replace").strip()
            demand(len(text) < 12 or text not in str(error), "no secret in a message")
            return refused(error)
        return ACCEPTED


class Recordings:
    """`read_recordings` of files with one ending."""

    def __init__(self, ending: str, folder: Path) -> None:
        self.name = f"recordings ({ending})"
        self.longest = 1_024 if ending == "csv" else 16_384
        self._file = folder / f"pump.{ending}"
        self._sound: Callable[[Draws], bytes] = {"csv": csv, "npy": npy, "parquet": parquet}[ending]
        self.words = _WORDS[ending]

    def sound(self, draws: Draws) -> bytes:
        return self._sound(draws)

    def run(self, payload: bytes) -> str:
        self._file.write_bytes(payload)
        try:
            found = read_recordings([self._file], _STREAM)
        except ConfigError as error:
            return refused(error)
        for recording in found:
            check_recording(recording, _STREAM)
        return ACCEPTED


class Labels:
    """`read_labels` of CSV or JSON lines, and what evaluation makes of the events."""

    longest = 1_024

    def __init__(self, ending: str, folder: Path) -> None:
        self.name = f"labels ({ending})"
        self._file = folder / f"labels.{ending}"
        self._lines = ending == "jsonl"
        time = NOW + np.arange(40) / 4
        data = np.zeros((3, 40), np.float32)
        self._recording = Recording("pump-1", time, data, ("x", "y", "z"), None, self._file)
        self.words = (*_WORDS["csv"], b"sensor", b"start", b"end", b"kind", *_LINES)

    def sound(self, draws: Draws) -> bytes:
        names = draws.one((["sensor", "start", "end"], ["kind", "sensor", "end", "start"]))
        rows = []
        for _ in range(draws.below(6)):
            start = NOW + 20 * draws.part()
            plain = {
                "sensor": "pump-1",
                "start": start,
                "end": start + 3 * draws.part(),
                "kind": "x",
            }
            rows.append({name: plain[name] for name in names})
            while draws.chance(0.2):
                rows[-1][draws.one(names)] = documents.hostile(draws, packed=False)
        if self._lines:
            return b"\n".join(documents.as_json(row) for row in rows)
        lines = [names, *([str(row[name]) for name in names] for row in rows)]
        return "\n".join(",".join(cells) for cells in lines).encode(errors="replace")

    def run(self, payload: bytes) -> str:
        self._file.write_bytes(payload)
        try:
            events = read_labels(self._file)
        except ConfigError as error:
            return refused(error)
        for event in events:
            check_event(event)
        truth = truth_from(events, self._recording, 4.0)
        truth.of_windows(self._recording.time[:8], _STREAM.window)
        return ACCEPTED


def check_recording(recording: Recording, stream: StreamConfig) -> None:
    """What replay, training and evaluation rely on."""
    demand(recording.data.shape == (3, len(recording.time)), "a row for each channel")
    demand(recording.data.dtype == np.float32, "float32")
    demand(bool(np.isfinite(recording.time).all()), "finite times")
    demand(bool((np.diff(recording.time) > 0).all()), "times that rise")
    truth_in(recording, stream.window.rate)


def check_event(event: Event) -> None:
    """What evaluation relies on."""
    demand(bool(np.isfinite([event.start, event.end]).all()), "finite times")
    demand(event.end >= event.start, "an end after the start")
    demand(isinstance(event.sensor, str) and isinstance(event.kind, str), "names")


def csv(draws: Draws) -> bytes:
    """A recording of three channels, with columns that may be strange."""
    columns = ["time", "x", "y", "z", *draws.one(([], ["anomaly"], ["sensor", "label"], ["note"]))]
    separator = draws.one((",", ",", ";", "\t"))
    lines = [separator.join(columns)]
    for row in range(draws.one((0, 1, 2, 12, 40))):
        cells = [
            f"{NOW + row / 4}",
            *(f"{number:.4f}" for number in draws.normal(len(columns) - 1)),
        ]
        while draws.chance(0.1):
            cells[draws.below(len(cells))] = str(draws.one((*documents.NUMBERS, *documents.TEXTS)))
        lines.append(separator.join(cells))
    return "\n".join(lines).encode(errors="replace")


def npy(draws: Draws) -> bytes:
    """An array of some shape and type."""
    shape = draws.one(((3, 40), (40, 3), (40,), (3,), (0,), (), (2, 3, 4), (3, 0)))
    kind = draws.one(("f4", "f8", "i2", "u1", ">f4", "?", "c8", "U3", "S2", "M8[s]", "V4", "f2"))
    made = io.BytesIO()
    np.save(made, draws.normal(*shape).astype("f8").astype(kind if kind[0] not in "MV" else "i8"))
    return made.getvalue()


def parquet(draws: Draws) -> bytes:
    """A table with columns of any type."""
    rows = draws.one((0, 1, 12, 40))
    columns: dict[str, Any] = {"time": pa.array(NOW + np.arange(rows) / 4)}
    for name in ("x", "y", "z", *draws.one(([], ["anomaly"], ["sensor"], ["note", "label"]))):
        columns[name] = _column(draws, rows)
    if draws.chance(0.3):
        columns["time"] = _column(draws, rows)
    made = io.BytesIO()
    squeezed = draws.one(("none", "snappy", "gzip", "zstd"))
    pq.write_table(pa.table(columns), made, compression=squeezed)
    return made.getvalue()


def _column(draws: Draws, rows: int) -> Any:
    if draws.chance(0.7):
        return pa.array(draws.normal(rows))
    values = [draws.below(100) for _ in range(rows)]
    return draws.one(_COLUMNS)(values)


_COLUMNS: Sequence[Callable[[list[int]], Any]] = (
    lambda v: pa.array(v, pa.int8()),
    lambda v: pa.array([x if x % 3 else None for x in v]),
    lambda v: pa.array([str(x) for x in v]),
    lambda v: pa.array([bytes([x]) for x in v], pa.binary()),
    lambda v: pa.array([[x] for x in v], pa.list_(pa.int64())),
    lambda v: pa.array([{"a": x} for x in v], pa.struct([("a", pa.int64())])),
    lambda v: pa.array([x % 2 == 0 for x in v]),
    lambda v: pa.array(v, pa.timestamp("us", tz="UTC")),
    lambda v: pa.array([x * 10**15 for x in v], pa.timestamp("ms")),
    lambda v: pa.array(v, pa.duration("ms")),
    lambda v: pa.array(v, pa.date32()),
    lambda v: pa.array(v, pa.time32("s")),
    lambda v: pa.array(v).cast(pa.decimal128(30, 2)),
    lambda v: pa.array([str(x) for x in v]).dictionary_encode(),
    lambda v: pa.nulls(len(v)),
    lambda v: pa.array([float("nan")] * len(v)),
    lambda v: pa.array([2**63 + x for x in v], pa.uint64()),
)
_LINES = (
    b"{}",
    b"[]",
    b"null",
    b"[" * 2000,
    b'{"a":' * 200,
    b"1e999",
    b"NaN",
    b"Infinity",
    b"9" * 5000,
)
_WORDS = {
    "csv": (
        b",", b";", b"\t", b"\n", b"\r", b'"', b"time", b"timestamp", b" x", b"x ", b"sensor",
        b"anomaly", b"nan", b"inf", b"1e400", b"9" * 400, b"2026-01-01T00:00:00Z", b"9999-12-31",
        b"2262-04-12", b"\xef\xbb\xbf", b"\0", b"\xff", b",,,,", b"True", b"1_000", b"0x10", b"-",
        b"1;2", b"\n\n\n", b'"\n', b"x,x,x", b"t",
    ),
    "npy": (
        b"\x93NUMPY\1\0", b"\x93NUMPY\3\0", b"'descr': '|O'", b"'shape': (1000000000000,)", b"(",
        b")", b"'<f8'", b"True", b"PK\3\4", b"\x80\4", b"9" * 30, b"'V1000000000'", b",)", b"\n",
        b"-1", b"1" * 5000, b"[" * 300,
    ),
    "parquet": (b"PAR1", b"\xff\xff\xff\x7f", b"\x15\x02\x19", b"\0" * 8, b"\x80" * 9 + b"\1"),
}  # fmt: skip
