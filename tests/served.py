"""A View as a running fleet would publish it, for the tests of what is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from monitor.passwords import Cost, hash_password
from monitor.types import Alert, Evidence, Labels, Notice, Partition
from monitor.view import Histogram, LaneView, ModelInfo, View

DETECTORS = ("conv_ae", "deep_svdd", "online_iforest")
# As cheap as a hash may be: a trial takes milliseconds.
CHEAP = Cost(ln=10, r=8, p=1)
NOW = 1_767_225_600.0
PARTITIONS = (Partition("plant.vibration", 0), Partition("plant.vibration", 1))
BOUNDS = (0.005, 0.05, 0.5, 5.0)


def hashed(password: str) -> str:
    """A password as a configuration has it."""
    return str(hash_password(password, CHEAP))


def lane(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    stream: str = "vibration",
    partition: Partition = PARTITIONS[0],
    labels: Labels | None = None,
    now: float = NOW,
) -> LaneView:
    """Sensors with these scores in thresholds `(S, D)`; the last of 60 recent windows, one a
    second.
    """
    value = np.asarray(values, np.float32).reshape(len(names), -1)
    count, detectors = value.shape
    threshold = np.full((count, detectors), 0.25, np.float32)
    wave = 0.55 + 0.2 * np.sin(np.arange(60) / 4 + np.arange(count)[:, None])
    recent = np.repeat(wave[:, :, None], detectors, axis=2).astype(np.float32)
    recent[:, -10:] = value[:, None]
    cuts = np.full_like(recent, 0.25)
    return LaneView(
        stream=stream,
        partition=partition,
        detectors=DETECTORS[:detectors],
        sensors=tuple(names),
        labels=(labels or {},) * count,
        raw=value * threshold,
        threshold=threshold,
        progress=np.ones_like(value),
        window_end=np.full(count, now),
        last_seen=np.full(count, now + 0.5),
        times=np.tile(now - 59.0 + np.arange(60), (count, 1)),
        values=recent * cuts,
        cuts=cuts,
        target=0.005,
        budget=2 / 7,
    )


def alert(
    sensor: str = "pump-07",
    *,
    phase: str = "firing",
    severity: str = "critical",
    opened: float = NOW - 40.0,
    time: float = NOW,
    reason: str = "3 of 5 windows above the threshold",
) -> Alert:
    """One step of an alert about a pump."""
    return Alert(
        partition=PARTITIONS[0],
        offset=118,
        id=f"{sensor}-{opened:.0f}",
        stream="vibration",
        sensor=sensor,
        rule="score",
        phase="firing" if phase == "firing" else "resolved",
        severity="critical" if severity == "critical" else "warning",
        reason=reason,
        opened=opened,
        time=time,
        scores={"conv_ae": 4.2, "deep_svdd": 1.7},
        channels={"y": 0.2, "x": 0.7, "z": 0.1},
        labels={"site": "north", "line": "A-2"},
    )


def counters(windows: float) -> Mapping[tuple[str, ...], float]:
    """One counter of every kind, growing with the windows scored."""
    windows //= 1
    each: dict[tuple[str, ...], float] = {
        ("windows_processed", "vibration", "scored"): windows,
        ("windows_processed", "vibration", "incomplete"): windows // 50,
        ("messages", "vibration"): 2 * windows,
        ("messages_invalid", "vibration", "truncated"): windows // 100,
        ("samples", "vibration", "accepted"): 256 * windows,
        ("samples", "vibration", "late"): windows // 20,
        ("samples", "vibration", "duplicate"): windows // 40,
        ("samples_reordered", "vibration"): windows // 30,
        ("samples_missing", "vibration"): windows // 10,
        ("gaps", "vibration"): windows // 60,
        ("messages_skewed", "vibration"): windows // 300,
        ("alerts", "vibration", "critical", "score"): windows // 500,
        ("alerts_raised", "vibration"): windows // 800,
        ("windows_flagged", "vibration"): windows // 100,
        ("windows_beyond", "vibration", "conv_ae"): windows // 120,
        ("windows_disputed", "vibration"): windows // 150,
        ("commits", "done"): windows // 30,
        ("snapshots", "saved"): windows // 200,
        ("polls", "failed"): 0.0,
        ("log_accidents", "records_expired"): 1.0,
        ("lags", "failed"): 0.0,
        ("sensors_forgotten", "vibration", "ttl"): 0.0,
        ("sensors_in_two_partitions", "vibration"): 0.0,
    }
    for name in DETECTORS:
        each["scores_nan", "vibration", name] = windows // 70
        each["scores_flagged", "vibration", name] = windows // 110
        each["thresholds_adopted", "vibration", name] = windows // 900
    return each


def histograms(windows: float) -> Mapping[tuple[str, ...], Histogram]:
    """Latencies with most of the windows in the second bucket."""
    part = int(windows) // 10
    latency = Histogram(BOUNDS, (part, 7 * part, part, part, 0), 0.09 * windows)
    calls: dict[tuple[str, ...], Histogram] = {
        ("inference_duration", name): latency for name in DETECTORS
    }
    return {("score_latency",): latency} | calls


def fleet(now: float = NOW, windows: float = 12_400.0, size: int = 24) -> View:
    """Two partitions of pumps and fans; pump-07 is in trouble, pump-11 was, fan-03 warms up."""
    rng = np.random.default_rng(7)
    values = 0.35 + 0.5 * rng.random((2, size, 3))
    values[0, 7] = (4.2, 1.7, 0.9)
    values[0, 3] = (1.2, 0.9, 0.8)
    values[1, 3] = np.nan
    pumps = [f"pump-{i:02d}" for i in range(size)]
    fans = [f"fan-{i:02d}" for i in range(size)]
    lanes = (
        lane(pumps, values[0], labels={"site": "north", "line": "A-2"}, now=now),
        lane(fans, values[1], partition=PARTITIONS[1], labels={"site": "south"}, now=now),
    )
    lanes[1].progress[3] = 0.4
    firing = alert(opened=now - 40.0, time=now)
    past = [
        alert("pump-11", phase=phase, severity="warning", opened=now - 900.0, time=now - ago)
        for phase, ago in (("firing", 900.0), ("resolved", 840.0))
    ]
    return View(
        published=now,
        lanes=lanes,
        alerts=(firing,),
        recent_alerts=(*past, firing),
        notices=(
            Notice(PARTITIONS[0], 90, "vibration", "pump-02", "adopted", "conv_ae: 0.21 to 0.35"),
        ),
        models=tuple(
            ModelInfo("vibration", name, "pumps", 3, f"{name:0<16}"[:16], now - 86_400.0)
            for name in DETECTORS[:2]
        ),
        counters=counters(windows),
        histograms=histograms(windows),
        position={partition: 12_000 + partition.number for partition in PARTITIONS},
        lag={partition: 3 * partition.number for partition in PARTITIONS},
    )


def growing(clock: Callable[[], float]) -> Callable[[], View]:
    """A fleet that scores 50 windows a second from now on."""
    start = clock()

    def view() -> View:
        now = clock()
        return fleet(now, 12_400.0 + 50.0 * (now - start))

    return view


def evidence(
    of: Alert, kind: Literal["frame", "sound"] = "frame", *, offset: int = 118
) -> Evidence:
    """A frame with a bright square, or a sound with a loud band, which the detector found."""
    example = np.full((3, 48, 64) if kind == "frame" else (1, 32, 40), 90, np.float32)
    heat = np.zeros(example.shape[1:], np.float32)
    example[:, 10:20, 30:45], heat[10:20, 30:45] = 220, 1
    found = of.partition, offset, of.id, of.stream, of.sensor, of.time, "conv_ae", example, heat
    return Evidence(*found, kind=kind)
