"""How property tests run: always the same examples, or others with HYPOTHESIS_PROFILE=search."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# One core may be shared by all workers, and the first call compiles: time says nothing here.
settings.register_profile(
    "calm", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40
)
calm = settings.get_profile("calm")
settings.register_profile("ci", parent=calm, derandomize=True, database=None)
settings.register_profile("search", parent=calm, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
