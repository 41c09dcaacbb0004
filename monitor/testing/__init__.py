"""Contract checks: what each implementation of a protocol promises, for ours and for your own.

    from monitor.testing import check_detector

    def test_my_detector_keeps_its_promises() -> None:
        check_detector(lambda: MyDetector((3, 64)))

A check returns nothing, or raises AssertionError with a sentence that says what was broken.
"""

from __future__ import annotations

from monitor.testing.connections import (
    Member,
    Seen,
    check_sink,
    check_source,
    example_result,
)
from monitor.testing.detectors import (
    anomalous_examples,
    check_detector,
    check_online,
    normal_examples,
)
from monitor.testing.snapshots import check_snapshots
from monitor.testing.states import copied_state, same_state

__all__ = [
    "Member",
    "Seen",
    "anomalous_examples",
    "check_detector",
    "check_online",
    "check_sink",
    "check_snapshots",
    "check_source",
    "copied_state",
    "example_result",
    "normal_examples",
    "same_state",
]
