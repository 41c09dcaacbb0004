"""Every target by name, and its share of the payloads: readers that cost more get fewer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.files import Configuration, Labels, Recordings, Secrets
from tests.fuzz.messages import Codec
from tests.fuzz.models import Aliases, Manifests, Weights
from tests.fuzz.requests import Requests
from tests.fuzz.states import SafetensorFiles, SnapshotFiles, States, TopicEntries
from tests.fuzz.stream import Streams
from tests.fuzz.target import Target


class Entry(NamedTuple):
    """How to make a target in a folder of its own; `share` is in parts, `guided` says whether its
    reader is Python that a guide by coverage can see into.
    """

    share: int
    make: Callable[[Path], Target]
    guided: bool = False


TARGETS: Mapping[str, Entry] = {
    "stream": Entry(60, lambda folder: Streams()),
    "states": Entry(6, States),
    "configuration": Entry(14, lambda folder: Configuration(), guided=True),
    "manifests": Entry(6, Manifests),
    "weights": Entry(6, Weights),
    "requests": Entry(21, lambda folder: Requests()),
    "parquet": Entry(5, lambda folder: Recordings("parquet", folder)),
    "csv": Entry(6, lambda folder: Recordings("csv", folder)),
    "labels-csv": Entry(6, lambda folder: Labels("csv", folder)),
    "labels-jsonl": Entry(10, lambda folder: Labels("jsonl", folder)),
    "secrets": Entry(10, Secrets),
    "json": Entry(230, lambda folder: Codec("json"), guided=True),
    "msgpack": Entry(230, lambda folder: Codec("msgpack"), guided=True),
    "float32": Entry(250, lambda folder: Codec("float32"), guided=True),
    "audio": Entry(20, lambda folder: Codec("audio")),
    "image": Entry(20, lambda folder: Codec("image")),
    "topic": Entry(50, lambda folder: TopicEntries()),
    "snapshots": Entry(25, SnapshotFiles),
    "npy": Entry(15, lambda folder: Recordings("npy", folder)),
    "aliases": Entry(10, Aliases),
    "safetensors": Entry(60, lambda folder: SafetensorFiles()),
}
