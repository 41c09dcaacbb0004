"""Memory that is free goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Freed large blocks raise the limit from which malloc keeps them: later ones then stay resident.
GROWN = """
import gc, sys
import numpy as np
from monitor.allocator import give_back
if sys.argv[1] == "yes":
    assert give_back()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
np.ones(24 << 20, np.uint8)
before = resident()
blocks = [np.ones(16 << 20, np.uint8) for _ in range(12)]
pin = [np.ones(64 << 10, np.uint8) for _ in range(20)]
del blocks
print(resident() - before)
"""


def left_behind(steady: str) -> int:
    """MiB that a process keeps after it has freed 192."""
    done = subprocess.run(
        [sys.executable, "-c", GROWN, steady], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is a function of glibc")
def test_large_blocks_go_back_to_the_system_as_soon_as_they_are_free() -> None:
    assert left_behind("yes") < 10
    assert left_behind("no") > 100, "else there would be nothing to set"
