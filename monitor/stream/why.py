"""What an alert was raised for: which channels, and for frames and sounds which places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.protocols import Scorer
from monitor.stream.alarm import alert_id
from monitor.stream.lane import LaneState
from monitor.stream.tell import Found, Told
from monitor.types import Array, Evidence, Slots
from monitor.windowing import CameraConfig


@dataclass(frozen=True)
class Why:
    """Asks the trained models of a lane about examples `(N, C, T)`, the surest first."""

    lane: LaneState
    slots: Slots
    data: Array

    def shares(self, row: int, values: Array) -> Mapping[str, float]:
        """Each channel's share, by the model that is surest among those that can say."""
        for scorer, constants in self._models(row, values):
            found = scorer.contributions(self.data[row : row + 1], constants)[0]
            if found.sum() > 0:
                channels = self.lane.spec.settings.window.model_channels
                return dict(zip(channels, np.round(found, 6).tolist(), strict=True))
        return {}

    def places(self, row: int, values: Array) -> tuple[str, Array] | None:
        """The heat map of the model that is surest among those that have one, and its name."""
        for scorer, constants in self._models(row, values):
            found = scorer.heat_maps(self.data[row : row + 1], constants)
            if found is not None:
                return scorer.label, found[0]
        return None

    def picture(self, row: int) -> Array:
        """The example as `(C, rows, columns)`: a frame, or a spectrogram of one channel."""
        window = self.lane.spec.settings.window
        shape = window.frame if isinstance(window, CameraConfig) else self.data.shape[1:]
        picture: Array = self.data[row].reshape(-1, *shape)
        return picture

    def _models(self, row: int, values: Array) -> Iterator[tuple[Scorer, Array]]:
        scorers = self.lane.spec.scorers
        for m in np.argsort(-values[: len(scorers)]).tolist():
            yield scorers[m], self.lane.constants.of(self.slots[row : row + 1], m)


def tell_evidence(why: Why, found: Found, rows: Sequence[int], told: Told) -> None:
    """What there is to see of the windows in these rows, of which alerts tell."""
    lane = why.lane
    if not lane.spec.settings.window.front:
        return
    for row in rows:
        places = why.places(row, found.judged.values[row])
        if places is None:
            continue
        sensor, opened = lane.sensors.names[int(found.slots[row])], float(found.judged.opened[row])
        told.evidence.append(
            Evidence(
                partition=told.partition,
                offset=found.offsets[row],
                alert=alert_id(lane.spec.stream, sensor, "score", opened),
                stream=lane.spec.stream,
                sensor=sensor,
                time=found.ends[row],
                detector=places[0],
                example=why.picture(row),
                heat=places[1],
                kind="frame" if isinstance(lane.spec.settings.window, CameraConfig) else "sound",
            )
        )
