"""What the process under test is told to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from monitor.config import load
from monitor.connect.recording.reading import Recording
from monitor.offline.train import train
from tests.soak.load import CHANNELS, LENGTH, RATE, START

TOPIC, ALERTS, SCORES = "machines", "soak.alerts", "soak.scores"
STAY = 60.0  # seconds of event time that a machine stays
_SMALL = {"epochs": 2, "widths": [8, 16], "latent": 8}


def settings(address: str, folder: Path, remembered: int = 256) -> dict[str, Any]:
    """Deep, statistical and learning detectors; who leaves is soon forgotten. `remembered` scores
    make a threshold.
    """
    use = [
        {"detector": "conv_ae:machines@production", "params": _SMALL},
        "mahalanobis:machines@production",
        "online_iforest",
    ]
    window = {"length": LENGTH, "rate": RATE, "channels": list(CHANNELS), "input": "windows"}
    return {
        "source": {"kafka": {"bootstrap": [address], "group": "soak"}},
        "models": str(folder / "models"),
        "snapshots": {"directory": str(folder / "state"), "every": "20s"},
        "streams": {
            "machines": {
                "topics": [TOPIC],
                "window": {**window, "length": f"{LENGTH}s"},
                "models": [{"use": use}],
                "threshold": {"window": remembered},
                "alert": {"silence": f"{STAY / 6}s"},
                "limits": {"sensor_ttl": f"{STAY / 2}s"},
            }
        },
        "sinks": [{"kafka": {"alerts": ALERTS, "scores": SCORES}}],
        "serve": {"port": 0, "max_sensors": 100},
    }


def learn(config: Path) -> None:
    """Train on noise like the one that will be sent."""
    random = np.random.default_rng(3)
    count = int(RATE * 600)
    times = START - 600 + np.arange(count) / RATE
    data = random.standard_normal((len(CHANNELS), count)).astype(np.float32)
    recorded = [Recording("machine-0", times, data, CHANNELS, None, Path("noise"))]
    train(load(config), {"machines": recorded})
