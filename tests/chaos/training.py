"""The trained model of a trial, made of what its sensors measured before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from monitor.config import parse
from monitor.connect.recording.reading import Recording
from monitor.offline.train import train
from tests.chaos.feed import CHANNELS, RATE, SIZE, START, STEP, Fleet

_STEPS = 80


def learn(config: dict[str, Any], fleet: Fleet) -> None:
    """Train what `windows` needs, and publish it into the folder that the configuration names."""
    time = START - _STEPS * STEP + np.arange(_STEPS * SIZE) / RATE
    recorded = [
        Recording(sensor, time, fleet.normal("windows", sensor, _STEPS), CHANNELS, None, Path("-"))
        for sensor in fleet.sensors("windows")[:-2]  # two stay unknown to the model
    ]
    train(parse(json.dumps(config), "chaos"), {"windows": recorded})
