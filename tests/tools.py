"""Programs that tests run: found, or the test is skipped with a reason; under CI a missing one
fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest


def program(name: str, package: str) -> str:
    """The path of a program. Without it the test is skipped, or fails where CI=true."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not installed (Debian package {package})"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def promtool() -> Callable[..., str]:
    """Runs promtool: what it says, where it says anything on standard error, and where it fails
    the test fails.
    """
    path = program("promtool", "prometheus")

    def run(*arguments: str, given: bytes = b"") -> str:
        done = subprocess.run(
            [path, *arguments], input=given, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        return done.stderr.decode()

    return run
