"""Payloads chosen by coverage: atheris (libFuzzer) keeps what reaches new lines, where it is
installed: `pip install atheris==3.0.0`, which has wheels for Linux.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from tests.fuzz.draws import Draws
from tests.fuzz.mutations import Mutator
from tests.fuzz.target import Target
from tests.fuzz.trial import SLOWEST_MS, Found, feed, resident_mib

# What a payload of these targets runs through, besides code in C.
INSTRUMENTED = (
    "monitor.stream.codec",
    "monitor.config",
    "monitor.yaml_reader",
    "monitor.substitution",
    "monitor.notation",
    "monitor.settings",
    "yaml",
)
_SEEDS = 300
_SLOWED = 10  # times, because every branch is counted
_WARM_UP = 0.3
_OWN = 0.5  # of the mutations are ours, which know the words of a format
_OPTIONS = ("-max_len=4096", "-verbosity=0", "-rss_limit_mb=0", "-timeout=60")


def available() -> bool:
    """Whether atheris is installed."""
    return find_spec("atheris") is not None


def try_guided(target: Target, draws: Draws, count: int, write: Callable[[Found], None]) -> None:
    """Feed a target with so many payloads, write what was found, and end the process: libFuzzer
    comes back to nobody.
    """
    atheris: Any = import_module("atheris")
    for name, module in list(sys.modules.items()):
        if name.startswith(INSTRUMENTED):
            _instrument(atheris, module)
    found = Found(f"{target.name}, by coverage")
    before = [resident_mib()]
    mutator = Mutator(draws, target.words, target.longest)
    pool = [target.sound(draws) for _ in range(_SEEDS)]

    def one(payload: bytes) -> None:
        feed(target, payload, found, _SLOWED * SLOWEST_MS)
        if found.payloads == int(count * _WARM_UP):
            before[0] = resident_mib()
        if found.payloads >= count:
            found.grown_mib = round(resident_mib() - before[0], 1)
            write(found)
            os._exit(0)

    def mutated(payload: bytes, size: int, seed: int) -> bytes:
        if draws.chance(_OWN):
            return mutator.damaged(payload, draws.one(pool))[:size]
        return bytes(atheris.Mutate(payload, size))

    with tempfile.TemporaryDirectory() as folder:
        for number, payload in enumerate(pool):
            Path(folder, str(number)).write_bytes(payload)
        words = [*_OPTIONS, f"-artifact_prefix={folder}/", f"-seed={draws.within(1, 2**31)}"]
        atheris.Setup([sys.argv[0], *words, folder], one, custom_mutator=mutated)
        atheris.Fuzz()


def _instrument(atheris: Any, module: ModuleType) -> None:
    """Count the branches of the functions and methods of a loaded module."""
    for holder in [module, *(v for v in vars(module).values() if isinstance(v, type))]:
        for function in list(vars(holder).values()):
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                atheris.instrument_func(function)
