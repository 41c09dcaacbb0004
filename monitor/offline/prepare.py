"""Compile every kernel once, so that the first start is as quick as the others.

`make setup` runs it (`python -m monitor.offline.prepare`); the machine code is kept beside the
package. Without it the first process compiles as it starts, which takes half a minute.
"""

from __future__ import annotations

import sys

import numpy as np

from monitor.config import parse
from monitor.features.scaling import fit_scaling, scale
from monitor.stream.rehearse import rehearse
from monitor.wiring import build_middle

CONFIG = """
source: {recordings: {paths: [nothing]}}
streams:
  samples:
    topics: [samples]
    window: {length: 8, hop: 4, rate: 1, channels: [x], fill: hold, max_gap: 2}
    models: [{use: [online_iforest]}]
    alert: {silence: 5s}
  windows:
    topics: [windows]
    window: {length: 8, rate: 1, channels: [x], input: windows}
    models: [{use: [online_iforest]}]
"""


def prepare() -> None:
    """Run a little of everything that numba compiles."""
    rehearse(build_middle(parse(CONFIG, "prepare")).pipeline)
    windows = np.ones((2, 1, 8), np.float32)
    scale(windows, np.repeat(fit_scaling(windows)[None], 2, axis=0))


if __name__ == "__main__":
    print("compiling kernels (half a minute, once) ...", file=sys.stderr)
    prepare()
