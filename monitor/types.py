"""The nouns of the product; this module imports nothing from the package.

Shape letters, used everywhere: N examples, C channels, T samples, F mel bands, H W pixels, K
statistics per channel, D detectors, S sensor slots. Times are float seconds since the epoch,
event time unless a name says otherwise.

Reading order for a newcomer: this file, `stream/pipeline.py`, `runner.py`, one file of `detect/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Slots = NDArray[np.int64]
State = dict[str, NDArray[Any]]
Labels = Mapping[str, str]
Clock = Callable[[], float]
Phase = Literal["firing", "resolved"]
Severity = Literal["info", "warning", "critical"]
Rule = Literal[
    "score",
    "silence",
    "range",
    "stuck",
    "saturated",
    "dark",
    "covered",
    "frozen",
    "missing",
    "skew",
]

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
    `start` is the time of the first sample. A `whole` one is a ready window `(C, T)`, feature map
    `(F, T)` or frame `(C, H * W)` and passes the windower unchanged.
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


class Evidence(NamedTuple):
    """What an alert was raised for, as far as it is a picture: `example` is `(C, rows, columns)`,
    a frame in 0 to 255 or a spectrogram in dB as `kind` says, `heat` `(rows, columns)` its anomaly
    by place.
    """

    partition: Partition
    offset: int
    alert: str
    stream: str
    sensor: str
    time: float
    detector: str
    example: Array
    heat: Array
    kind: Literal["frame", "sound"] = "frame"


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
    evidence: Sequence[Evidence] = ()
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
            [e for e in self.evidence if e.offset >= marks.get(e.partition, 0)],
            self.offsets,
        )


@dataclass(frozen=True, slots=True)
class Curve:
    """The losses of a net after each epoch of its training, on what it learns from and on what is
    held out; None where one was not finite.
    """

    training: tuple[float | None, ...]
    held_out: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model file says about itself. Everything but the arrays, so JSON can hold it.

    `calibration` holds evenly spaced quantiles of the scores of held-out normal windows,
    ascending. The scaling constants are arrays beside the weights. `front` tells how an example
    was made of what was sent, where that is no window of samples: the spectrogram of a sound, or
    the size, colours and region of a frame. `history` has the curve of each net that was trained.
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
    front: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Curve, ...] = ()
    format: int = 1
