"""Snapshots in a compacted topic, so that several hosts need no shared folder.

A snapshot is one block of bytes (safetensors, LZ4) cut into pieces below the topic's limit of a
message. Each snapshot has keys of its own, so compaction never makes one out of two; what it holds
is checked as a whole (SHA-256). See `index.py` for how they are found, and who may remove which.
"""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import replace

import lz4.frame
import structlog

from monitor.arrays import from_bytes, to_bytes
from monitor.connect.kafka.compacted import Message
from monitor.connect.kafka.index import FORMAT, INDEX, Generation, Index, Log
from monitor.errors import SourceError, StateError
from monitor.types import Partition, State

log = structlog.get_logger("monitor")

PIECE = 512 * 1024
_MOST_SQUEEZED = 255  # times: a property of the format


class TopicSnapshots:
    """Keeps the newest `keep` generations of each partition that a consumer group reads.

    To ask for the `offsets` of a partition is to take it over; see `index.py`. A damaged generation
    goes with the next `save`. One that a newer version of this program wrote stays, is passed over
    until the process ends, and is only removed where it is ahead of what is saved.

    `offsets` and `load` raise SourceError where the broker does not answer: to start empty then
    would lose what was learned.
    """

    def __init__(self, topic: Log, group: str, keep: int = 3) -> None:
        self.keep = keep
        self._topic, self._group = topic, group
        self._run = uuid.uuid4().hex[:12]
        self._writer = f"{socket.gethostname()}:{os.getpid()}"
        self._index = Index(topic, group)
        self._claims: dict[Partition, int] = {}
        self._aside: set[bytes] = set()
        self._saves = 0
        self._index.refresh()

    def save(self, partition: Partition, offset: int, state: State) -> None:
        """See `monitor.protocols.Snapshots`; returns when all replicas have it."""
        if partition not in self._claims:
            self._claim(partition)
        body = lz4.frame.compress(to_bytes(state))
        size = min(PIECE, self._topic.largest)
        pieces = [body[i : i + size] for i in range(0, len(body), size)]
        made = self._announced(partition, offset, len(pieces))
        self._index.note(made)  # also if the next line fails: then it is cleared away
        named = [Message(made.place, made.piece(i), piece) for i, piece in enumerate(pieces)]
        offsets = self._topic.write([made.entry(), *named])
        digest = hashlib.sha256(body).hexdigest()
        made = replace(made, start=min(offsets[1:]), size=len(body), sha256=digest)
        (at,) = self._topic.write([made.entry()])
        self._index.note(replace(made, at=at))
        self._remove(self._superseded(partition, offset))

    def offsets(self, partition: Partition) -> Sequence[int]:
        """See `monitor.protocols.Snapshots`."""
        self._claims[partition] = self._index.refresh()
        usable = [each.offset for each in self._index.of(partition) if self._nameable(each)]
        return list(dict.fromkeys(usable))

    def load(self, partition: Partition, offset: int) -> State:
        """See `monitor.protocols.Snapshots`."""
        for found in self._index.of(partition):
            if found.offset == offset and self._nameable(found):
                try:
                    return self._loaded(found)
                except StateError:
                    self._aside.add(found.key)
                    raise
        raise StateError(f"no snapshot of {partition.topic}/{partition.number} at offset {offset}")

    def close(self) -> None:
        """Leave the broker."""
        self._topic.close()

    def _claim(self, partition: Partition) -> None:
        """Take over what was never asked for."""
        try:
            self._claims[partition] = self._index.refresh()
        except SourceError as error:
            raise StateError(str(error)) from error

    def _announced(self, partition: Partition, offset: int, pieces: int) -> Generation:
        self._saves += 1
        return Generation(
            group=self._group,
            partition=partition,
            offset=offset,
            run=self._run,
            number=self._saves,
            claim=self._claims[partition],
            place=self._place(partition),
            pieces=pieces,
            writer=self._writer,
        )

    def _place(self, partition: Partition) -> int:
        """Where the pieces go: not into the index, unless there is only that."""
        others = self._topic.partitions - 1
        name = f"{self._group}/{partition.topic}/{partition.number}"
        return INDEX + 1 + zlib.crc32(name.encode()) % others if others else INDEX

    def _nameable(self, found: Generation) -> bool:
        return bool(found.sha256) and not found.void and found.key not in self._aside

    def _loaded(self, found: Generation) -> State:
        what = f"snapshot of {found.partition.topic}/{found.partition.number} at {found.offset}"
        what += f", written by {found.writer}"
        if found.format > FORMAT:
            raise StateError(
                f"{what}, has format {found.format}, which a newer version of this program wrote; "
                f"this one reads {FORMAT} and leaves it as it is"
            )
        pieces = self._pieces(found)
        if len(pieces) < found.pieces:
            raise StateError(f"{what}: {len(pieces)} of its {found.pieces} pieces are there")
        body = b"".join(pieces[number] for number in range(found.pieces))
        if (len(body), hashlib.sha256(body).hexdigest()) != (found.size, found.sha256):
            raise StateError(f"{what}: {len(body)} of {found.size} bytes, or the checksum differs")
        try:
            return from_bytes(_inflated(body))
        except RuntimeError as error:
            raise StateError(f"{what}: {error}") from error

    def _pieces(self, found: Generation) -> dict[int, bytes]:
        """Those that are there, by number. A retried one may lie there twice, each as good."""
        wanted = {found.piece(number): number for number in range(found.pieces)}
        pieces: dict[int, bytes] = {}
        for entry in self._topic.read(found.place, max(0, found.start)):
            number = wanted.get(entry.key)
            if number is None:
                continue
            if entry.value is None:
                pieces.pop(number, None)
            else:
                pieces[number] = entry.value
            if len(pieces) == found.pieces:
                break
        return pieces

    def _superseded(self, partition: Partition, offset: int) -> list[Generation]:
        """What a snapshot at `offset` makes useless, as far as it is ours to remove."""
        known = [each for each in self._index.of(partition) if self._removable(each)]
        behind = [each for each in known if each.offset <= offset]
        newer = [each for each in behind if each.format > FORMAT and each.sha256]
        sound = {g.offset: g for g in reversed(behind) if self._nameable(g) and g not in newer}
        kept = sorted(sound.values(), key=lambda each: each.offset, reverse=True)[: self.keep]
        return [each for each in known if each not in kept and each not in newer]

    def _removable(self, found: Generation) -> bool:
        return found.run == self._run or found.at < self._claims[found.partition]

    def _remove(self, generations: Sequence[Generation]) -> None:
        for each in generations:
            self._topic.write(each.erased())
            self._index.drop(each)
            self._aside.discard(each.key)


def _inflated(body: bytes) -> bytes:
    """The block that a body was made of. Raises RuntimeError for what LZ4 cannot have made.

    The head says how large the block is, and room for that is made at once: so a head that claims
    more than LZ4 can squeeze into the body is not believed.
    """
    claimed = lz4.frame.get_frame_info(body)["content_size"]
    if claimed > _MOST_SQUEEZED * len(body):
        raise RuntimeError(f"{len(body)} bytes cannot hold {claimed}")
    return bytes(lz4.frame.decompress(body))
