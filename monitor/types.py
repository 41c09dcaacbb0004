"""The nouns and protocols of the product; this module imports nothing from the package.

Shape letters, used everywhere: N examples, C channels, T samples, F mel bands, H W pixels, K
statistics per channel, D detectors, S sensor slots. Times are float seconds since the epoch,
event time unless a name says otherwise.

Reading order for a newcomer: this file, `stream/pipeline.py`, `runner.py`, one file of `detect/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Slots = NDArray[np.int64]
State = dict[str, NDArray[Any]]
Labels = Mapping[str, str]
Clock = Callable[[], float]
Phase = Literal["firing", "resolved"]
Severity = Literal["info", "warning", "critical"]
Rule = Literal["score", "silence", "range", "stuck", "saturated", "missing", "skew"]

NO_LABELS: Labels = {}


class Partition(NamedTuple):
    """One ordered piece of a topic: the unit of ownership, of state and of hand-off."""

    topic: str
    number: int


class Record(NamedTuple):
    """One message, still encoded. `time` is the log's own time stamp, used where the payload has
    none.
    """

    partition: Partition
    offset: int
    key: bytes | None
    time: float
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Samples(NamedTuple):
    """What one message says about one sensor: a run of samples, or a ready window.

    `data` is `(C, n)`; with `channel >= 0` it is `(1, n)` and belongs to that channel alone.
    `start` is the time of the first sample. A `whole` one is a ready window `(C, T)` or feature
    map `(F, T)` and passes the windower unchanged.
    """

    sensor: str
    start: float
    data: Array
    channel: int = -1
    whole: bool = False


class Score(NamedTuple):
    """One detector's opinion of one window; `time` is the window's end.

    `raw >= 0` in the detector's own units, or NaN where the input was not finite. `threshold` is
    at least the configured floor, so `value > 1` is anomalous for every detector; it is infinite
    while a detector without calibration warms up.
    """

    partition: Partition
    offset: int
    stream: str
    sensor: str
    detector: str
    time: float
    raw: float
    threshold: float
    labels: Labels = NO_LABELS

    @property
    def value(self) -> float:
        """`raw / threshold`."""
        return self.raw / self.threshold

    @property
    def id(self) -> str:
        """The same for every delivery of this score: a consumer drops repeats by it."""
        return f"{self.stream}/{self.sensor}/{self.detector}/{self.time!r}"


class Alert(NamedTuple):
    """A step in the life of an alert. One `id` from opening to resolution, the same after any
    crash or replay.

    A `firing` step may come again with a higher severity. `scores` holds each detector's `value`
    at this step, `channels` the share of each channel in the anomaly (they sum to 1; empty where
    no detector can say).
    """

    partition: Partition
    offset: int
    id: str
    stream: str
    sensor: str
    rule: Rule
    phase: Phase
    severity: Severity
    reason: str
    opened: float
    time: float
    scores: Mapping[str, float]
    channels: Mapping[str, float]
    labels: Labels = NO_LABELS


class Rejected(NamedTuple):
    """A record that could not be used; `reason` is a short fixed word for counting, `detail` a
    sentence for people.
    """

    record: Record
    stream: str
    reason: str
    detail: str


class Notice(NamedTuple):
    """Something an operator should know that is no alert: a new level adopted, a sensor in two
    partitions, ...
    """

    partition: Partition
    offset: int
    stream: str
    sensor: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Result:
    """What one call of `Pipeline.process` found, in the order of offsets within each partition."""

    scores: Sequence[Score] = ()
    alerts: Sequence[Alert] = ()
    rejected: Sequence[Rejected] = ()
    notices: Sequence[Notice] = ()
    offsets: Mapping[Partition, int] = field(default_factory=dict)

    def since(self, marks: Mapping[Partition, int]) -> Result:
        """What is not out yet: everything at or past its partition's mark, if there is one."""
        if not marks:
            return self
        return Result(
            [s for s in self.scores if s.offset >= marks.get(s.partition, 0)],
            [a for a in self.alerts if a.offset >= marks.get(a.partition, 0)],
            [r for r in self.rejected if r.record.offset >= marks.get(r.record.partition, 0)],
            [n for n in self.notices if n.offset >= marks.get(n.partition, 0)],
            self.offsets,
        )


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
    absence).
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
        unknown if absent).
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

    def contributions(self, x: Array, constants: Array) -> Array:
        """`(N, C, T), (N, 2, C) -> (N, C)`: as in Explainer; 0 where the detector cannot say."""
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


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model file says about itself. Everything but the arrays, so JSON can hold it.

    `calibration` holds evenly spaced quantiles of the scores of held-out normal windows,
    ascending. `scaling` names how the constants were made; the constants themselves are arrays
    beside the weights.
    """

    detector: str
    name: str
    version: int
    shape: tuple[int, int]
    channels: tuple[str, ...]
    rate: float
    params: Mapping[str, Any]
    calibration: tuple[float, ...]
    metrics: Mapping[str, float]
    sensors: tuple[str, ...]
    trained_at: float
    fingerprint: str
    data_fingerprint: str
    format: int = 1
