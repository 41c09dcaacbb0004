"""`python -m tests.soak.restore`: how long 1,000 sensors take to come back, and to catch up.

Real models, full rings of 2,048 scores, 12 partitions; from a folder, and from a topic of a real
broker. What a new owner does in a hand-over is timed: ask for the generations, load, check, open.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer

from deploy.broker.broker import Broker
from monitor.config import load
from monitor.connect.kafka.compacted import CompactedTopic
from monitor.connect.kafka.snapshots import TopicSnapshots
from monitor.connect.snapshots import DirectorySnapshots
from monitor.connections import Kafka
from monitor.custody import Custody
from monitor.protocols import Snapshots
from monitor.settings import Config
from monitor.stream.codec import encode_float32
from monitor.stream.rehearse import rehearse
from monitor.types import Partition, Record, Samples
from monitor.wiring import build_middle
from tests.kafka.processes import write_config
from tests.soak import setting
from tests.soak.load import CHANNELS, LENGTH, SAMPLES, START

PARTITIONS = tuple(Partition(setting.TOPIC, number) for number in range(12))
REMEMBERED = 2048
TURNS = 40
TIMES = 5


def main(
    sensors: Annotated[int, typer.Option(help="Over all partitions.")] = 1000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
) -> None:
    """Time what a new owner waits for.

    Example: python -m tests.soak.restore --json restore.json
    """
    with tempfile.TemporaryDirectory(prefix="restore-") as name:
        folder = Path(name)
        with _stores(folder) as (broker, stores):
            file = write_config(
                folder / "soak.yaml", setting.settings(broker, folder, remembered=REMEMBERED)
            )
            setting.learn(file)
            found = measure(load(file), sensors, stores)
    typer.echo(json.dumps(found, indent=2))
    if json_file:
        json_file.write_text(json.dumps(found, indent=2))


@contextmanager
def _stores(folder: Path) -> Iterator[tuple[str, dict[str, Snapshots]]]:
    broker = Broker(folder / "kafka")
    broker.start()
    try:
        settings = Kafka(bootstrap=[broker.address])
        topic = TopicSnapshots(CompactedTopic(settings, "states"), "soak")
        yield broker.address, {"folder": DirectorySnapshots(folder / "state"), "topic": topic}
        topic.close()
    finally:
        broker.stop()


def measure(config: Config, sensors: int, stores: dict[str, Snapshots]) -> dict[str, float]:
    """Seconds and MiB; the catch-up in windows a second."""
    rows, processed = _records(sensors, TURNS), TURNS * sensors
    found: dict[str, float] = {"sensors": sensors, "partitions": len(PARTITIONS)}
    middle = build_middle(config)
    rehearse(middle.pipeline)
    for partition in PARTITIONS:
        middle.pipeline.open(partition, None)
    began = time.perf_counter()
    middle.pipeline.process(rows)
    found["catch_up_windows_per_second"] = round(processed / (time.perf_counter() - began), 1)
    states = {p: middle.pipeline.partitions[p].state() for p in PARTITIONS}
    size = sum(array.nbytes for state in states.values() for array in state.values())
    found["state_mib"] = round(size / 2**20, 1)
    committed = {p: middle.pipeline.partitions[p].next_offset for p in PARTITIONS}
    for name, store in stores.items():
        began = time.perf_counter()
        for partition, state in states.items():
            store.save(partition, committed[partition], state)
        found[f"{name}_save_seconds"] = round(time.perf_counter() - began, 3)
        taken = [_restore(config, store, committed, sensors) for _ in range(TIMES)]
        found[f"{name}_restore_seconds_median"] = round(median(taken), 3)
        found[f"{name}_restore_seconds_worst"] = round(max(taken), 3)
    return found


def _restore(
    config: Config, store: Snapshots, committed: dict[Partition, int], sensors: int
) -> float:
    """As in a new process, whose models are loaded and whose kernels are compiled."""
    pipeline = build_middle(config).pipeline
    rehearse(pipeline)
    custody = Custody(pipeline, store)
    began = time.perf_counter()
    custody.open(committed)
    took = time.perf_counter() - began
    restored = sum(len(view.sensors) for view in pipeline.views())
    assert restored == sensors, f"{restored} of {sensors} sensors came back"
    assert custody.counts["snapshots", "restored"] == len(PARTITIONS)
    return took


def _records(sensors: int, turns: int) -> list[Record]:
    """A window of each sensor again and again, each sensor in one partition."""
    random = np.random.default_rng(5)
    offsets = dict.fromkeys(PARTITIONS, 0)
    found = []
    for turn in range(turns):
        for number in range(sensors):
            partition = PARTITIONS[number % len(PARTITIONS)]
            data = random.standard_normal((len(CHANNELS), SAMPLES)).astype(np.float32)
            start = START + turn * LENGTH
            value = encode_float32(Samples(f"machine-{number}", start, data, whole=True))
            key = f"machine-{number}".encode()
            found.append(Record(partition, offsets[partition], key, start + LENGTH, value))
            offsets[partition] += 1
    return found


if __name__ == "__main__":
    typer.run(main)
