"""What holds for every test: how property tests run, and that no test changes how others log."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# One core may be shared by all workers, and the first call compiles: time says nothing here.
settings.register_profile(
    "calm", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40
)
calm = settings.get_profile("calm")
# Always the same examples, or others with HYPOTHESIS_PROFILE=search.
settings.register_profile("ci", parent=calm, derandomize=True, database=None)
settings.register_profile("search", parent=calm, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Commands configure the log of their process; in a test that is the process of all tests."""
    yield
    structlog.reset_defaults()
