"""One target in a process of its own, so that its memory can be told apart and a crash of a
library ends nothing else: `python -m tests.fuzz.worker NAME COUNT SEED FILE [guided]`.
"""

from __future__ import annotations

import faulthandler
import logging
import shutil
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import orjson
import structlog

from tests.fuzz.draws import Draws
from tests.fuzz.guided import try_guided
from tests.fuzz.targets import TARGETS
from tests.fuzz.trial import Found, try_target

SHARED_MEMORY = Path("/dev/shm")


def main(name: str, count: str, seed: str, file: str, *how: str) -> None:
    """Feed the target and write what was found."""
    faulthandler.enable()
    quieten()
    draws = Draws(int(seed) + zlib.crc32(name.encode()))
    inside = SHARED_MEMORY if SHARED_MEMORY.exists() else None
    with tempfile.TemporaryDirectory(
        prefix="fuzz-", dir=inside, ignore_cleanup_errors=True
    ) as folder:

        def write(found: Found) -> None:
            shutil.rmtree(folder, ignore_errors=True)  # now, since a guided run ends here
            Path(file).write_bytes(orjson.dumps(found.as_json()))

        target = TARGETS[name].make(Path(folder))
        if "guided" in how:
            try_guided(target, draws, int(count), write)
        else:
            write(try_target(target, draws, int(count)))


def quieten() -> None:
    """A warning of a library is a fault, since nobody reads it; the log is not what is tried."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Reading `.npy` or `.npz` file required additional header")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


if __name__ == "__main__":
    main(*sys.argv[1:])
