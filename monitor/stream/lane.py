"""A lane: the sensors of one stream that get the same detectors, and all that is known of them.

`LaneSpec` is what the configuration says and is shared; `LaneState` belongs to one partition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.alerting import ThresholdConfig, within_budget
from monitor.arrays import fingerprint, put_under, under
from monitor.errors import ModelError, StateError
from monitor.features.front import Front, front
from monitor.features.scaling import scaling_of
from monitor.protocols import Online, Scorer, Stateful
from monitor.settings import StreamConfig
from monitor.stream.alarm import Alarm
from monitor.stream.constants import Constants
from monitor.stream.event_time import Skew
from monitor.stream.fusion import Fusion
from monitor.stream.guards import Guards
from monitor.stream.recent import Recent
from monitor.stream.sensors import SensorTable
from monitor.stream.silence import Silence
from monitor.stream.threshold import RollingThreshold
from monitor.stream.window import Windower
from monitor.types import Labels, Partition, Slots, State
from monitor.view import LaneView

Number = TypeVar("Number", np.float32, np.float64)


class _Part(Stateful, Protocol):
    def forget(self, slots: Slots) -> None: ...


class _Forgetful(Protocol):
    def forget(self, slots: Slots) -> None: ...


@dataclass(frozen=True)
class OnlineSpec:
    """How to make an online detector, and what it is given."""

    label: str
    make: Callable[[], Online]
    view: str
    fingerprint: str


@dataclass(frozen=True)
class LaneSpec:
    """What holds for every sensor of the lane. `backend` names what computes the nets, and the
    fixed size of their calls: scores from another one may differ in the last bits.
    """

    stream: str
    match: str
    settings: StreamConfig
    scorers: tuple[Scorer, ...]
    online: tuple[OnlineSpec, ...]
    backend: str = ""

    @cached_property
    def threshold(self) -> ThresholdConfig:
        """The stream's, with the quantile that its budget of alerts allows."""
        window, count = self.settings.window, len(self.scorers) + len(self.online)
        hop = window.hop_samples / window.rate
        return within_budget(self.settings.threshold, self.settings.alert, hop, count)

    @cached_property
    def front(self) -> Front:
        """What makes the models' input of the windows that are cut."""
        return front(self.settings.window)

    @cached_property
    def rate(self) -> float:
        """The share of normal windows that may be flagged, all detectors together."""
        alert, each = self.settings.alert, 1 - self.threshold.quantile
        by_p = alert.fusion != "votes"
        return each if by_p else min(each * len(self.detectors) / alert.votes, 1.0)

    @property
    def name(self) -> str:
        """Stream and pattern: what the lane is called in a snapshot."""
        return f"{self.stream}:{self.match}"

    @cached_property
    def detectors(self) -> tuple[str, ...]:
        """Labels, the trained ones first."""
        return (*(s.label for s in self.scorers), *(o.label for o in self.online))

    def serves(self, sensor: str) -> bool:
        """Whether this lane's rule is the first that matches."""
        rule = self.settings.rule_of(sensor)
        return rule is not None and self.settings.models[rule].match == self.match

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """For each part of the state, what it depends on: where that changed, the part is void."""
        window = fingerprint(self.settings.window.model_dump())
        level = fingerprint(self.threshold.model_dump(), window)
        warm = fingerprint(window, str(self.settings.warm_up), self.settings.unknown_sensors)
        found = {"windower": window, "skew": "", "silence": "", "alarm": "", "constants": warm}
        guards = self.settings.guards
        watches = guards.of_windows or guards.of_messages
        found["guards"] = fingerprint(guards.model_dump(), window) if watches else ""
        for scorer in self.scorers:
            made = fingerprint(scorer.fingerprint, self.backend, level)
            found[f"threshold:{scorer.label}"] = made
        for online in self.online:
            found[f"online:{online.label}"] = fingerprint(online.fingerprint, window)
            found[f"threshold:{online.label}"] = fingerprint(online.fingerprint, level)
        return found


class LaneState:
    """Everything remembered about the sensors of a lane in one partition, in arrays by slot."""

    def __init__(self, spec: LaneSpec) -> None:
        self.spec = spec
        settings = spec.settings
        warm_up = settings.warm_up if settings.unknown_sensors == "warm_up" else 0
        self.sensors = SensorTable()
        self.labels: dict[int, Labels] = {}
        self.windower = Windower(settings.window, settings.event_time)
        self.skew = Skew(settings.event_time)
        self.silence = Silence(settings.alert.silence)
        self.guards = Guards(settings.guards, settings.window, settings.alert.clear.n)
        self.alarm = Alarm(settings.alert)
        channels, fit = len(settings.window.model_channels), scaling_of(settings.window.front)
        self.constants = Constants(spec.scorers, channels, warm_up, fit)
        self.online = [online.make() for online in spec.online]
        calibrations = [*(s.calibration for s in spec.scorers), *(None for _ in spec.online)]
        self.fusion = Fusion(settings.alert, spec.detectors, spec.rate)
        self.thresholds = [
            RollingThreshold(1, spec.threshold, [c], p_values=self.fusion.by_p)
            for c in calibrations
        ]
        self.recent = Recent(len(spec.detectors))

    def accepts(self, sensor: str) -> bool:
        """Whether the configuration lets this sensor in: it may refuse unknown ones."""
        return self.spec.settings.unknown_sensors != "reject" or self.constants.known(sensor)

    def admit(self, sensor: str) -> int:
        """The slot of a new sensor."""
        slot = self.sensors.add(sensor)
        self._learn_name(slot, sensor)
        return slot

    def forget(self, slots: Slots) -> None:
        """Let sensors go: all that is known of them, so that others can have their slots."""
        cleared = self.sensors.remove(slots)
        parts: list[_Forgetful] = [self.windower, self.silence, self.guards, self.alarm]
        parts += [self.constants, self.skew, self.recent, *self.thresholds, *self.online]
        for part in parts:
            part.forget(cleared)
        for slot in slots.tolist():
            del self.labels[slot]

    def state(self) -> State:
        """Every part's arrays under its name, and what each part depends on."""
        found = put_under("sensors", self.sensors.state())
        for name, part in self._parts():
            found |= put_under(name, part.state())
            made = self.spec.fingerprints[name].encode()
            found[f"fingerprints/{name}"] = np.frombuffer(made, np.uint8).copy()
        return found

    def restore(self, state: State) -> list[str]:
        """Take over what fits; returns a line for each part that starts warm or empty instead.

        Raises StateError where not even the names of the sensors can be read.
        """
        sensors = SensorTable()
        sensors.restore(under("sensors", state))
        moved = [sensor for sensor in sensors if not self.spec.serves(sensor)]
        if moved:
            return [f"starts empty, since {moved[0]!r} has another rule now"]
        self.sensors = sensors
        for sensor, slot in sensors.slots.items():
            self._learn_name(slot, sensor)
        lost = [name for name, part in self._parts() if not self._take(name, part, state)]
        self._remake(lost)
        return [f"{name} starts warm" for name in lost]

    def view(self, partition: Partition) -> LaneView:
        """A copy for people: a row for each sensor that is known, in the order of slots."""
        slots, sensors = self.sensors.live
        times, raw, cuts = self.recent.get(slots)
        warm = self.constants.progress(slots)
        progress = [_rows(t.progress()[:, 0], slots) for t in self.thresholds]
        trained, budget = len(self.spec.scorers), self.spec.settings.alert.budget
        return LaneView(
            stream=self.spec.stream,
            partition=partition,
            detectors=self.spec.detectors,
            sensors=sensors,
            labels=tuple(self.labels[slot] for slot in slots.tolist()),
            raw=raw[:, -1],
            threshold=cuts[:, -1],
            progress=np.stack([p * warm if d < trained else p for d, p in enumerate(progress)], 1),
            window_end=times[:, -1],
            last_seen=_rows(self.silence.last_seen, slots),
            times=times,
            values=raw,
            cuts=cuts,
            target=self.spec.rate,
            budget=budget.per_day if budget else np.nan,
        )

    def _learn_name(self, slot: int, sensor: str) -> None:
        self.constants.add(slot, sensor)
        self.labels[slot] = self.spec.settings.labels_of(sensor)
        if self.constants.warms_up(slot):
            for threshold in self.thresholds[: len(self.spec.scorers)]:
                threshold.begin_empty(slot)

    def _parts(self) -> Sequence[tuple[str, _Part]]:
        named: list[tuple[str, _Part]] = [
            ("windower", self.windower),
            ("skew", self.skew),
            ("silence", self.silence),
            ("guards", self.guards),
            ("alarm", self.alarm),
            ("constants", self.constants),
        ]
        labels = self.spec.detectors
        named += [(f"threshold:{d}", t) for d, t in zip(labels, self.thresholds, strict=True)]
        online = labels[len(self.spec.scorers) :]
        return named + [(f"online:{d}", o) for d, o in zip(online, self.online, strict=True)]

    def _take(self, name: str, part: _Part, state: State) -> bool:
        made = state.get(f"fingerprints/{name}")
        if made is None or bytes(made) != self.spec.fingerprints[name].encode():
            return False
        try:
            part.restore(under(name, state))
            part.forget(self._nobodys(under(name, state)))
        except (StateError, ModelError, LookupError, TypeError, ValueError):
            return False  # ours raise StateError; a user's detector may raise anything of its own
        return True

    def _nobodys(self, state: State) -> Slots:
        """Slots of a part's rows that belong to no sensor: a sound snapshot holds nothing there."""
        rows = max((len(array) for array in state.values() if array.ndim), default=0)
        return np.setdiff1d(np.arange(rows), self.sensors.live[0])

    def _remake(self, lost: Sequence[str]) -> None:
        """A detector that failed half-way through its state starts over."""
        for place, online in enumerate(self.spec.online):
            if f"online:{online.label}" in lost:
                self.online[place] = online.make()


def _rows(array: NDArray[Number], slots: Slots) -> NDArray[Number]:
    """The rows of these slots; NaN where a sensor has none yet."""
    padded = np.full((len(slots), *array.shape[1:]), np.nan, array.dtype)
    known = slots < len(array)
    padded[known] = array[slots[known]]
    return padded
