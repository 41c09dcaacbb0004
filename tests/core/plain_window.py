"""The windower in plain Python, one sample at a time: what the compiled one is compared with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from monitor.settings import EventTime
from monitor.types import Array, Samples
from monitor.windowing import WindowConfig
from tests.core.builders import window

Cut = tuple[int, float, Array]
NOTHING = -(10**9)


@dataclass
class PlainSensor:
    """Samples held for each channel by place, and the newest one before `base` for filling."""

    held: list[dict[int, float]]
    before: list[tuple[int, float] | None]
    newest: list[int]
    base: int
    first: int


@dataclass
class PlainWindower:
    """Slower and simpler than `Windower`, with the same results."""

    settings: WindowConfig
    policy: EventTime = field(default_factory=EventTime)
    sensors: dict[int, PlainSensor] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    cuts: list[Cut] = field(default_factory=list)

    def push(self, slot: int, samples: Samples) -> None:
        begin = round(samples.start * self.settings.rate)
        for column in range(samples.data.shape[1]):
            values = samples.data[:, column].tolist()
            channels = range(len(values)) if samples.channel < 0 else [samples.channel]
            self._push(slot, begin + column, dict(zip(channels, values, strict=True)))

    def _push(self, slot: int, at: int, values: dict[int, float]) -> None:
        sensor = self.sensors.setdefault(slot, self._new(at))
        reach = self.settings.samples + round(self.settings.lateness * self.settings.rate)
        while at > sensor.base + reach:
            self._close(slot, sensor)
        if at < sensor.base:
            self._behind(sensor, at, values)
            return
        for channel, value in values.items():
            if self._admits(sensor, channel, at, at in sensor.held[channel]):
                sensor.held[channel][at] = value
        while self._complete(sensor) or max(sensor.newest) >= sensor.base + reach:
            self._close(slot, sensor)

    def _admits(self, sensor: PlainSensor, channel: int, at: int, taken: bool) -> bool:
        older = at < sensor.newest[channel]
        sensor.newest[channel] = max(sensor.newest[channel], at)
        if taken:
            self.counts["duplicate"] += 1
            return self.policy.duplicate == "last"
        if older and self.policy.out_of_order != "sort":
            self.counts["out_of_order"] += 1
            return False
        self.counts["accepted"] += 1
        self.counts["reordered"] += older
        return True

    def _new(self, at: int) -> PlainSensor:
        channels, hop = len(self.settings.channels), self.settings.hop_samples
        base = -(-at // hop) * hop
        held: list[dict[int, float]] = [{} for _ in range(channels)]
        return PlainSensor(held, [None] * channels, [NOTHING] * channels, base, base)

    def _behind(self, sensor: PlainSensor, at: int, values: dict[int, float]) -> None:
        if sensor.base != sensor.first:
            self.counts["late"] += len(values)
            return
        for channel, value in values.items():
            last, _ = sensor.before[channel] or (NOTHING, 0.0)
            if self._admits(sensor, channel, at, at == last) and at >= last:
                sensor.before[channel] = at, value

    def _places(self, sensor: PlainSensor) -> range:
        return range(sensor.base, sensor.base + self.settings.samples)

    def _complete(self, sensor: PlainSensor) -> bool:
        return all(at in held for held in sensor.held for at in self._places(sensor))

    def _close(self, slot: int, sensor: PlainSensor) -> None:
        if any(at in held for held in sensor.held for at in self._places(sensor)):
            rows = [self._row(sensor, c) for c in range(len(sensor.held))]
            if all(row is not None for row in rows):
                start = sensor.base / self.settings.rate
                self.cuts.append((slot, start, np.array(rows, np.float32)))
            else:
                self.counts["incomplete"] += 1
        beyond = sensor.base + self.settings.hop_samples
        for channel, held in enumerate(sensor.held):
            for at in sorted(at for at in held if at < beyond):
                self._count_gap(sensor.before[channel], at)
                sensor.before[channel] = at, held[at]
            sensor.held[channel] = {at: held[at] for at in held if at >= beyond}
        sensor.base = beyond

    def _count_gap(self, before: tuple[int, float] | None, at: int) -> None:
        if before is not None and at - before[0] > 1:
            self.counts["gaps"] += 1
            self.counts["missing"] += at - before[0] - 1

    def _row(self, sensor: PlainSensor, channel: int) -> list[float] | None:
        """One channel of the window; None where a gap may not be filled."""
        held, row = sensor.held[channel], []
        last = sensor.before[channel]
        for at in self._places(sensor):
            if at in held:
                last = at, held[at]
                row.append(held[at])
                continue
            after = min((a for a in held if a > at and a in self._places(sensor)), default=None)
            end = self._places(sensor).stop if after is None else after
            most = round(self.settings.max_gap * self.settings.rate)
            if self.settings.fill == "none" or last is None or end - last[0] - 1 > most:
                return None
            row.append(self._filled(last, at, end, last[1] if after is None else held[after]))
        return row

    def _filled(self, last: tuple[int, float], at: int, end: int, new: float) -> float:
        if self.settings.fill == "hold":
            return last[1]
        return last[1] + (new - last[1]) * (at - last[0]) / (end - last[0])


@st.composite
def settings(draw: st.DrawFn) -> WindowConfig:
    """Windows of 2 to 6 samples of 1 to 2 channels, two samples a second."""
    length = draw(st.integers(2, 6))
    return window(
        length=length / 2,
        hop=draw(st.integers(1, length)) / 2,
        rate=2,
        channels=["x", "y"][: draw(st.integers(1, 2))],
        lateness=draw(st.integers(0, 4)) / 2,
        fill=draw(st.sampled_from(["none", "hold", "linear"])),
        max_gap=draw(st.integers(0, 5)) / 2,
    )


def policies() -> st.SearchStrategy[EventTime]:
    """All that a windower heeds."""
    return st.builds(
        EventTime,
        late=st.sampled_from(["drop", "dead_letter"]),
        duplicate=st.sampled_from(["first", "last", "dead_letter"]),
        out_of_order=st.sampled_from(["sort", "drop", "dead_letter"]),
    )


@st.composite
def pushes(draw: st.DrawFn, settings: WindowConfig) -> list[tuple[int, Samples]]:
    """Messages of two sensors: forwards with jitter, at times back, at times far ahead."""
    at, found = draw(st.integers(-30, 30)), []
    steps = st.one_of(st.integers(0, 3), st.integers(-6, 8), st.just(40))
    for number in range(draw(st.integers(1, 25))):
        at += draw(steps)
        channel = draw(st.integers(-1, len(settings.channels) - 1))
        size = draw(st.sampled_from([1, 1, 2, 5, 30]))
        rows = len(settings.channels) if channel < 0 else 1
        values = number + np.arange(rows * size).reshape(rows, size) / 64
        data: Array = values.astype(np.float32)
        start = (at + draw(st.sampled_from([-0.4, 0.0, 0.3]))) / settings.rate
        found.append((draw(st.integers(0, 1)), Samples("", start, data, channel)))
    return found
