"""Snapshots in memory, as bytes like on a disk, which can be damaged."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.arrays import from_bytes, to_bytes
from monitor.errors import StateError
from monitor.types import Partition, State


class MemorySnapshots:
    """All generations of every partition."""

    def __init__(self) -> None:
        self.kept: dict[Partition, dict[int, bytes]] = {}
        self.spoiled: dict[Partition, set[int]] = {}

    def save(self, partition: Partition, offset: int, state: State) -> None:
        kept = self.kept.setdefault(partition, {})
        kept[offset] = to_bytes(state)
        for ahead in [each for each in kept if each > offset]:
            del kept[ahead]
        self.spoiled.setdefault(partition, set()).discard(offset)

    def offsets(self, partition: Partition) -> list[int]:
        return sorted(self.kept.get(partition, {}), reverse=True)

    def load(self, partition: Partition, offset: int) -> State:
        kept = self.kept.get(partition, {})
        if offset not in kept:
            raise StateError(f"no snapshot of {partition} at {offset}")
        try:
            return from_bytes(kept[offset])
        except StateError:
            del kept[offset]
            raise

    def close(self) -> None:
        pass

    def forget_newest(self) -> None:
        """What is left is older. Of every partition, as with the others: one always stays sound."""
        for generations, newest in self._newest():
            del generations[newest]

    def damage_newest(self) -> None:
        """It cannot be read any more."""
        for generations, newest in self._newest():
            generations[newest] = generations[newest][:-1]

    def replace_newest(self, state: State) -> None:
        """It holds arrays of something else."""
        for generations, newest in self._newest():
            generations[newest] = to_bytes(state)

    def _newest(self) -> Iterator[tuple[dict[int, bytes], int]]:
        for partition, generations in self.kept.items():
            sound = sorted(generations.keys() - self.spoiled.setdefault(partition, set()))
            if len(sound) > 1:
                self.spoiled[partition].add(sound[-1])
                yield generations, sound[-1]
