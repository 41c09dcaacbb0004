"""Python runs this at its start where the folder is on PYTHONPATH: the wall clock of the process is
off by the seconds that the file `CHAOS_CLOCK` says at that moment; the monotonic one is not.

libfaketime 0.9.10 would do it from outside, but Python 3.11's `time.sleep` fails under it (EINVAL).
"""

from __future__ import annotations

import os
import time

_FILE = os.environ["CHAOS_CLOCK"]
_true_time = time.time


def _skewed_time() -> float:
    with open(_FILE, encoding="ascii") as file:  # noqa: PTH123  pathlib is too slow for a clock
        return _true_time() + float(file.read() or 0)


time.time = _skewed_time
