"""The picture of the README: the page of the demo, with the heat map of an open alert.

python -m tests.browser.picture [--stream NAME] [--seed N] [--out docs/images/page.png]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from rich.console import Console

from monitor.offline import demo
from monitor.offline.demo_scene import stage
from monitor.offline.demo_summary import Story
from monitor.offline.train import train_on
from monitor.process import serve
from monitor.runner import Runner
from monitor.serving import ServeConfig
from monitor.types import Evidence
from tests.browser.chromium import photograph

SECONDS = 75.0
SIZE = 1400, 1000
LARGEST = 300_000  # bytes


def main() -> None:
    """Run the demo up to an alert that has a picture, and take a photograph of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stream", default="conveyor")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/images/page.png"))
    chosen = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="monitor-picture-") as folder:
        config = demo.load_config(Path(folder))
        scene = stage(config, chosen.seed, 0)  # event time from now on
        train_on(config, scene.normal(config), console=console)
        runner = demo.build(config, scene, Story(console, scene.faults))
        with serve(runner, ServeConfig(port=0)) as server:
            runner.start()
            shown = until_pictured(runner, chosen.stream)
            place = f"{quote(shown.stream)}/{quote(shown.sensor)}"
            take(runner, f"{server.url}/#{place}", chosen.out)
            runner.close()


def until_pictured(runner: Runner, stream: str) -> Evidence:
    """Let time pass up to the first picture of an alert that is still open."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        runner.step()
        opened = {alert.id for alert in runner.view.alerts}
        for evidence in runner.view.evidence:
            if evidence.stream == stream and evidence.alert in opened:
                return evidence
    sys.exit(f"no alert of {stream} with a picture within {SECONDS:g} s; try another --seed")


def take(runner: Runner, url: str, out: Path) -> None:
    """Time stands still while the page is looked at."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(1) as pool:
        photographed = pool.submit(photograph, url, out, 5000, f"--window-size={SIZE[0]},{SIZE[1]}")
        while not photographed.done():
            runner.publish()
            time.sleep(0.2)
        photographed.result()
    picture = Image.open(out).convert("RGB")
    picture.save(out, "PNG", optimize=True)
    size = out.stat().st_size
    print(f"{out}: {picture.width} x {picture.height}, {size:,} bytes")
    if size > LARGEST:
        sys.exit(f"{out}: at most {LARGEST:,} bytes are wanted")


if __name__ == "__main__":
    main()
