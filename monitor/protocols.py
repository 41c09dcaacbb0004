"""The protocols of the product: what its parts may ask of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from monitor.types import Array, Notice, Partition, Record, Result, Slots, State


@runtime_checkable
class Stateful(Protocol):
    """Everything that remembers. The same two methods serve model files, crash recovery and hand-
    off: arrays only.
    """

    def state(self) -> State: ...

    def restore(self, state: State) -> None: ...


@runtime_checkable
class Detector(Stateful, Protocol):
    """Scores examples of one `shape`; pure, so the same example has the same score in any
    company.

    A class may set `view` to one of `monitor.features.VIEWS`, such as "statistics", to be given
    that `(C, K)` instead of the scaled window `(C, T)` (`view = "window"`, also the meaning of its
    absence). Of a frame it is given all of it, `(C, H, W)`, or what `frame_view` says.
    """

    shape: tuple[int, ...]

    def score(self, x: Array) -> Array:
        """`(N, *shape) -> (N,)`, all >= 0, higher is more anomalous."""
        ...


@runtime_checkable
class Trainable(Detector, Protocol):
    """A detector that is trained before it serves."""

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from `(N, *shape)`; `y` is 1 for an anomaly, 0 for normal, -1 for unknown (all
        unknown if absent), and 2, 3, ... for further classes of things that are known but not
        watched for: metric learning tells them apart, other detectors leave them out.
        """
        ...


@runtime_checkable
class Online(Stateful, Protocol):
    """A detector that learns in the stream, with the memory of many sensors in arrays, one slot
    each.
    """

    shape: tuple[int, ...]

    def score_learn(self, slots: Slots, x: Array, cut: Array) -> Array:
        """Score each row against its sensor's past, then learn it where `raw <= cut`: `(N,
        *shape) -> (N,)`.

        No slot occurs twice. `cut` is `(N,)`: infinite learns always, minus infinity holds the
        memory as it is. A slot never seen before starts empty; memory grows as needed. NaN says
        that a slot has seen too little for a score.
        """
        ...

    def forget(self, slots: Slots) -> None:
        """Make these slots as if never seen: other sensors will have them."""
        ...


@runtime_checkable
class Explainer(Detector, Protocol):
    """A detector that can say which channels caused a score."""

    def contributions(self, x: Array) -> Array:
        """`(N, *shape) -> (N, C)`: shares that sum to 1 in each row, or all 0 where the score is
        0.
        """
        ...


@runtime_checkable
class Localiser(Detector, Protocol):
    """A detector that can say where in an example a score comes from."""

    def heat_maps(self, x: Array) -> Array:
        """`(N, *shape) -> (N, rows, columns)`, at least 0: `(H, W)` of a frame, `(C, T)` of a
        window or spectrogram.
        """
        ...


@runtime_checkable
class Rebuilding(Detector, Protocol):
    """A detector that scores how well it can give back what it is given."""

    def rebuild(self, x: Array) -> Array:
        """What it gives back: `(N, *shape) -> (N, *shape)`."""
        ...


@runtime_checkable
class Embedder(Detector, Protocol):
    """A detector that judges examples by where they lie in a space of its own."""

    def embed(self, x: Array) -> Array:
        """Where they lie: `(N, *shape) -> (N, D)`."""
        ...


@runtime_checkable
class Generator(Detector, Protocol):
    """A detector that can make examples like those it was trained on."""

    def generate(self, count: int, seed: int) -> Array:
        """`count` examples `(count, *shape)` from random latents; the same for the same seed."""
        ...


class Scorer(Protocol):
    """A trained model as the pipeline sees it: raw windows in, scores out, always in calls of one
    fixed size, so a score does not depend on what else was waiting.

    `calibration` holds ascending quantiles of the scores of held-out normal windows. `constants`
    are `(2, C)`: the centre and the scale of each channel.
    """

    label: str
    shape: tuple[int, ...]
    fingerprint: str
    calibration: Array
    group: Array

    def constants(self, sensor: str) -> Array | None:
        """Those of one sensor, None where it was not among the training data."""
        ...

    def score(self, x: Array, constants: Array) -> Array:
        """`(N, C, T), (N, 2, C) -> (N,)`; NaN where a window is not finite."""
        ...

    def beyond(self, x: Array, constants: Array) -> NDArray[np.bool_]:
        """`(N, C, T), (N, 2, C) -> (N,)`: which windows leave the range of the training data."""
        ...

    def contributions(self, x: Array, constants: Array) -> Array:
        """`(N, C, T), (N, 2, C) -> (N, C)`: as in Explainer; 0 where the detector cannot say."""
        ...

    def heat_maps(self, x: Array, constants: Array) -> Array | None:
        """As in Localiser; None where the detector cannot say."""
        ...


class Owner(Protocol):
    """Who is told that partitions come and go; called only while its source is inside `start`,
    `poll` or `close`.
    """

    def assigned(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Committed offsets in, where to read on from out."""
        ...

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Finish, deliver, snapshot and forget: somebody else takes over."""
        ...

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget: somebody else has taken over already."""
        ...

    def note(self, notice: Notice) -> None:
        """Something about the log that an operator should know, such as records that expired
        before they were read; counted by its kind.
        """
        ...


class Source(Protocol):
    """An ordered log, read in a consumer group."""

    def start(self, owner: Owner) -> None: ...

    def poll(self, timeout: float, most: int | None = None) -> Sequence[Record]:
        """At most `timeout` seconds of waiting; records of one partition come in offset order,
        each once.

        At most `most` records, if that is given; with 0 nothing is read, but the membership in the
        group is kept up and partitions come and go as ever.
        """
        ...

    def rewind(self, partitions: Sequence[Partition]) -> None:
        """Begin anew with partitions that are held: in the next `poll` the owner is told `assigned`
        for them, with the offsets that the group has committed by then. May be called at any time,
        also by the owner while it is told something; nothing of them is polled until then.
        """
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None: ...

    def lag(self) -> Mapping[Partition, int]:
        """Records not yet polled, for each partition held; 0 means at the high-water mark."""
        ...

    def close(self) -> None: ...


class Sink(Protocol):
    """Where results go. `flush` returns once everything emitted is safe, or raises SinkError:
    then nothing is committed.
    """

    def emit(self, result: Result) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Delivery(Protocol):
    """Outputs and consumed offsets, in the right order or in one transaction; the loop does not
    know which.

    `commit` raises SinkError or SourceError where that has to be tried again, and AbortedError
    where everything since the last commit is void. `abort` gives up what is not committed, and
    tells whether that is void now.
    """

    def emit(self, result: Result) -> None: ...

    def commit(self, offsets: Mapping[Partition, int]) -> None: ...

    def abort(self) -> bool: ...

    def close(self) -> None: ...


class Snapshots(Protocol):
    """Caches of a partition's state; a few generations are kept."""

    def save(self, partition: Partition, offset: int, state: State) -> None:
        """Keep the state at an offset; raises StateError where that fails. What is there of a later
        offset belongs to another history and goes.
        """
        ...

    def offsets(self, partition: Partition) -> Sequence[int]:
        """Where the generations that are kept stand, the newest first; StateError where that cannot
        be found out.
        """
        ...

    def load(self, partition: Partition, offset: int) -> State:
        """One of them. Raises StateError where it is damaged; it is then set aside, and `offsets`
        does not name it again.
        """
        ...

    def close(self) -> None: ...
